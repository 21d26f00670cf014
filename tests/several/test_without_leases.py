"""Two harvesters without leases: both read the same stream at once, and the book is the union of what they read."""

from pathlib import Path

import pytest

from tests.crash.places import Cell
from tests.servers.fixtures import Servers
from tests.several.two import LOGGED_IN, PATIENCE, PROVEN, START, coverage, freeze, installed, judge, owners, reaches, rests, thaw
from tests.site import HOUR, stamp, world

CELLS = [Cell("sqlite", "file"), Cell("sqlite", "redis"), Cell("sqlite", "s3"), Cell("kafka", "redis")]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_f12_without_leases_two_harvesters_read_at_once_and_coverage_is_the_union(
    tmp_path: Path, cell: Cell, servers: Servers
) -> None:
    with world(nonce_seconds=LOGGED_IN) as vendor:
        site = installed(tmp_path, vendor, cell, servers, HARVESTER_LEASES="false")
        with site.process("run", "--no-consume") as one, site.process("run", "--no-consume") as two:
            reaches(site, vendor, one)
            with site.process("backfill", "-s", stamp(START - HOUR)) as early:
                assert early.ended(PATIENCE) == 0  # it leaves an hour that has to rest, to daemons that did not read it
            with site.process("backfill", "-s", stamp(START - 3 * HOUR)) as three:
                for frozen, other in ((one, two), (two, one)):
                    freeze(site, frozen)
                    vendor.advance(HOUR)
                    reaches(site, vendor, other)  # so both of them harvest, and each has read what the other has not
                    thaw(frozen)
                    vendor.advance(HOUR)
                    reaches(site, vendor, other)
                assert three.ended(PATIENCE) == 0
            assert owners(site) == {}
            rests(site, vendor, one)
            assert (one.stop(), two.stop()) == (0, 0)
            assert "standing by" not in one.err + two.err
        found = coverage(site)
        assert (found.start, len(found.gaps()), len(found.read)) == (START - 3 * HOUR, 0, 1)
        assert judge(site, vendor) == PROVEN
