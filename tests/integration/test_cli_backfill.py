"""`harvest once` and `harvest backfill`: a look, a range, and history that is read on after a kill."""

from datetime import timedelta
from pathlib import Path

import pytest

from harvester.coverage import Intervals
from tests.site import HOUR, NOON, Site, World, stamp

DAY = timedelta(days=1)


def test_once_dry_run_shows_events_as_json_lines_up_to_the_limit_and_makes_nothing(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    done = site.harvest("once", "opencast", "--since", stamp(NOON - HOUR), "--dry-run", "--limit", "20")
    assert done.code == 0
    assert len(done.lines) == 20
    assert {line["type"] for line in done.lines} == {"opencast.useraction"}
    assert {int(line["subject"]) for line in done.lines} <= vendor.truth(NOON - HOUR, NOON).keys()
    assert done.err == "20 events shown, 0 broken records; nothing was published or recorded\n"
    assert not (tmp_path / "var").exists()


def test_once_dry_run_without_a_limit_shows_the_whole_range(tmp_path: Path, vendor: World) -> None:
    args = ("--since", stamp(NOON - 5 * HOUR), "--until", stamp(NOON - 3 * HOUR), "--dry_run", "-o", "ndjson")
    done = Site(tmp_path, vendor.url).harvest("once", "opencast", *args)
    assert {int(line["subject"]) for line in done.lines} == vendor.truth(NOON - 5 * HOUR, NOON - 3 * HOUR).keys()


def test_once_reads_a_range_of_one_stream_into_the_queue(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    span = ("--since", stamp(NOON - 5 * HOUR), "--until", stamp(NOON - 3 * HOUR))
    done = site.harvest("once", "opencast", "--stream", "useractions", *span, "--json")
    truth = vendor.truth(NOON - 5 * HOUR, NOON - 3 * HOUR)
    assert (done.code, done.json["published"], done.json["stream"]) == (0, len(truth), "useractions")
    assert site.book().read == Intervals([(NOON - 5 * HOUR, NOON - 3 * HOUR)])
    wrong = site.harvest("once", "opencast", "--stream", "plays", *span)
    assert (wrong.code, "there are: useractions" in wrong.err) == (2, True)


@pytest.mark.parametrize("since", ["20440101", "yesterday", stamp(NOON)])
def test_once_takes_no_range_that_ends_before_it_begins_or_lies_in_the_future(tmp_path: Path, vendor: World, since: str) -> None:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("once", "opencast", "--since", since, "--until", "20451104").code == (0 if since == stamp(NOON) else 2)
    assert site.harvest("once", "opencast", "--since", since, "--until", stamp(NOON - DAY)).code == 2


def test_backfill_plans_first_then_moves_the_start_back_and_fills(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 2 * HOUR))
    before = site.book()
    plan = site.harvest("backfill", "opencast", "-s", stamp(NOON - 6 * HOUR), "--dry-run")
    assert (plan.code, plan.out) == (0, "2024-11-05T06:00:00Z … 2024-11-05T10:00:00Z\n")
    assert plan.err == "4 windows of 1:00:00, 4:00:00 in all; nothing was read\n"
    assert site.harvest("backfill", "-s", stamp(NOON - 6 * HOUR), "--dry-run", "--json").json["windows"] == 4
    assert site.book() == before
    done = site.harvest("backfill", "opencast", "--start", stamp(NOON - 6 * HOUR), "--json")
    assert (done.code, done.json["published"]) == (0, len(vendor.truth(NOON - 6 * HOUR, NOON - 2 * HOUR)))
    assert (site.book().start, site.book().gaps()) == (NOON - 6 * HOUR, Intervals())
    again = site.harvest("backfill", "opencast", "--start", stamp(NOON - 6 * HOUR), "--json")
    assert (again.code, again.json["read"]) == (0, 0), "what is read is not read again"
    twice = site.harvest("backfill", "-s", stamp(NOON - 6 * HOUR), "-e", stamp(NOON - 5 * HOUR), "--again", "--json")
    assert twice.json["read"] == len(vendor.truth(NOON - 6 * HOUR, NOON - 5 * HOUR))
    site.consume()
    assert site.held().keys() == vendor.truth(NOON - 6 * HOUR, NOON).keys()
    site.audit()


def test_f51_a_backfill_that_is_killed_goes_on_where_it_was(tmp_path: Path, vendor: World) -> None:
    start = NOON - 2 * DAY
    site = Site(tmp_path, vendor.url, HARVESTER_COVERAGE_PACE="0")
    site.harvest("useractions")
    command = ("backfill", "-s", stamp(start))
    for _ in range(2):
        with site.process(*command, HARVESTER_CRASH_AT="harvest.after_publish:9") as killed:
            assert killed.ended() == -9
    left = site.book().gaps().total
    assert timedelta(hours=30) < left < timedelta(hours=34), "each killed run kept its eight windows"
    done = site.harvest(*command, "--json")
    assert (done.code, site.book().gaps()) == (0, Intervals())
    assert done.json["published"] <= len(vendor.truth(NOON - left - timedelta(minutes=3), NOON))
    site.consume()
    assert site.held().keys() == vendor.truth(start, NOON).keys()
    site.audit()


def test_backfill_of_a_part_tells_the_gap_it_leaves_and_leaves_the_live_edge_alone(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    edge = site.book().live_edge
    assert site.harvest("backfill", "-s", stamp(NOON - 9 * HOUR), "-e", stamp(NOON - 8 * HOUR)).code == 5
    assert site.book().live_edge == edge
    assert site.book().gaps() == Intervals([(NOON - 8 * HOUR, NOON - HOUR)])
    assert site.harvest("coverage", "fill").code == 0
    site.consume()
    assert site.held().keys() == vendor.truth(NOON - 9 * HOUR, NOON).keys()


@pytest.mark.parametrize("times", [("-s", "20440101"), ("-s", stamp(NOON), "-e", stamp(NOON - DAY)), ("-s", "soon")])
def test_backfill_wants_a_range_of_the_past(tmp_path: Path, vendor: World, times: tuple[str, ...]) -> None:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("backfill", *times).code == 2
    assert site.harvest("coverage", "show", "--json").json == {}
