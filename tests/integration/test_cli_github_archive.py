"""What is done with GitHub's archive by command: loaded, summed up, and cleared of one repository."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from consumers.segments import MANIFESTS, SUFFIX, Manifest
from consumers.sinks.archive import ArchiveSink
from consumers.stock import names_of
from consumers.wiped import FOLDER, wipe
from harvester.commands.github import COMMANDS
from harvester.event import Event, event_id
from tests.archiving import COLLECTED, chunk_pull_request, chunked, stored, written
from tests.github_records import ALL_GITHUB, READ_AT
from tests.site import Site
from tests.useractions import useraction_event

TABLES = ("commits", "issue_comments", "pr_commits", "pull_requests", "repositories", "review_comments", "reviews")
NEXT_DAY = READ_AT + timedelta(days=1)


def elsewhere(event: Event) -> Event:
    """The same in the repository gadgets, read a day later."""
    data = bytes(event.data).replace(b'"id":123,"name":"widgets"', b'"id":456,"name":"gadgets"')
    subject = event.subject.replace("123", "456")
    id_ = event_id(event.source, event.type, subject, data)
    return msgspec.structs.replace(event, id=id_, data=msgspec.Raw(data), subject=subject, read_at=NEXT_DAY)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An archive of two repositories, and of something that is not GitHub's."""
    asyncio.run(written(f"file://{tmp_path}/archive", ALL_GITHUB, [*map(elsewhere, ALL_GITHUB), useraction_event(1)]))
    return Site(tmp_path, HARVESTER_SINKS="duckdb,archive", HARVESTER_ARCHIVE_URL=f"file://{tmp_path}/archive")


def held(site: Site, columns: str = "repository") -> dict[str, list[Any]]:
    """What each table has, without times of writing."""
    with duckdb.connect(site.folder / "var/harvest.duckdb", read_only=True) as connection:
        there = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
        found = {table: connection.execute(f"SELECT {columns} FROM {table}").fetchall() for table in TABLES if table in there}
    return {table: sorted(value for (value,) in rows) for table, rows in found.items() if rows}


def test_b24_b25_b26_the_archive_is_loaded_whole_or_one_repository_or_one_day(site: Site) -> None:
    one = site.harvest("github", "load-gcs", "--repo", "widgets", "--json")
    assert one.code == 0, one.err
    assert held(site) == {key: ["widgets"] for key in TABLES}
    assert one.json["events"]["pull_request"] == 1
    assert one.json["sinks"]["duckdb"]["delivered"] == len(ALL_GITHUB)
    assert one.json["metrics"] == {"duckdb": {"metrics": 2, "pr_metrics": 1}}
    (site.folder / "var/harvest.duckdb").unlink()
    assert site.harvest("github", "load-gcs", "--date", f"{NEXT_DAY:%Y-%m-%d}").code == 0
    assert held(site) == {key: ["gadgets"] for key in TABLES}
    none = site.harvest("github", "load-gcs", "--date", f"{NEXT_DAY:%Y-%m-%d}", "--repo", "acme/widgets")
    assert (none.code, "nothing like that is archived" in none.err) == (0, True)
    whole = site.harvest("github", "load-gcs")
    assert (whole.code, held(site)) == (0, {key: ["gadgets", "widgets"] for key in TABLES})
    assert "pull_request: 2 events" in whole.err
    before = held(site, "subject || event_id")
    assert site.harvest("github", "load-gcs").code == 0
    assert held(site, "subject || event_id") == before


def test_b24_the_predecessors_chunks_are_loaded_with_the_rest_and_an_item_that_is_none_is_told(site: Site) -> None:
    url = f"file://{site.folder}/archive"
    asyncio.run(chunked(url, pull_requests=[chunk_pull_request(), {"number": 7}]))
    done = site.harvest("github", "load-gcs", "--date", "2026-01-02")
    assert done.code == 5
    assert "1 item left out" in done.err
    assert held(site, "pr_number") == {"pull_requests": [42]}


def test_b24_a_segment_that_is_gone_is_told_and_the_others_are_loaded(site: Site) -> None:
    next((site.folder / "archive/acme/widgets/reviews").rglob("*.zst")).unlink()
    done = site.harvest("github", "load-gcs")
    assert done.code == 5
    assert "1 object with at least 1 event could not be read" in done.err
    assert held(site)["reviews"] == ["gadgets"]


