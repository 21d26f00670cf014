"""`harvest coverage`, and books that are missing, damaged, of the future or of another queue."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester.book import encode_book
from harvester.coverage import Book, Coverage, Intervals
from tests.site import HOUR, NOON, Site, World, stamp


def book(site: Site) -> Path:
    return site.folder / "var/coverage/opencast.json"


def gapped(tmp_path: Path, vendor: World) -> Site:
    """Two hours read and final, a gap of three, an hour that is not final."""
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 9 * HOUR), "-e", stamp(NOON - 7 * HOUR))
    site.harvest("useractions", "-s", stamp(NOON - 4 * HOUR), "-e", stamp(NOON - 3 * HOUR))
    return site


def test_show_draws_a_gap_and_says_how_to_fill_it(tmp_path: Path, vendor: World) -> None:
    done = gapped(tmp_path, vendor).harvest("coverage", "show", "useractions")
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0] == "opencast/useractions"
    assert "  start      2024-11-05T03:00:00Z   nothing is known before it" in lines
    assert "  watermark  2024-11-05T05:00:00Z   up to here everything is read and final" in lines
    assert "  live edge  2024-11-05T09:00:00Z   up to here something is read" in lines
    assert f"  {'█' * 20}{'·' * 30}{'▒' * 10}" in lines
    assert "  gap        2024-11-05T05:00:00Z … 2024-11-05T08:00:00Z   3:00:00" in lines
    assert "  1 gap, 3:00:00 in all: harvest coverage fill opencast/useractions" in lines


def test_a_bar_shows_no_gap_where_there_is_none(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 2 * HOUR))
    shown = site.harvest("coverage", "show").out
    assert f"  {'▒' * 60}\n" in shown
    assert "no gaps" in shown


def test_show_as_json_gives_every_set_of_time(tmp_path: Path, vendor: World) -> None:
    found = gapped(tmp_path, vendor).harvest("coverage", "show", "--json").json
    stream = found["opencast/useractions"]
    assert stream["read"] == [["2024-11-05T03:00:00Z", "2024-11-05T05:00:00Z"], ["2024-11-05T08:00:00Z", "2024-11-05T09:00:00Z"]]
    assert stream["settled"] == stream["read"][:1]
    assert stream["gaps"] == [["2024-11-05T05:00:00Z", "2024-11-05T08:00:00Z"]]
    assert stream["islands"] == []


def test_gaps_are_listed_and_end_with_5(tmp_path: Path, vendor: World) -> None:
    site = gapped(tmp_path, vendor)
    done = site.harvest("coverage", "gaps")
    assert (done.code, done.out) == (5, "opencast/useractions  2024-11-05T05:00:00Z … 2024-11-05T08:00:00Z  3:00:00\n")
    found = site.harvest("coverage", "gaps", "opencast/useractions", "--json")
    assert (found.code, found.json) == (5, {"opencast/useractions": [["2024-11-05T05:00:00Z", "2024-11-05T08:00:00Z"]]})


def test_fill_reads_a_part_of_the_gap_and_then_the_rest(tmp_path: Path, vendor: World) -> None:
    site = gapped(tmp_path, vendor)
    part = site.harvest("coverage", "fill", "useractions", "-s", stamp(NOON - 6 * HOUR), "-e", stamp(NOON - 5 * HOUR), "--json")
    assert (part.code, part.json["published"]) == (0, len(vendor.truth(NOON - 6 * HOUR, NOON - 5 * HOUR)))
    assert len(site.coverage()["gaps"]) == 2
    assert site.harvest("coverage", "fill").code == 0
    nothing = site.harvest("coverage", "fill", "--json")
    assert (nothing.code, nothing.json["read"]) == (0, 0)
    site.consume()
    assert site.held().keys() == vendor.truth(NOON - 9 * HOUR, NOON - 3 * HOUR).keys()


def test_fill_wants_its_end_after_its_start(tmp_path: Path, vendor: World) -> None:
    site = gapped(tmp_path, vendor)
    assert site.harvest("coverage", "fill", "-s", stamp(NOON), "-e", stamp(NOON - HOUR)).code == 2


def test_set_states_what_is_read_and_the_next_harvest_goes_on_from_there(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    times = ("--start", stamp(NOON - 48 * HOUR), "--read-until", stamp(NOON - 2 * HOUR))
    refused = site.harvest("coverage", "set", "useractions", *times)
    assert (refused.code, "--yes" in refused.err, site.coverage()) == (4, True, None)
    assert site.harvest("coverage", "set", "useractions", *times, "--yes").code == 0
    assert site.coverage()["watermark"] == "2024-11-05T10:00:00Z"
    assert site.harvest("useractions").code == 0
    assert site.coverage()["gaps"] == []
    site.consume()
    assert site.held().keys() >= vendor.truth(NOON - 2 * HOUR, NOON).keys()


@pytest.mark.parametrize(
    "times", [("-s", "20440101"), ("-s", "20240101", "-u", "20440101"), ("-s", "20240102", "-u", "20240101")]
)
def test_set_takes_no_time_of_the_future_and_no_end_before_the_start(tmp_path: Path, times: tuple[str, ...]) -> None:
    site = Site(tmp_path, "http://127.0.0.1:9")
    assert site.harvest("coverage", "set", "useractions", *times, "--yes").code == 2
    assert not book(site).exists()


def test_e22_reset_wants_consent_and_forgets_what_was_read(tmp_path: Path, vendor: World) -> None:
    site = gapped(tmp_path, vendor)
    assert site.harvest("coverage", "reset", "useractions").code == 4
    assert site.coverage()["read"] != []
    assert site.harvest("coverage", "reset", "opencast", "--yes").code == 0
    assert site.coverage()["read"] == []
    site.harvest("useractions")
    assert site.coverage()["start"].startswith("2024-11-05T11:58:00")


def test_reset_of_what_is_not_there_makes_nothing(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("coverage", "reset", "useractions", "--yes").code == 0
    assert not book(site).exists()
    site.harvest("useractions")
    assert site.harvest("coverage", "reset", "opencast/typo", "--yes").code == 0
    assert list(site.harvest("coverage", "show", "--json").json) == ["opencast/useractions"]
    wrong = site.harvest("coverage", "show", "opencast/typo")
    assert (wrong.code, "there are: useractions" in wrong.err) == (2, True)


def test_f09_a_missing_book_is_told_and_a_deleted_one_begins_again(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    assert "next: harvest useractions" in site.harvest("coverage", "show").err
    site.harvest("useractions", "-i", "60")
    book(site).unlink()
    assert site.harvest("useractions").code == 0
    assert site.coverage()["start"].startswith("2024-11-05T11:58:00")


def test_f10_a_damaged_book_is_read_from_its_last_generation_and_without_one_it_is_refused(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 2 * HOUR))
    book(site).write_bytes(book(site).read_bytes()[:-20])
    done = site.harvest("useractions")
    assert done.code == 0
    assert "damaged" in done.err
    assert site.coverage()["start"] == "2024-11-05T10:00:00Z"
    for path in book(site).parent.glob("opencast.json*"):
        path.write_bytes(b"nonsense")
    refused = site.harvest("useractions")
    assert refused.code == 3
    assert "harvest coverage reset opencast" in refused.err
    assert site.harvest("coverage", "show").code == 3
    assert site.harvest("coverage", "reset", "opencast", "--yes").code == 0
    assert site.harvest("useractions").code == 0
    assert list(site.harvest("coverage", "show", "--json").json) == ["opencast/useractions"]


@pytest.mark.parametrize("reset", ["opencast", "useractions", "opencast/useractions"])
def test_f11_a_book_of_the_future_is_refused_and_a_reset_mends_it(tmp_path: Path, vendor: World, reset: str) -> None:
    site = Site(tmp_path, vendor.url)
    book(site).parent.mkdir(parents=True)
    later = datetime.now(UTC) + timedelta(days=2)
    read = Intervals([(NOON, later)])
    book(site).write_bytes(encode_book(Book(epoch="abc", queue="", streams={"useractions": Coverage(start=NOON, read=read)})))
    done = site.harvest("useractions")
    assert done.code == 4
    assert "clock" in done.err
    assert site.harvest("coverage", "reset", reset, "--yes").code == 0
    assert site.harvest("useractions").code == 0


def test_f09_a_book_of_another_queue_is_refused_and_both_ways_on_work(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 3 * HOUR))
    other = {"HARVESTER_QUEUE_URL": "sqlite:///var/other.db"}
    vendor.calls()
    done = site.harvest("useractions", **other)
    assert (done.code, vendor.calls()) == (4, 0)
    assert "point HARVESTER_QUEUE_URL at the old queue again" in done.err
    assert "harvest coverage reset opencast --yes" in done.err
    assert site.harvest("run", "--no-consume", **other).code == 4
    assert site.harvest("useractions").code == 0, "the first way: the old queue"
    assert site.harvest("coverage", "reset", "opencast", "--yes", **other).code == 0, "the second way: anew"
    assert site.harvest("useractions", "-s", stamp(NOON - 3 * HOUR), **other).code == 0
    site.harvest("consume", "--until-empty", **other)
    assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON).keys()


def test_a_store_without_access_is_never_taken_for_an_empty_one(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/coverage").write_text("a file where the folder should be")
    done = site.harvest("useractions")
    assert done.code == 3
    assert "var/coverage" in done.err
