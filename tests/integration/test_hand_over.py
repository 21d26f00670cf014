"""A daemon writes its book at a pace; whoever goes on after it finds all that it read."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Process, Site, stamp, world


def published(site: Site) -> int:
    """Messages that the queue has taken, none before there is one."""
    with closing(sqlite3.connect(site.folder / "var/queue.db", timeout=5)) as queue:
        return int(queue.execute("SELECT count(*) FROM messages").fetchone()[0])


def stopped(_: Site, daemon: Process) -> None:
    assert daemon.stop() == 0


def paused(site: Site, daemon: Process) -> None:
    assert site.harvest("pause", "opencast/useractions").code == 0
    lease = site.folder / "var/coverage/opencast+useractions.lease"
    daemon.until(lambda: not lease.exists() or not lease.read_bytes())


@pytest.mark.parametrize("end", [stopped, paused])
def test_f12_a_stream_that_is_given_up_is_stored_first_whatever_the_pace(
    tmp_path: Path, end: Callable[[Site, Process], None]
) -> None:
    with world(late=False, growing=False) as vendor:
        start = NOON - 3 * HOUR
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_START=stamp(start), HARVESTER_COVERAGE_PACE="600")
        with site.process("run", "--no-consume") as daemon:
            daemon.until((tmp_path / "var/coverage/opencast.json").exists)
            daemon.until(lambda: published(site) >= len(vendor.truth(start, NOON)))
            assert site.book().read == (), "the pace is not over"
            end(site, daemon)
            assert site.book().read[0].start == start
            assert site.book().read[0].end > NOON - HOUR
