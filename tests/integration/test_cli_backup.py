"""Backup and restore: what is copied fits together, and what does not fit is refused instead of losing events in silence."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Site, World, stamp, world

MORNING = NOON - 12 * HOUR


@pytest.fixture
def vendor() -> Iterator[World]:
    """Of its own for each test: its clock is moved. Rows are at rest at once, so that no later reading hides a loss."""
    with world(late=False, growing=False) as found:
        yield found


@pytest.fixture
def site(tmp_path: Path, vendor: World) -> Site:
    """Half a day is harvested and in the sink."""
    found = Site(tmp_path, vendor.url)
    assert found.harvest("useractions", "-s", stamp(MORNING)).code == 0
    assert found.consume().code == 0
    return found


def two_hours_more(site: Site, vendor: World) -> None:
    vendor.advance(2 * HOUR)
    assert site.harvest("useractions").code == 0


def equal(site: Site, vendor: World) -> bool:
    """Whether the sink holds what there is since the morning, each thing once and in its newest state."""
    return site.held() == {one: action.outpoint for one, action in vendor.truth(MORNING, vendor.now()).items()}


def restore(site: Site, *names: str) -> None:
    """Put these of the saved files in place of those that are there, as the runbook says."""
    for name in names:
        kept, place = site.folder / "saved" / name, site.folder / "var" / name
        for old in place.parent.glob(f"{name}*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copytree(kept, place) if kept.is_dir() else shutil.copy(kept, place)


def test_a_backup_of_a_running_daemon_is_restored_and_nothing_is_missing_or_doubled(site: Site, vendor: World) -> None:
    with site.process("run", HARVESTER_POLL_INTERVAL="0.05", HARVESTER_COVERAGE_PACE="0") as daemon:
        vendor.advance(HOUR)
        daemon.until(lambda: (site.book().live_edge or MORNING) >= vendor.now())
        done = site.harvest("backup", "saved", "--json")
        assert done.code == 0
        assert {one["file"] for one in done.json} == {"queue.db", "letters.db", "coverage/opencast.json", "harvest.duckdb"}
        vendor.advance(HOUR)
        daemon.until(lambda: (site.book().live_edge or MORNING) >= vendor.now())
        daemon.send(signal.SIGKILL)
    shutil.rmtree(site.folder / "var")
    shutil.copytree(site.folder / "saved", site.folder / "var")
    vendor.advance(HOUR)
    assert site.harvest("useractions").code == 0
    assert site.consume().code == 0
    assert equal(site, vendor)
    site.audit()


def test_a_newer_sink_beside_a_restored_queue_gets_everything_again_and_doubles_nothing(site: Site, vendor: World) -> None:
    assert site.harvest("backup", "saved").code == 0
    two_hours_more(site, vendor)
    assert site.consume().code == 0
    restore(site, "queue.db", "coverage", "letters.db")
    assert site.harvest("useractions").code == 0
    assert site.consume().code == 0
    assert equal(site, vendor)


def test_a_queue_that_is_newer_than_its_book_is_read_into_again(site: Site, vendor: World) -> None:
    assert site.harvest("backup", "saved").code == 0
    two_hours_more(site, vendor)
    restore(site, "coverage")
    assert site.harvest("useractions").code == 0
    assert site.consume().code == 0
    assert equal(site, vendor)


@pytest.fixture
def torn(site: Site, vendor: World) -> Site:
    """The queue alone was restored: the book claims two hours that it lacks."""
    assert site.harvest("backup", "saved").code == 0
    shutil.copy(site.folder / "var/coverage/opencast.json", site.folder / "older.json")
    two_hours_more(site, vendor)
    restore(site, "queue.db")
    return site


def test_f09_a_queue_older_than_its_book_is_refused_by_everything_that_harvests(torn: Site) -> None:
    for command in (("useractions",), ("run",), ("once", "opencast"), ("backfill", "opencast", "-s", stamp(NOON - 24 * HOUR))):
        done = torn.harvest(*command)
        assert done.code == 4, command
        assert "an older copy" in done.err
        assert "harvest coverage reset opencast --yes" in done.err
    audit = torn.harvest("audit")
    assert audit.code == 1
    assert "UNEQUAL" in audit.out


def test_the_book_that_was_saved_with_the_queue_heals_it(torn: Site, vendor: World) -> None:
    restore(torn, "coverage")
    assert torn.harvest("useractions").code == 0
    assert torn.consume().code == 0
    assert equal(torn, vendor)


@pytest.mark.parametrize(
    "way",
    [
        [("coverage", "set", "useractions", "-s", stamp(MORNING), "-u", stamp(NOON - 6 * HOUR), "--yes"), ("useractions",)],
        [("coverage", "reset", "opencast", "--yes"), ("useractions", "-s", stamp(MORNING))],
    ],
    ids=["set", "reset"],
)
def test_stating_what_the_queue_holds_heals_it_too(torn: Site, vendor: World, way: list[tuple[str, ...]]) -> None:
    for command in way:
        assert torn.harvest(*command).code == 0
    assert torn.consume().code == 0
    assert equal(torn, vendor)
    torn.audit()


def test_a_restored_queue_that_went_on_by_itself_is_told_from_the_one_that_the_book_knew(torn: Site) -> None:
    book = torn.folder / "var/coverage/opencast.json"
    newer = book.read_bytes()
    book.unlink()
    assert torn.harvest("useractions", "-s", stamp(NOON - 20 * HOUR), "-e", stamp(MORNING)).code == 0
    book.write_bytes(newer)
    done = torn.harvest("useractions")
    assert done.code == 4
    assert "an older copy" in done.err


def test_a_backup_overwrites_nothing_and_a_failed_one_leaves_no_folder_of_its_name(site: Site) -> None:
    assert site.harvest("backup", "saved").code == 0
    before = (site.folder / "saved/queue.db").stat().st_mtime_ns
    done = site.harvest("backup", "saved")
    assert (done.code, "is there already" in done.err) == (4, True)
    assert (site.folder / "saved/queue.db").stat().st_mtime_ns == before
    (site.folder / "var/harvest.duckdb").write_bytes(b"no DuckDB file at all")
    assert site.harvest("backup", "other").code == 3
    assert not (site.folder / "other").exists()


def test_there_is_nothing_to_copy_before_the_first_harvest(tmp_path: Path) -> None:
    done = Site(tmp_path).harvest("backup", "saved")
    assert done.code == 1
    assert "there is no queue" in done.err
    assert not (tmp_path / "saved").exists()
