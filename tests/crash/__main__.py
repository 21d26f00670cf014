"""`make crash`: SIGKILL at every named point and at random moments while the sandbox keeps serving; then count."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.crash import matrix
from tests.crash.archived import ARCHIVE
from tests.crash.judge import Verdict, judge, largest_window
from tests.crash.killing import kill_at_points, kill_at_random, tell
from tests.crash.places import COVERAGES, QUEUES, Cell
from tests.crash.rig import CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Site
from tests.crash.targets import DUCKDB, Target, elasticsearch
from tests.crash.vendors import OPENCAST, VENDORS, ZOOM, Span, Vendor
from tests.crash.worlds import Sandbox, sandbox
from tests.services import MissingServerError


class Plan(NamedTuple):
    """How much is harvested from a vendor, and how often it is cut."""

    hours: int
    """Of history."""
    a_day: int
    """Actions, or meetings of some sixteen sessions each."""
    kills: int
    """At random moments, on top of the named points."""
    server_kills: int
    """Of Elasticsearch itself, while it is written to."""
    short: int
    """How much happens on each of the two days with which it is shown that the proof can fail."""


PLANS = {
    OPENCAST.name: Plan(hours=24 * 90, a_day=2500, kills=300, server_kills=10, short=2500),
    # Zoom lets itself be asked for 26 meetings a second, and for the lists of ten days a minute.
    ZOOM.name: Plan(hours=24 * 10, a_day=120, kills=60, server_kills=3, short=80),
}


CELL_KILLS = 60
ARCHIVED_HOURS = 24 * 45


class Proof(NamedTuple):
    """One vendor into one sink."""

    vendor: Vendor
    target: Target
    folder: Path
    plan: Plan
    seed: str

    def holds(self) -> bool:
        """Nothing is lost, doubled, stale or unaccounted, whenever processes and servers die."""
        span, (_, a_day, random_kills, server_kills, _) = Span(hours=self.plan.hours), self.plan
        server_kills = 0 if self.target is DUCKDB else server_kills
        faults = ("503=0.005", "reset=0.005", self.vendor.records)
        with sandbox(span, vendor=self.vendor, a_day=a_day, seed=self.seed, faults=faults) as world:
            began = time.monotonic()
            calm = self._undisturbed(world, span)
            tell(f"undisturbed: {calm}")
            self.target.empty()
            site = Site(self.folder / "killed", world, span, self.target, **self.vendor.slowly(0.02))
            kill_at_points(site, HARVESTER, HARVESTER_POINTS, self.vendor.passes)
            kill_at_points(site, site.consumer, CONSUMER_POINTS, self.vendor.passes)
            named = sum(site.kills.values())
            died = kill_at_random(site, random_kills, self.seed, server_kills)
            tell(f"{sum(site.kills.values()) - named} kills at random moments, {site.moved} of them in the middle of work")
            if server_kills:
                tell(f"{server_kills} kills of the server, {died} of them while it was written to")
            site.harvest(span)
            site.consume()
            verdict = judge(site, world, span)
            allowed = calm.published + site.kills["harvester"] * largest_window(world, span)
        tell(f"killed:      {verdict}")
        tell(
            f"{sum(site.kills.values())} kills (harvester {site.kills['harvester']}, consumer {site.kills['consumer']}) in "
            f"{time.monotonic() - began:.0f} s; published {verdict.published:,} ≤ {allowed:,} allowed "
            f"({calm.published:,} undisturbed + kills × one window)"
        )
        good = calm.good and verdict.good and verdict.published <= allowed
        tell(f"missing {verdict.missing}, doubled {verdict.doubled}, stale {verdict.stale}, unaccounted {verdict.unaccounted}")
        tell("nothing lost, nothing doubled" if good else "THE PROMISE IS BROKEN")
        # While a server is away or starts, who writes to it can only wait.
        worked = site.moved >= random_kills // (10 if server_kills else 3) and died >= server_kills // 2
        if not worked:
            tell("but too few kills struck work: this machine is too busy to prove it, run it again")
        return good and worked

    def _undisturbed(self, world: Sandbox, span: Span) -> Verdict:
        """The same history without a kill: what the disturbed run is measured by."""
        self.target.empty()
        site = Site(self.folder / "calm", world, span, self.target)
        site.harvest(span)
        site.consume()
        return judge(site, world, span)

    def holds_moving(self) -> bool:
        """A server whose clock runs, so that rows appear late and grow while we are killed; judged when all has come to rest."""
        span, faults = Span(hours=12), ("records=0.002",)
        with sandbox(span, vendor=self.vendor, a_day=20_000, seed=self.seed, faults=faults, speed=120) as world:
            site = Site(self.folder / "moving", world, span)
            for command, points in ((HARVESTER, HARVESTER_POINTS), (site.consumer, CONSUMER_POINTS)):
                kill_at_points(site, command, points[2:3], self.vendor.passes[:1])
            kill_at_random(site, self.plan.kills // 5, self.seed)
            span.end = world.now().replace(microsecond=0)
            world.post("/sandbox/stop-changing", {"at": span.end.isoformat()})
            world.post("/sandbox/clock", {"advance_seconds": 12 * 3600})
            site.harvest(span, edge="watermark")
            site.consume()
            verdict = judge(site, world, span)
        tell(f"moving: {verdict}; {sum(site.kills.values())} kills, {site.moved} of them in the middle of work")
        return verdict.good

    def can_fail(self, order: str) -> bool:
        """The same run with the order switched must find losses; else the proof proves nothing."""
        span, points = Span(hours=48), matrix.HURTING[order]
        with sandbox(span, vendor=self.vendor, a_day=self.plan.short, seed=self.seed, faults=("records=0.01",)) as world:
            self.target.empty()
            site = Site(self.folder / order, world, span, self.target, HARVESTER_CRASH_ORDER=order)
            if order == "cover-first":
                matrix.kill_at_each(site, HARVESTER, points)
            site.harvest(span)
            if order == "commit-first":
                matrix.kill_at_each(site, site.consumer, points)
            site.consume()
            verdict = judge(site, world, span)
        tell(f"{order}: {verdict}; {'fails, as it must' if verdict.missing else 'DID NOT FAIL: the proof proves nothing'}")
        return verdict.missing > 0


def prove_duckdb(vendor: Vendor, plan: Plan, folder: Path, seed: str) -> bool:
    proof = Proof(vendor, DUCKDB, folder, plan, seed)
    good = proof.holds()
    if vendor is OPENCAST:
        good = proof.holds_moving() and good
    return all([good, *[proof.can_fail(order) for order in matrix.HURTING]])


def prove_elasticsearch(vendor: Vendor, plan: Plan, folder: Path, seed: str) -> bool:
    """The same where the server dies, too."""
    with elasticsearch() as target:
        proof = Proof(vendor, target, folder, plan, seed)
        return all([proof.holds(), *[proof.can_fail(order) for order in matrix.HURTING]])


def prove_archive(vendor: Vendor, plan: Plan, folder: Path, seed: str) -> bool:
    """The same into the archive, which makes two objects of each batch: a shorter history, of which every state is kept."""
    short = plan._replace(hours=min(plan.hours, ARCHIVED_HOURS), kills=min(plan.kills, CELL_KILLS), server_kills=0)
    proof = Proof(vendor, ARCHIVE, folder, short, seed)
    return all([proof.holds(), *[proof.can_fail(order) for order in matrix.HURTING]])


PROOFS = {"duckdb": prove_duckdb, "elasticsearch": prove_elasticsearch, "archive": prove_archive}


def prove_sinks(given: argparse.Namespace) -> bool:
    good = True
    for source in VENDORS if given.source == "all" else [given.source]:
        told = {name: number for name in Plan._fields if (number := getattr(given, name, None)) is not None}
        for name in PROOFS if given.sink == "all" else [given.sink]:
            tell(f"== {source} into {name}")
            with tempfile.TemporaryDirectory(prefix="harvest-crash-") as folder:
                try:
                    good = PROOFS[name](VENDORS[source], PLANS[source]._replace(**told), Path(folder), given.seed) and good
                except MissingServerError as error:
                    tell(f"not proven: {error}")
                    good = good and given.sink == "all"
    return good


def prove_cells(given: argparse.Namespace) -> bool:
    """Those that are asked for, or all of the matrix."""
    cells = [Cell(queue, coverage) for queue in given.queue or QUEUES for coverage in given.coverage or COVERAGES]
    with tempfile.TemporaryDirectory(prefix="harvest-crash-") as folder:
        return matrix.prove(Path(folder), cells, random_kills=given.kills or CELL_KILLS, seed=given.seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--source", choices=[*VENDORS, "all"], help="only what is read, without cells; default all")
    parser.add_argument("--sink", choices=[*PROOFS, "all"], help="only what is written to: everything else is embedded")
    parser.add_argument("--queue", choices=QUEUES, action="append", help="only the cells of this queue; may be repeated")
    parser.add_argument("--coverage", choices=COVERAGES, action="append", help="only the cells of this store of coverage")
    parser.add_argument("--kills", type=int, help=f"at random moments, on top of the named points; in a cell {CELL_KILLS}")
    parser.add_argument("--server-kills", type=int, help="of Elasticsearch itself, while it is written to")
    parser.add_argument("--hours", type=int, help="of history; whole days of Zoom's. More kills want more of it")
    parser.add_argument("--a-day", type=int, help="actions, or meetings of some sixteen sessions each")
    parser.add_argument("--seed", default="crash")
    given = parser.parse_args()
    only_cells, only_sinks = bool(given.queue or given.coverage), bool(given.source or given.sink)
    if only_cells and only_sinks:
        parser.error("--source and --sink are without servers, --queue and --coverage with them: give one or the others")
    given.source, given.sink = given.source or "all", given.sink or "all"
    good = only_cells or prove_sinks(given)
    if not only_sinks:
        good = prove_cells(given) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