@pytest.mark.parametrize(("given", "more", "code", "said"), [
    (("load-gcs", "--repo", "wigets"), {}, 2, "did you mean widgets"),
    (("load-gcs", "--date", "yesterday"), {}, 2, "is no day"),
    (("load-gcs",), {"HARVESTER_SINKS": "archive"}, 3, "no sink to load into"),
    (("load-gcs",), {"PERSIST_TO_GCS": "false"}, 3, "rows go straight into the warehouse"),
    (("wipe-gcs", "--repo", "other/widgets"), {}, 2, "nothing of other/widgets is archived"),
])  # fmt: skip
def test_b24_b28_what_cannot_be_done_is_refused_with_the_reason(
    site: Site, given: tuple[str, ...], more: dict[str, str], code: int, said: str
) -> None:
    done = site.harvest("github", *given, **more)
    assert done.code == code
    assert said in done.err


def test_b27_the_summary_has_every_repository_and_type_and_what_is_unfinished(site: Site) -> None:
    url = f"file://{site.folder}/archive"
    asyncio.run(chunked(url, commits=[{}, {}, {}]))
    for name, state in (("20260101T000000Z", "complete"), ("20260102T000000Z", "running")):
        asyncio.run(checkpoint(url, name, state))
    done = site.harvest("github", "gcs-summary", "--json")
    found = {(one["repository"], one["data_type"]): one for one in done.json["amounts"]}
    assert {repository for repository, _ in found} == {"acme/gadgets", "acme/widgets"}
    commits = found["acme/widgets", "commits"]
    assert (commits["files"], commits["records"], commits["first"], commits["last"]) == (
        2,
        4,
        "2026-01-02",
        f"{READ_AT:%Y-%m-%d}",
    )
    files = list((site.folder / "archive/acme").rglob("*_chunk_*"))
    assert done.json["totals"] == {
        "repositories": 2, "files": 15, "records": 17, "bytes": sum(path.stat().st_size for path in files),
    }  # fmt: skip
    assert done.json["unfinished"] == [{"collection_id": "20260102T000000Z", "organisation": "acme", "state": "running"}]
    shown = site.harvest("github", "gcs-summary")
    assert (done.code, shown.code) == (0, 0)
    assert "not complete: collection 20260102T000000Z of acme: running" in shown.out
    assert "2 repositories, 15 files, 17 records" in shown.out


