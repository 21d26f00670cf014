"""Two harvesters of one vendor, each a real process, whose books are in one store: what is seen of them from outside."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from harvester.coverage import Coverage
from harvester.coverages import open_coverages
from harvester.lock import Lock
from tests.contracts.queues import unique
from tests.crash.places import Cell, access_of, place, prepare
from tests.servers.fixtures import Servers
from tests.site import HOUR, NOON, Process, Site, World, stamp

START = NOON - 3 * HOUR
PATIENCE = 60.0
"""Seconds for each thing waited for: a busy machine is slow, not wrong."""
LOGGED_IN = 10**7
"""Seconds that a login holds: the vendor's clock jumps while a frozen process is in the middle of one."""
_REST = timedelta(hours=56)
"""After it everything that was read has rested, and was read once more for good."""


def installed(folder: Path, vendor: World, cell: Cell, servers: Servers, **more: str) -> Site:
    """An installation on these stores whose daemons begin at START and poll often."""
    kept = place(cell, folder, unique(folder, "two"), lambda name: servers.get(name).url)
    prepare(kept)
    quick = {"HARVESTER_OPENCAST_START": stamp(START), "HARVESTER_POLL_INTERVAL": "0.2", "HARVESTER_COVERAGE_PACE": "0.2"}
    return Site(folder, vendor.url, **kept, **quick, **more)


def coverage(site: Site) -> Coverage:
    """What the store knows of the one stream."""

    async def loaded() -> Coverage:
        async with open_coverages(site.settings["HARVESTER_COVERAGE_URL"], access_of(site.settings)) as store:
            return next(iter((await store.load("opencast")).streams.values()), Coverage())

    return asyncio.run(loaded())


def owners(site: Site) -> Mapping[str, str]:
    """Stream → who holds its lease."""

    async def looked() -> Mapping[str, str]:
        async with open_coverages(site.settings["HARVESTER_COVERAGE_URL"], access_of(site.settings)) as store:
            return await store.owners("opencast")

    return asyncio.run(looked())


def holds(site: Site, daemon: Process) -> bool:
    return any(owner.endswith(f" pid {daemon.pid}") for owner in owners(site).values())


def reaches(site: Site, vendor: World, daemon: Process) -> None:
    """Waits until all is read up to the vendor's now; `daemon` is one that runs."""
    daemon.until(lambda: (coverage(site).live_edge or START) >= vendor.now(), PATIENCE)


def freeze(site: Site, daemon: Process) -> None:
    """SIGSTOP at a moment when it holds no lock of a file of the site: else it would hold everybody up, as a hung disk does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        daemon.send(signal.SIGSTOP)
        if _free_queue(site) and _free_book(site):
            return
        daemon.send(signal.SIGCONT)
        assert time.monotonic() < deadline, "it holds a file each time that it is looked at"
        time.sleep(0.02)


def thaw(daemon: Process) -> None:
    daemon.send(signal.SIGCONT)


def _free_queue(site: Site) -> bool:
    if not site.settings["HARVESTER_QUEUE_URL"].startswith("sqlite:"):
        return True
    try:
        with closing(sqlite3.connect(site.queue, timeout=0.3)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.OperationalError:
        return False
    return True


def _free_book(site: Site) -> bool:
    path = site.folder / "var/coverage/opencast.lock"
    if not path.exists():
        return True
    lock = Lock(path, "the test")
    try:
        return not lock.other(0.3)
    finally:
        lock.release()


def rests(site: Site, vendor: World, daemon: Process) -> None:
    """Nothing new is made any more; waits until all that there is was read for good. `daemon` is one that runs."""
    vendor.stop_changing()
    end = vendor.now()
    reaches(site, vendor, daemon)
    vendor.advance(_REST)
    daemon.until(lambda: (coverage(site).watermark or START) >= end, PATIENCE)


def judge(site: Site, vendor: World) -> dict[str, int]:
    """What a sink holds after all is consumed, against what is true of everything since the start of the book. All zeros, or the
    promise is broken."""
    done = site.consume()
    if done.code:
        pytest.fail(str(done))
    rows, truth = site.rows(), vendor.truth(coverage(site).start)
    held = dict(rows)
    audit = site.harvest("audit", "--json").json
    return {
        "missing": len(truth.keys() - held.keys()),
        "doubled": len(rows) - len(held) + len(held.keys() - truth.keys()),
        "stale": sum(key in held and held[key] != action.outpoint for key, action in truth.items()),
        "unaccounted": sum(not e["equal"] for e in audit["equations"]) + sum(audit["waiting"].values()) + len(audit["ahead"]),
    }


PROVEN = {"missing": 0, "doubled": 0, "stale": 0, "unaccounted": 0}
