"""Two harvesters on the same streams, where each is a real process and the leases are kept on a real server."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.fixtures import Servers
from tests.several.stores import PATIENCE, STORES, installed, known
from tests.site import HOUR, NOON, Process, world


def freeze(daemon: Process, queue: Path) -> None:
    """SIGSTOP at a moment when it holds no lock of the queue's file: else it would hold everybody up, as a hung disk does."""
    for _ in range(40):
        daemon.send(signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(queue, timeout=0.5)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.OperationalError:
            daemon.send(signal.SIGCONT)
            time.sleep(0.05)
        else:
            return
    pytest.fail("it holds the queue's file each time that it is looked at")


@pytest.mark.parametrize("server", sorted(STORES))
def test_f12_a_harvester_frozen_past_its_lease_and_thawed_does_no_harm(tmp_path: Path, server: str, servers: Servers) -> None:
    with world(late=False, growing=False) as vendor:
        site = installed(tmp_path, vendor.url, server, servers)
        with site.process("run", "--no-consume") as one:
            one.until(lambda: site.queue.exists() and known(site, "live_edge") >= f"{NOON:%Y-%m-%dT%H}", PATIENCE)
            with site.process("run", "--no-consume") as two:
                two.logged("standing by", PATIENCE)
                freeze(one, site.queue)
                vendor.advance(HOUR)
                two.until(lambda: known(site, "live_edge") >= f"{NOON + HOUR:%Y-%m-%dT%H}", PATIENCE)
                one.send(signal.SIGCONT)
                vendor.advance(HOUR)
                two.until(lambda: known(site, "live_edge") >= f"{NOON + 2 * HOUR:%Y-%m-%dT%H}", PATIENCE)
                one.logged("standing by", PATIENCE)  # it saw that the other has it
                assert (one.stop(), two.stop()) == (0, 0)
        found = site.coverage()
        assert (found["start"], found["gaps"], len(found["read"])) == ("2024-11-05T09:00:00Z", [], 1)
        site.consume()
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON + 2 * HOUR).keys()
        site.audit()
