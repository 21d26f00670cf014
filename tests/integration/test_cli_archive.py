"""`harvest archive` and `harvest replay`: raw events are kept, and every other sink can be made of them again."""

import asyncio
import json
from pathlib import Path

from zstandard import ZstdDecompressor

from tests.archiving import chunk_pull_request, chunked
from tests.site import HOUR, NOON, Site, stamp, world


def archived(folder: Path, url: str, *, hours: int = 3, **settings: str) -> Site:
    """A few hours of user actions, in the archive and in DuckDB."""
    site = Site(folder, url, HARVESTER_SINKS="duckdb,archive", **settings)
    assert site.harvest("useractions", "-s", stamp(NOON - hours * HOUR), "-e", stamp(NOON)).code == 0
    for sink in ("duckdb", "archive"):
        assert site.harvest("consume", sink, "--until-empty").code in (0, 5)
    return site


def segments(site: Site) -> list[Path]:
    return sorted((site.folder / "var/archive").rglob("*.ndjson.zst"))


def test_f8_the_archive_holds_every_event_and_says_when_one_is_gone(tmp_path: Path) -> None:
    with world(history=3 * HOUR, actions_per_day=800) as vendor:
        site = archived(tmp_path, vendor.url)
        true = vendor.truth(NOON - 3 * HOUR, NOON)
    whole = site.harvest("archive", "verify", "--json")
    assert (whole.code, whole.json["faults"], whole.json["unnamed"]) == (0, [], [])
    assert whole.json["events"] - whole.json["repeated"] >= len(true) > 30
    assert f"{whole.json['events']:,} events" in whole.err
    site.audit()
    # The doctor looks at it, too.
    assert "it can be listed; since" in site.harvest("doctor").out
    lost = segments(site)[0]
    lost.unlink()
    holed = site.harvest("archive", "verify")
    assert holed.code == 5
    assert f"{lost.name}: missing" in holed.out


def test_f9_b48_every_row_is_made_again_from_the_archive_without_one_call_and_twice_is_once(tmp_path: Path) -> None:
    with world(history=3 * HOUR, actions_per_day=800) as vendor:
        site = archived(tmp_path, vendor.url)
        vendor.calls()
        columns = "action_id, action_outpoint, event_id"
        before = sorted(site.rows(columns))
        (tmp_path / "var/harvest.duckdb").unlink()
        asked = ("--dry-run", "--json", "--into", "duckdb", "--ask", "10")
        looked = site.harvest("replay", *asked)
        assert (looked.code, looked.json["sinks"]["duckdb"].keys()) == (0, {"new"})
        assert 0 < looked.json["sinks"]["duckdb"]["new"] <= 10
        assert not (tmp_path / "var/harvest.duckdb").exists()
        for _ in range(2):
            done = site.harvest("replay", "--into", "duckdb", "--json")
            assert done.code in (0, 5), done.err
            assert done.json["sinks"]["duckdb"]["consumed"] == looked.json["events"]
            assert sorted(site.rows(columns)) == before
        again = site.harvest("replay", *asked)
        assert again.json["digest"] == looked.json["digest"]
        assert again.json["sinks"]["duckdb"].keys() == {"known"}
        assert vendor.calls() == 0


def test_f9_a_range_of_time_is_replayed_and_what_is_refused_is_told(tmp_path: Path) -> None:
    with world(history=3 * HOUR, actions_per_day=800) as vendor:
        site = archived(tmp_path, vendor.url)
        true = vendor.truth(NOON - 2 * HOUR, NOON - HOUR)
    (tmp_path / "var/harvest.duckdb").unlink()
    span = ("--from", stamp(NOON - 2 * HOUR), "--to", stamp(NOON - HOUR))
    assert site.harvest("replay", *span, "--source", "opencast", "--stream", "useraction").code in (0, 5)
    assert site.held().keys() == true.keys()
    assert "0 events" in site.harvest("replay", "--source", "zoom", "--dry-run").out
    for wrong in (["--into", "archive"], ["--from", stamp(NOON), "--to", stamp(NOON)], ["--from", "yesterday"]):
        assert site.harvest("replay", *wrong).code == 2
    assert site.harvest("pause", "duckdb").code == 0
    assert site.harvest("replay").code == 4


def test_f9_what_is_lost_of_the_archive_is_told_and_all_else_is_brought(tmp_path: Path) -> None:
    with world(history=3 * HOUR, actions_per_day=800) as vendor:
        site = archived(tmp_path, vendor.url, HARVESTER_ARCHIVE_SEGMENT_EVENTS="25")
    before = site.held()
    missing, altered = segments(site)[:2]
    named = {path.name: actions(path) for path in (missing, altered)}
    missing.unlink()
    altered.write_bytes(b"rotten")
    (tmp_path / "var/harvest.duckdb").unlink()
    done = site.harvest("replay", "--json")
    assert done.code == 5
    assert sorted(Path(name).name for name in done.json["lost"]) == sorted(named)
    for name, lost in named.items():
        assert f"{name}: " in done.err
        assert f"({len(lost)} events opencast.useraction of opencast" in done.err
    assert "bring them back from a copy" in done.err
    found = site.held()
    assert found.items() <= before.items()
    assert before.keys() - found.keys() <= {action for lost in named.values() for action in lost}
    assert len(found) > len(before) / 2
    assert site.harvest("replay", "--dry-run", "--ask", "0").code == 5


def actions(path: Path) -> list[int]:
    """Whose states the segment holds."""
    lines = ZstdDecompressor().decompress(path.read_bytes()).splitlines()
    return [int(json.loads(line)["subject"]) for line in lines]


def test_q27_chunks_are_asked_for_by_events_and_hidden_in_like_live_events(tmp_path: Path) -> None:
    site = Site(tmp_path, HARVESTER_PRIVACY="pseudonymous", HARVESTER_PRIVACY_KEY="0123456789abcdef")
    said = {"pr_number": 42, "author": "octocat", "body": "octocat: why?", "created_at": NOON.isoformat()}
    comments = [{**said, "comment_id": number} for number in range(30)]
    url = f"file://{tmp_path}/var/archive"
    asyncio.run(chunked(url, pull_requests=[chunk_pull_request()], issue_comments=comments))
    form = ("--format", "chunks", "--into", "duckdb")
    looked = site.harvest("replay", *form, "--dry-run", "--ask", "10", "--json")
    assert looked.json["events"] == 31
    assert looked.json["sinks"] == {"duckdb": {"new": 10}}
    assert site.harvest("replay", *form, "--dry-run", "--ask", "100", "--json").json["sinks"] == {"duckdb": {"new": 31}}
    assert site.harvest("replay", *form).code == 0
    rows = site.rows("author, body", "issue_comments")
    assert len(rows) == 30
    assert {(author[:2], "octocat" in body) for author, body in rows} == {("p-", False)}
