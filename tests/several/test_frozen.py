"""Of two harvesters that share a stream by a lease on a real server, the one that holds it is frozen past its term."""

from pathlib import Path

import pytest

from tests.crash.places import Cell
from tests.servers.fixtures import Servers
from tests.several.two import LOGGED_IN, PATIENCE, PROVEN, coverage, freeze, holds, installed, judge, reaches, rests, thaw
from tests.site import HOUR, Process, Site, world


def frozen_holder(site: Site, one: Process, two: Process) -> tuple[Process, Process]:
    """Whoever has the lease, frozen while he has it, and the other. On a busy machine it may change hands before."""
    while True:
        holder, other = (one, two) if holds(site, one) else (two, one)
        freeze(site, holder)
        if holds(site, holder):
            return holder, other
        thaw(holder)


@pytest.mark.parametrize("store", ["redis", "s3"])
def test_f12_a_harvester_frozen_past_its_lease_and_thawed_does_no_harm(tmp_path: Path, store: str, servers: Servers) -> None:
    with world(nonce_seconds=LOGGED_IN) as vendor:
        site = installed(tmp_path, vendor, Cell("sqlite", store), servers)
        with site.process("run", "--no-consume") as one, site.process("run", "--no-consume") as two:
            one.until(lambda: any("standing by" in line["message"] for each in (one, two) for line in each.log), PATIENCE)
            reaches(site, vendor, one)
            frozen, other = frozen_holder(site, one, two)
            stood_by = said(frozen)
            vendor.advance(HOUR)
            reaches(site, vendor, other)
            assert holds(site, other)
            thaw(frozen)
            vendor.advance(HOUR)
            reaches(site, vendor, other)
            frozen.until(lambda: said(frozen) > stood_by, PATIENCE)  # it saw that the other has it
            rests(site, vendor, other)
            assert (one.stop(), two.stop()) == (0, 0)
        found = coverage(site)
        assert (len(found.gaps()), len(found.read)) == (0, 1)
        assert judge(site, vendor) == PROVEN


def said(daemon: Process) -> int:
    """How often it has begun to stand by."""
    return sum("standing by" in line["message"] for line in daemon.log)
