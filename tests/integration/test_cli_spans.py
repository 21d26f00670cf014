"""Spans over the limit, and the two ways on; a second instance; history that is filled."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from harvester.lock import Lock
from tests.site import HOUR, NOON, Site, World, stamp, world

DAY = timedelta(days=1)


def paused(tmp_path: Path, vendor: World, policy: str = "windows", limit: str = "21600") -> Site:
    """A site that harvested 26 hours ago for the last time, and then was switched off: 25 h must not count as 1 h."""
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 27 * HOUR), "-e", stamp(NOON - 26 * HOUR))
    site.settings |= {"MAX_START_END_SPAN": limit, "HARVESTER_SPAN_POLICY": policy}
    vendor.calls()
    return site


def commands_in(text: str) -> list[list[str]]:
    """The commands that a message prints on lines of their own."""
    return [line.split()[1:] for line in text.splitlines() if line.strip().startswith("harvest ")]


def complete(site: Site, vendor: World) -> bool:
    site.consume()
    site.audit()
    return site.held().keys() == vendor.truth(NOON - 27 * HOUR, NOON).keys()


def test_e19_q6_f07_windows_read_a_long_span_piece_by_piece_and_end_with_0(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor)
    assert site.harvest("useractions").code == 0
    assert site.coverage()["gaps"] == []
    assert complete(site, vendor)


def test_e20_without_a_limit_nothing_is_checked_whatever_the_policy(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "abort", limit="")
    assert site.harvest("useractions").code == 0
    assert complete(site, vendor)


def test_e19_q6_f07_abort_ends_with_4_with_nothing_fetched_and_nothing_moved(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "abort")
    before = site.coverage()
    done = site.harvest("useractions")
    assert done.code == 4
    assert vendor.calls() == 1, "the probe alone"
    assert site.coverage() == before
    assert "93780 s long, more than MAX_START_END_SPAN = 21600 s" in done.err
    assert "pause scheduled harvests" in done.err


def test_e21_q5_the_first_way_on_that_is_printed_reads_the_whole_span_at_once(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "abort")
    first, *_ = commands_in(site.harvest("useractions").err)
    assert first == ["useractions", "--disable-start-end-span-check"]
    vendor.calls()
    assert site.harvest(*first).code == 0
    assert complete(site, vendor)


def test_e22_the_second_way_on_that_is_printed_resets_and_fills_the_gap_in_several_runs(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "abort")
    _, *second = commands_in(site.harvest("useractions").err)
    assert second[0] == ["coverage", "reset", "useractions", "--yes"]
    assert len(second) == 6
    for command in second:
        assert site.harvest(*command).code == 0, command
    assert site.coverage()["gaps"] == []
    assert complete(site, vendor)
    assert site.harvest("useractions").code == 0, "and it goes on"


def test_e19_the_commands_name_the_range_when_one_was_given(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "abort")
    site.settings["HARVESTER_TIMEZONE"] = "Asia/Tokyo"
    site.settings["HARVESTER_OPENCAST_TIMEZONE"] = "UTC"
    done = site.harvest("useractions", "-s", "2024-11-04T10:00Z", "-e", "2024-11-05T12:00Z")
    assert done.code == 4
    first, *_ = commands_in(done.err)
    assert site.harvest(*first).code == 0
    assert complete(site, vendor)


def test_e19_q6_gap_reads_the_last_piece_ends_with_5_and_leaves_the_rest_to_be_filled(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "gap")
    done = site.harvest("useractions")
    assert done.code == 5
    assert "harvest coverage fill opencast" in done.err
    found = site.coverage()
    assert len(found["gaps"]) == 1
    assert found["gaps"][0][0] == "2024-11-04T10:00:00Z"
    assert found["gaps"][0][1].startswith("2024-11-05T06:00:00")
    assert site.harvest("useractions").code == 0, "an old gap is no news"
    assert site.harvest("coverage", "gaps").code == 5
    assert site.harvest("coverage", "fill").code == 0, "the policy that left the gap does not stop its filling"
    assert site.harvest("coverage", "gaps").code == 0
    assert complete(site, vendor)


def test_q6_the_policy_may_come_from_the_command_line(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "windows")
    assert site.harvest("useractions", "--span_policy", "abort").code == 4


def test_q6_once_obeys_the_limit_and_backfill_is_never_refused(tmp_path: Path, vendor: World) -> None:
    site = paused(tmp_path, vendor, "abort")
    assert site.harvest("once", "opencast", "--since", stamp(NOON - DAY)).code == 4
    assert site.harvest("backfill", "-s", stamp(NOON - 3 * DAY), "-e", stamp(NOON)).code == 0
    assert site.coverage()["gaps"] == []


@pytest.mark.parametrize("limit", ["abc", "-5", "0", "1.5"])
def test_f07_a_limit_that_is_no_number_of_seconds_is_refused(tmp_path: Path, limit: str) -> None:
    done = Site(tmp_path, "http://127.0.0.1:9", MAX_START_END_SPAN=limit).harvest("useractions")
    assert done.code == 3
    assert "MAX_START_END_SPAN" in done.err


@contextmanager
def owned(site: Site, lease: str, owner: str) -> Iterator[None]:
    """Somebody else holds the lease."""
    (site.folder / "var/coverage").mkdir(parents=True, exist_ok=True)
    lock = Lock(site.folder / "var/coverage" / lease, owner)
    assert lock.acquire()
    try:
        yield
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("lease", "command"),
    [
        ("opencast+useractions.lease", "useractions"),
        ("opencast+useractions.lease", "useractions --disable-start-end-span-check"),
        ("opencast+useractions.lease", "once opencast"),
        ("opencast+useractions.lease", "run --no-consume"),
        ("opencast+useractions%20backfill.lease", "backfill -s 20241101"),
        ("opencast+useractions%20backfill.lease", "coverage fill"),
        ("opencast.stdout+useractions.lease", "useractions -o - --update-last-ts"),
    ],
)
def test_e21_f12_a_second_instance_ends_with_4_and_names_the_owner(
    tmp_path: Path, vendor: World, lease: str, command: str
) -> None:
    site = Site(tmp_path, vendor.url)
    with owned(site, lease, "elsewhere pid 4711"):
        done = site.harvest(*command.split())
    assert done.code == 4
    assert "is being harvested by elsewhere pid 4711" in done.err


def test_e21_a_harvest_beside_the_daemon_is_refused_with_the_daemons_name_and_a_look_or_a_backfill_is_not(tmp_path: Path) -> None:
    with world() as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_START=stamp(NOON - HOUR))
        with site.process("run", "--no-consume") as daemon:
            daemon.until(lambda: site.book().read)
            done = site.harvest("useractions")
            assert (done.code, f"pid {daemon.pid}" in done.err) == (4, True)
            assert site.harvest("useractions", "-o", "-").code == 0
            assert site.harvest("backfill", "-s", stamp(NOON - 3 * HOUR)).code == 0
            assert daemon.stop() == 0
        assert site.coverage()["start"] == "2024-11-05T09:00:00Z"
        assert site.harvest("useractions").code == 0
        site.consume()
        assert site.held().keys() >= vendor.truth(NOON - 3 * HOUR, NOON - HOUR).keys()
        site.audit()


def test_e21_the_lease_ends_with_its_process_however_that_ends(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    point = {"HARVESTER_CRASH_AT": "harvest.after_publish:1"}
    with site.process("useractions", **point) as killed:
        assert killed.ended() == -9
    assert site.harvest("useractions").code == 0
    assert site.coverage()["read"] != []
