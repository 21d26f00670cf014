"""Two harvesters on the same streams that know nothing of each other: no lease is asked for, and their books merge by union."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.fixtures import Servers
from tests.several.stores import PATIENCE, STORES, installed, known
from tests.site import HOUR, NOON, world


@pytest.mark.parametrize("server", sorted(STORES))
def test_f12_two_harvesters_without_leases_read_the_same_and_lose_and_double_nothing(
    tmp_path: Path, server: str, servers: Servers
) -> None:
    with world() as vendor:
        site = installed(tmp_path, vendor.url, server, servers, HARVESTER_LEASES="false")
        with site.process("run", "--no-consume") as one, site.process("run", "--no-consume") as two:
            for _ in range(3):
                vendor.advance(HOUR)
                one.until(lambda: site.queue.exists() and known(site, "live_edge") >= f"{vendor.now():%Y-%m-%dT%H}", PATIENCE)
            vendor.stop_changing()
            ends = vendor.now()
            vendor.advance(7 * HOUR)  # past `settle`
            one.until(lambda: known(site, "watermark") >= f"{ends:%Y-%m-%dT%H}", PATIENCE)
            assert "standing by" not in one.err + two.err
            assert (one.stop(), two.stop()) == (0, 0)
        found = site.coverage()
        assert (found["start"], found["gaps"], len(found["read"]), len(found["settled"])) == ("2024-11-05T09:00:00Z", [], 1, 1)
        site.consume()
        truth = vendor.truth(NOON - 3 * HOUR, ends)
        assert site.held() == {key: action.version for key, action in truth.items()}
        site.audit()
        with closing(sqlite3.connect(site.queue)) as queue:
            (published,) = queue.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
        assert published > 1.5 * len(truth), "only one of them worked"
