"""`harvest github`: what is refused before anything is asked, and what is said."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harvester.sandbox.serve import RunningGitHub
from tests.github_site import NOON, TABLES, checkpoints, held, organisation, requests, site_of, true
from tests.site import Site


@pytest.fixture
def github() -> Iterator[RunningGitHub]:
    with organisation() as running:
        yield running


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("collect --since 2025-03-31 --until 2025-03-31", "--since/--until"),
        ("collect --since 2025-04-01T02:00:00+02:00 --until 2025-04-01T00:00:00Z", "--since/--until"),
        ("collect --since 2025-03-31 --hours 3", "--hours"),
        ("collect --hours 0", "--hours"),
        ("collect --since yesterday", "--since"),
        ("backfill --days 0", "--days"),
        ("resume", "--collection-id"),
        ("resume --collection-id 2025-01-01", "20250101T120000Z"),
        ("resume --collection-id now", "20250101T120000Z"),
        ("scheduled --interval 0", "--interval"),
        ("backfill --repos ,", "--repos"),
        ("collect --repos=", "'' names no repository: write widgets,gadgets, or leave the option out for all of them"),
    ],
)
def test_b19_b20_b29_wrong_usage_ends_with_2_before_anything_is_asked(tmp_path: Path, command: str, told: str) -> None:
    site = Site(tmp_path, HARVESTER_GITHUB_ORG="acme", HARVESTER_GITHUB_TOKEN="x", HARVESTER_GITHUB_URL="http://127.0.0.1:9")
    done = site.harvest("github", *command.split())
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert list(tmp_path.glob("[!.]*")) == []


def test_b18_an_unknown_repository_ends_with_2_and_is_told_with_near_names(tmp_path: Path, github: RunningGitHub) -> None:
    done = site_of(tmp_path, github).harvest("github", "backfill", "--repos", "widgets, lectuers")
    assert done.code == 2
    assert "no repository lectuers: did you mean lectures?" in done.err
    assert not checkpoints(site_of(tmp_path, github))


def test_b29_an_unknown_id_ends_with_2_and_names_those_that_exist(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    done = site.harvest("github", "resume", "--collection-id", "2025-01-01T12:00:00+00:00")
    assert (done.code, "there is none of acme" in done.err) == (2, True)
    assert site.harvest("github", "collect").code == 0
    requests(github)
    done = site.harvest("github", "resume", "--collection-id", "20250101T120000Z")
    assert done.code == 2
    [kept] = checkpoints(site)
    digits = "".join(c for c in kept.collection_id[:19] if c.isdigit())
    assert f"{digits[:8]}T{digits[8:]}Z" in done.err
    assert requests(github) == {}


def test_b29_both_forms_of_an_id_are_taken_and_what_is_whole_costs_no_list_again(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    assert site.harvest("github", "backfill", "--days", "11").code == 0
    [kept] = checkpoints(site)
    short = kept.collection_id.replace("-", "").replace(":", "").removesuffix("+0000") + "Z"
    requests(github)
    for form in (kept.collection_id, short):
        done = site.harvest("github", "resume", "--collection-id", form)
        assert (done.code, f"collection {kept.collection_id} is complete since " in done.err) == (0, True)
        assert "nothing was to be done" in done.err
        assert "written" not in done.err
    assert requests(github) == {}
    assert checkpoints(site) == [kept]


@pytest.mark.parametrize("command", ["github collect", "consume archive"])
def test_an_archive_that_cannot_be_kept_there_is_told_with_its_setting_before_anything_is_asked(
    tmp_path: Path, github: RunningGitHub, command: str
) -> None:
    (tmp_path / "plain").write_text("no folder")
    site = site_of(tmp_path, github, HARVESTER_ARCHIVE_URL=f"file://{tmp_path}/plain/archive", HARVESTER_SOURCES="github")
    done = site.harvest(*command.split())
    assert done.code == 3
    assert (
        f"archive cannot be kept at file://{tmp_path}/plain/archive: {tmp_path}/plain is no folder; next: set HARVESTER"
        in done.err
    )
    assert requests(github) == {}


def test_a_collection_of_the_future_is_told_as_such(tmp_path: Path, github: RunningGitHub) -> None:
    done = site_of(tmp_path, github).harvest("github", "collect", "--since", "2031-01-01")
    assert (done.code, f"--since: 2031-01-01T00:00:00Z is in the future: now is {NOON:%Y-%m-%dT%H}" in done.err) == (2, True)
    assert not checkpoints(site_of(tmp_path, github))


def test_b37_without_the_archive_rows_go_straight_into_the_warehouse_and_resume_says_why_not(
    tmp_path: Path, github: RunningGitHub
) -> None:
    site = site_of(tmp_path, github, PERSIST_TO_GCS="false")
    assert site.harvest("github", "backfill", "--days", "11").code == 0
    assert held(site) == true(github)
    assert not (tmp_path / "var/archive").exists()
    assert "no checkpoint tells what was cut off" in site.harvest("github", "collect").err
    done = site.harvest("github", "resume", "--collection-id", "20250101T120000Z")
    assert done.code == 3
    assert "PERSIST_TO_GCS" in done.err


def test_b23_verbose_stands_before_a_command_and_behind_it(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    for number, words in enumerate((["-v", "collect"], ["collect", "-v"], ["collect"])):
        told = site.harvest("github", *words).err
        assert ('"debug"' in told) == (number < 2), words


def test_b16_init_makes_what_is_missing_says_so_and_changes_nothing_when_repeated(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    done = site.harvest("github", "init")
    assert done.code == 0, done.err
    for table in (*TABLES, "pr_commits", "repositories", "metrics", "pr_metrics"):
        assert f"var/harvest.duckdb: table {table}: created" in done.out
    assert "github: the token reads 4 repositories of acme\n" in done.out
    again = site.harvest("github", "init", "--json")
    assert (again.code, again.json["made"]) == (0, [])
    assert set(map(len, held(site).values())) == {0}


def test_b42_a_scope_that_the_token_lacks_is_named(tmp_path: Path) -> None:
    with organisation(scopes="read:org") as github:
        site = site_of(tmp_path, github)
        assert "it lacks the scope repo" in site.harvest("github", "init").out
        assert "it lacks the scope repo" in site.harvest("github", "collect").err


def test_b23_logs_are_kept_in_a_file_where_a_folder_is_set(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github, HARVESTER_LOGS_FOLDER="logs")
    assert site.harvest("github", "backfill", "--days", "11").code == 0
    assert site.harvest("github", "collect").code == 0
    lines = [json.loads(line) for line in (tmp_path / "logs/github_collector.log").read_text().splitlines()]
    ended = [line for line in lines if line["message"] == "collection ended"]
    assert [line["collection_id"] for line in ended] == [kept.collection_id for kept in checkpoints(site)]
    assert ended[0]["repositories"]["widgets"]["pull_requests"] > 0
    assert "sandbox-token" not in (tmp_path / "logs/github_collector.log").read_text()
    assert site.harvest("audit", HARVESTER_LOGS_FOLDER=f"{tmp_path}/.stdout").code == 3


def test_b53_metrics_are_computed_after_each_collection(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    assert site.harvest("github", "backfill", "--days", "11").code == 0
    assert len(site.rows("pr_number", "pr_metrics")) == len(true(github)["pull_requests"])


def test_b19_a_range_reads_what_changed_in_it_and_no_range_the_last_day(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    since, until = NOON - timedelta(days=6), NOON - timedelta(days=3)
    given = ["--since", f"{since:%Y-%m-%d}", "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}"]
    assert site.harvest("github", "collect", *given).code == 0
    changed = {**github.truth(since.replace(hour=0), until).pull_requests}
    assert held(site)["pull_requests"] == changed.keys() != set()
    assert site.harvest("github", "collect", "--since", f"{NOON - timedelta(days=2):%Y-%m-%dT%H:%M}").code == 0
    changed |= github.truth(NOON - timedelta(days=2), NOON).pull_requests
    assert held(site)["pull_requests"] == changed.keys() < true(github)["pull_requests"]
    other = site_of(tmp_path / "other", github)
    assert other.harvest("github", "collect").code == 0
    assert held(other)["pull_requests"] == github.truth(NOON - timedelta(days=1), NOON).pull_requests.keys()


def test_b20_the_last_hours_are_read(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    assert site.harvest("github", "collect", "--hours", "50").code == 0
    assert held(site)["pull_requests"] == github.truth(NOON - timedelta(hours=50), NOON).pull_requests.keys() != set()


def test_b21_repositories_are_chosen_for_every_collection(tmp_path: Path, github: RunningGitHub) -> None:
    site = site_of(tmp_path, github)
    assert site.harvest("github", "backfill", "--days", "11", "--repos", "widgets,player").code == 0
    rows = github.truth().pull_requests.values()
    chosen = {f"{row['repository_id']}/{row['pr_number']}" for row in rows if row["repository"] in ("widgets", "player")}
    assert held(site)["pull_requests"] == chosen != set()
    [kept] = checkpoints(site)
    assert site.harvest("github", "resume", "--collection-id", kept.collection_id, "--repos", "player").code == 0
    assert checkpoints(site)[0].repositories == ["player", "widgets"]
    done = site.harvest("github", "scheduled", "--repos", "plaier")
    assert (done.code, "did you mean player?" in done.err) == (2, True)
