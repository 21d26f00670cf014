"""`make crash`: SIGKILL at every named point and at random moments while the sandbox keeps serving; then count."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import matrix
from tests.crash.judge import Verdict, judge, largest_window
from tests.crash.killing import PASSES, kill_at_points, kill_at_random, tell
from tests.crash.places import COVERAGES, QUEUES, Cell
from tests.crash.rig import CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Sandbox, Site, Span, sandbox
from tests.crash.targets import DUCKDB, Target, elasticsearch
from tests.services import MissingServerError


def undisturbed(folder: Path, world: Sandbox, span: Span, target: Target) -> Verdict:
    """The same history without a kill: what the disturbed run is measured by."""
    site = Site(folder, world.url, span, target)
    site.harvest(span)
    site.consume()
    return judge(site, world, span)


def prove(
    folder: Path, target: Target, *, random_kills: int, hours: int, actions_per_day: int, seed: str, server_kills: int = 0
) -> bool:
    span = Span(hours=hours)
    faults = ("503=0.005", "reset=0.005", "records=0.002")
    with sandbox(span, actions_per_day=actions_per_day, seed=seed, faults=faults) as world:
        began = time.monotonic()
        target.empty()
        calm = undisturbed(folder / "calm", world, span, target)
        tell(f"undisturbed: {calm}")
        target.empty()
        site = Site(folder / "killed", world.url, span, target, HARVESTER_OPENCAST_WAIT="0.02")
        kill_at_points(site, HARVESTER, HARVESTER_POINTS, PASSES)
        kill_at_points(site, site.consumer, CONSUMER_POINTS, PASSES)
        named = sum(site.kills.values())
        died = kill_at_random(site, random_kills, seed, server_kills)
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


def prove_moving(folder: Path, *, random_kills: int, seed: str) -> bool:
    """A server whose clock runs, so that rows appear late and grow while we are killed; judged when all has come to rest."""
    span = Span(hours=12)
    with sandbox(span, actions_per_day=20_000, seed=seed, faults=("records=0.002",), speed=120) as world:
        site = Site(folder / "moving", world.url, span)
        for command, points in ((HARVESTER, HARVESTER_POINTS), (site.consumer, CONSUMER_POINTS)):
            kill_at_points(site, command, points[2:3], PASSES[:1])
        kill_at_random(site, random_kills, seed)
        span.end = world.now().replace(microsecond=0)
        world.post("/sandbox/stop-changing", {"at": span.end.isoformat()})
        world.post("/sandbox/clock", {"advance_seconds": 12 * 3600})
        site.harvest(span, edge="watermark")
        site.consume()
        verdict = judge(site, world, span)
    tell(f"moving: {verdict}; {sum(site.kills.values())} kills, {site.moved} of them in the middle of work")
    return verdict.good


def can_fail(folder: Path, target: Target, order: str, *, seed: str) -> bool:
    """The same run with the order switched must find losses; else the proof proves nothing."""
    span = Span(hours=48)
    with sandbox(span, actions_per_day=2500, seed=seed, faults=("records=0.01",)) as world:
        target.empty()
        site = Site(folder / order, world.url, span, target, HARVESTER_CRASH_ORDER=order)
        kill_at_points(site, HARVESTER, HARVESTER_POINTS, PASSES[:2], lenient=True)
        site.harvest(span)
        kill_at_points(site, site.consumer, CONSUMER_POINTS, PASSES[:2], lenient=True)
        site.consume()
        verdict = judge(site, world, span)
    tell(f"{order}: {verdict}; {'fails, as it must' if verdict.missing else 'DID NOT FAIL: the proof proves nothing'}")
    return verdict.missing > 0


def prove_duckdb(folder: Path, given: argparse.Namespace) -> bool:
    target = DUCKDB
    good = prove(
        folder, target, random_kills=given.kills, hours=given.hours, actions_per_day=given.actions_per_day, seed=given.seed
    )
    good = prove_moving(folder, random_kills=given.kills // 5, seed=given.seed) and good
    return all([good, *[can_fail(folder, target, order, seed=given.seed) for order in ("cover-first", "commit-first")]])


def prove_elasticsearch(folder: Path, given: argparse.Namespace) -> bool:
    """The same where the server dies, too; what is before the queue was proven with DuckDB."""
    with elasticsearch() as target:
        good = prove(
            folder,
            target,
            random_kills=given.kills,
            hours=given.hours,
            actions_per_day=given.actions_per_day,
            seed=given.seed,
            server_kills=given.server_kills,
        )
        return can_fail(folder, target, "commit-first", seed=given.seed) and good


PROOFS = {"duckdb": prove_duckdb, "elasticsearch": prove_elasticsearch}


def prove_sinks(given: argparse.Namespace) -> bool:
    good = True
    for name in PROOFS if given.sink == "all" else [given.sink]:
        tell(f"== {name}")
        with tempfile.TemporaryDirectory(prefix="harvest-crash-") as folder:
            try:
                good = PROOFS[name](Path(folder), given) and good
            except MissingServerError as error:
                tell(f"not proven: {error}")
                good = good and given.sink == "all"
    return good


def prove_cells(given: argparse.Namespace) -> bool:
    """Those that are asked for, or all of the matrix."""
    cells = [Cell(queue, coverage) for queue in given.queue or QUEUES for coverage in given.coverage or COVERAGES]
    with tempfile.TemporaryDirectory(prefix="harvest-crash-") as folder:
        return matrix.prove(Path(folder), cells, random_kills=given.cell_kills, seed=given.seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--sink", choices=[*PROOFS, "all"], help="only what is written to: everything else is embedded")
    parser.add_argument("--queue", choices=QUEUES, action="append", help="only the cells of this queue; may be repeated")
    parser.add_argument("--coverage", choices=COVERAGES, action="append", help="only the cells of this store of coverage")
    parser.add_argument("--kills", type=int, help="at random moments, on top of the named points; default 300, in a cell 60")
    parser.add_argument("--server-kills", type=int, default=10, help="of Elasticsearch itself, while it is written to")
    parser.add_argument("--hours", type=int, default=24 * 90, help="of history, one window each")
    parser.add_argument("--actions-per-day", type=int, default=2500)
    parser.add_argument("--seed", default="crash")
    given = parser.parse_args()
    only_cells = bool(given.queue or given.coverage)
    if only_cells and given.sink:
        parser.error("--sink is without servers, --queue and --coverage with them: give one or the others")
    given.kills, given.cell_kills = given.kills or 300, given.kills or 60
    whole = not only_cells and given.sink is None
    given.sink = given.sink or "all"
    good = only_cells or prove_sinks(given)
    if whole or only_cells:
        good = prove_cells(given) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