def test_b51_the_page_of_the_archive_has_each_part_and_every_command_that_works_on_it() -> None:
    page = (Path(__file__).parents[2] / "docs/GCS_PERSISTENCE.md").read_text()
    parts = {line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")}
    assert {"Flow", "Layout and format", "Checkpoints", "Commands", "Retention and cost", "Permissions", "Trouble"} <= parts
    on_it = {"load-gcs", "gcs-summary", "wipe-gcs", "resume"}
    assert on_it <= set(COMMANDS)
    commands = [
        *(f"harvest github {name}" for name in on_it),
        "harvest archive verify",
        "harvest replay",
        "harvest consume archive",
    ]
    assert [command for command in commands if command not in page] == []
    names = ("_checkpoints/", FOLDER, MANIFESTS, SUFFIX)
    assert [name for name in names if name not in page] == []


async def checkpoint(url: str, name: str, state: str) -> None:
    async with stored(url) as objects:
        await objects.put(f"acme/_checkpoints/{name}.json", json.dumps({"collection_id": name, "state": state}).encode())


def test_b28_one_repository_is_wiped_with_consent_alone_and_the_archive_is_whole_without_it(site: Site) -> None:
    url = f"file://{site.folder}/archive"
    asyncio.run(chunked(url, commits=[{}]))
    folder = site.folder / "archive"
    before = {path for path in folder.rglob("*") if path.is_file()}
    asked = site.harvest("github", "wipe-gcs", "--repo", "widgets")
    assert asked.code == 4
    assert "8 objects of acme/widgets would be deleted, nothing was" in asked.err
    assert len([line for line in asked.out.splitlines() if line.startswith("acme/widgets/")]) == 8
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    done = site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm")
    assert (done.code, "8 objects of acme/widgets deleted" in done.err) == (0, True)
    left = {path for path in folder.rglob("*") if path.is_file()}
    assert set(before - left) == {path for path in before if "acme/widgets/" in str(path)}
    assert folder / f"acme/_checkpoints/{COLLECTED}.json" in left
    # What was deleted on purpose is no damage; what is gone otherwise still is.
    verdict = site.harvest("archive", "verify", "--json")
    assert (verdict.code, verdict.json["faults"], verdict.json["segments"]) == (0, [], len(ALL_GITHUB) + 1)
    loaded = site.harvest("github", "load-gcs")
    assert (loaded.code, held(site)) == (0, {key: ["gadgets"] for key in TABLES})
    assert "acme/widgets" not in site.harvest("github", "gcs-summary").out
    next(folder.rglob("gadgets/reviews/**/*.zst")).unlink()
    assert site.harvest("archive", "verify").code == 5
    # What is collected after the wipe counts again.
    asyncio.run(written(url, ALL_GITHUB))
    assert "acme/widgets" in site.harvest("github", "gcs-summary").out


def test_b28_a_wipe_that_was_cut_off_is_given_again_and_its_rest_is_no_part_of_the_archive(site: Site) -> None:
    folder = site.folder / "archive"
    kept = next((folder / "acme/widgets/reviews").rglob("*.zst"))
    body = kept.read_bytes()
    assert site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm").code == 0
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(body)  # as if it had not come to this one
    assert site.harvest("archive", "verify").code == 0
    assert site.harvest("github", "load-gcs").code == 0
    assert held(site)["reviews"] == ["gadgets"]
    again = site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm")
    assert (again.code, "1 object of acme/widgets deleted" in again.err) == (0, True)
    assert not kept.exists()


def follower(event: Event) -> Event:
    """The same in another repository, which took the name widgets when the first was renamed; read a day later."""
    data = bytes(event.data).replace(b'"id":123,"name":"widgets"', b'"id":789,"name":"widgets"')
    return msgspec.structs.replace(event, data=msgspec.Raw(data), subject=event.subject.replace("123", "789"), read_at=NEXT_DAY)


def test_b28_a_repository_that_bears_the_name_of_another_is_wiped_by_its_number_and_the_other_stays(site: Site) -> None:
    asyncio.run(written(f"file://{site.folder}/archive", [*map(follower, ALL_GITHUB)]))
    folder = site.folder / "archive/acme/widgets"
    before = {path for path in folder.rglob("*") if path.is_file()}
    for given in ((), ("--confirm",), ("--number", "5", "--confirm")):
        refused = site.harvest("github", "wipe-gcs", "--repo", "widgets", *given)
        assert refused.code == 2
        assert "123 (7 objects), 789 (7 objects)" in refused.err
    assert {path for path in folder.rglob("*") if path.is_file()} == before
    done = site.harvest("github", "wipe-gcs", "--repo", "widgets", "--number", "123", "--confirm")
    assert (done.code, "7 objects of acme/widgets deleted" in done.err) == (0, True)
    assert {path.parent.name for path in folder.rglob("*") if path.is_file()} == {f"{NEXT_DAY:%Y-%m-%d}"}
    assert site.harvest("archive", "verify").code == 0


def test_b28_what_holds_things_of_several_repositories_stays_and_is_told(site: Site) -> None:
    asyncio.run(
        written(
            f"file://{site.folder}/archive", [ALL_GITHUB[0], msgspec.structs.replace(follower(ALL_GITHUB[0]), read_at=READ_AT)]
        )
    )
    done = site.harvest("github", "wipe-gcs", "--repo", "widgets", "--number", "789")
    assert done.code == 4
    assert "1 object of acme/widgets stay" in done.err
    assert "0 objects of acme/widgets would be deleted" in done.err


def test_b28_what_manifests_name_and_is_gone_is_wiped_with_the_rest(site: Site) -> None:
    next((site.folder / "archive/acme/widgets/reviews").rglob("*.zst")).unlink()
    assert site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm").code == 0
    assert site.harvest("archive", "verify").code == 0
    # Whose clock is ahead and archived while it was wiped names what is gone: the same command again sets it right.
    manifests = (site.folder / "archive/_manifests").rglob("*.json")
    (named,) = [path for path in manifests if b"acme/widgets" in path.read_bytes()]
    named.with_name(named.name.replace("-000001", "-000009")).write_bytes(later(named.read_bytes()))
    assert site.harvest("github", "load-gcs").code == 5
    again = site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm")
    assert (again.code, "7 objects of acme/widgets deleted" in again.err) == (0, True)
    assert site.harvest("github", "load-gcs").code == 0
    assert site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm").code == 2


def test_b28_what_is_being_archived_while_it_is_wiped_is_wiped_with_the_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    url, naming = f"file://{site.folder}/archive", ArchiveSink._name

    async def wiped_before(sink: ArchiveSink, *given: Any) -> None:
        async with stored(url) as objects:
            await wipe(objects, "acme/widgets", [name for name, _ in await names_of(objects, "acme/widgets")])
        await naming(sink, *given)

    monkeypatch.setattr(ArchiveSink, "_name", wiped_before)
    asyncio.run(written(url, ALL_GITHUB))
    verdict = site.harvest("archive", "verify", "--json")
    assert (verdict.code, verdict.json["faults"]) == (0, [])
    assert site.harvest("github", "load-gcs").code == 0
    assert site.harvest("github", "wipe-gcs", "--repo", "widgets", "--confirm").code == 2


def later(body: bytes) -> bytes:
    """The same manifest, written now by another."""
    found = msgspec.json.decode(body, type=Manifest)
    return msgspec.json.encode(msgspec.structs.replace(found, writer="other", written=datetime.now(UTC)))
