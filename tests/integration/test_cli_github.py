"""GitHub by the commands that every source has: init, doctor, once, backfill and run."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester.book import decode_book
from tests.github_organisation import TOKEN, Organisation, Pull, Repo, at, beside, comment, environment, refusal, review
from tests.integration.test_cli_doctor import doctor, findings, trouble
from tests.site import Site


@pytest.fixture
def organisation() -> Iterator[Organisation]:
    """One whose clock is that of this host, with a change ten minutes ago."""
    now = datetime.now(UTC)
    recent = at(-600, now)
    repo = Repo(pulls=[Pull(12, recent, commits=2, reviews=[review(5)])], issue_comments=[comment(1, recent, on=12)])
    with beside(Organisation([repo, Repo(2, "gadgets")], now=now)) as found:
        found.reply = lambda *_: setattr(found, "now", datetime.now(UTC))  # however long it takes until it is asked
        yield found


def site_of(folder: Path, organisation: Organisation, **more: str) -> Site:
    return Site(folder, **{"HARVESTER_SOURCES": "github", **environment(organisation), **more})


def test_init_asks_for_the_organisation_and_the_token_stays_a_secret(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert "--org" in site.harvest("init", "--source", "github", "--yes").err
    done = site.harvest("init", "--source", "github", "--yes", "--org", "acme")
    assert done.code == 0
    assert "still needed: HARVESTER_GITHUB_TOKEN" in done.err
    assert site.harvest("config", "check", HARVESTER_GITHUB_TOKEN="x").code == 0
    told = site.harvest("config", "show", HARVESTER_GITHUB_TOKEN=TOKEN).out
    assert "HARVESTER_GITHUB_ORG=acme" in told
    assert TOKEN not in told


def test_an_organisation_that_can_be_read_is_well(tmp_path: Path, organisation: Organisation) -> None:
    found = findings(done := doctor(site_of(tmp_path, organisation)))
    assert (done.code, trouble(done)) == (0, set())
    assert {name for name in found if name.startswith("github")} >= {"github: login", "github: API", "github: reading"}
    assert "and 5 streams more" in found["github: API"]["text"]


@pytest.mark.parametrize(("status", "what", "named"), [
    (401, "login", "HARVESTER_GITHUB_TOKEN"), (404, "API", "read:org"), (403, "rights", "repo and read:org"),
])  # fmt: skip
def test_b42_what_is_missing_is_named_by_doctor(
    tmp_path: Path, organisation: Organisation, status: int, what: str, named: str
) -> None:
    scopes = {404: {"X_OAuth_Scopes": "repo"}}.get(status, {})
    organisation.reply = lambda *_: refusal(status, "no", **scopes)
    found = findings(done := doctor(site_of(tmp_path, organisation)))
    assert done.code == 5
    told = found[f"github: {what}"]
    assert told["state"] == "fail"
    assert named in f"{told['text']} {told['fix']}"
    assert TOKEN not in done.out + done.err


def test_a_look_shows_events_and_backfill_puts_them_into_the_queue_once(tmp_path: Path, organisation: Organisation) -> None:
    site = site_of(tmp_path, organisation)
    looked = site.harvest("once", "github", "--stream", "pulls/1", "--dry-run")
    types = [json.loads(line)["type"] for line in looked.out.splitlines()]
    assert types.count("github.pull_request_commit") == 2
    assert {"github.pull_request", "github.commit", "github.review"} < {*types}
    start = f"{datetime.now(UTC) - timedelta(days=3):%Y%m%d%H%M%S}"
    first = site.harvest("backfill", "github", "--stream", "pulls/1", "--start", start, "--json")
    again = site.harvest("backfill", "github", "--stream", "pulls/1", "--start", start, "--json")
    assert (first.code, json.loads(first.out)["published"]) == (0, 6)
    assert (again.code, json.loads(again.out)["published"]) == (0, 0)


def test_run_reads_every_stream_of_every_repository(tmp_path: Path, organisation: Organisation) -> None:
    site = site_of(tmp_path, organisation)
    names = {"repositories", *(f"{kind}/{n}" for n in (1, 2) for kind in ("pulls", "review_comments", "issue_comments", "sweep"))}

    def read() -> bool:
        book = site.folder / "var/coverage/github.json"
        streams = decode_book(book.read_bytes()).streams if book.exists() else {}
        return {name for name, coverage in streams.items() if coverage.read} >= names

    with site.process("run", "--no-consume") as daemon:
        daemon.until(read)
        assert daemon.stop() == 0
    assert TOKEN not in daemon.out + daemon.err
    shown = site.harvest("queue", "peek", "--position", "0", "--limit", "100").out
    assert all(kind in shown for kind in ("github.repository", "github.pull_request", "github.review", "github.issue_comment"))
