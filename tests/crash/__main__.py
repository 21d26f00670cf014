"""`make crash`: SIGKILL at every named point and at random moments while the sandbox keeps serving; then count."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tests.crash.judge import Verdict, judge, largest_window
from tests.crash.rig import CONSUMER, CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Sandbox, Site, Span, moments, sandbox

PASSES = (1, 2, 7)
"""At which pass of a named point the process dies."""


def kill_at_points(
    site: Site, command: Sequence[str], points: Sequence[str], passes: Sequence[int], *, lenient: bool = False
) -> None:
    """At every named point of one process; a point that it never comes to fails the proof."""
    before = sum(site.kills.values())
    for point in points:
        killed = sum(site.kill_at(command, point, number, patience=20) for number in passes)
        if not killed and not lenient:
            raise AssertionError(f"{command[0]} never came to {point}: nothing is proven of it")
    tell(f"{command[0]}: {sum(site.kills.values()) - before} kills at {len(points)} named points")


def kill_at_random(site: Site, kills: int, seed: str) -> None:
    """Both processes at once, each at its own random moments."""
    shares = ((HARVESTER, kills - kills // 2), (CONSUMER, kills // 2))
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(_keep_killing, site, command, share, seed) for command, share in shares]
    for one in running:
        one.result()


def _keep_killing(site: Site, command: Sequence[str], kills: int, seed: str) -> None:
    for seconds in islice(moments(f"{seed}{command[0]}", 0.5, 2.4), kills):
        site.kill_after(command, seconds)


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def undisturbed(folder: Path, world: Sandbox, span: Span) -> Verdict:
    """The same history without a kill: what the disturbed run is measured by."""
    site = Site(folder, world.url, span)
    site.harvest(span)
    site.consume()
    return judge(site, world, span)


def prove(folder: Path, *, random_kills: int, hours: int, actions_per_day: int, seed: str) -> bool:
    span = Span(hours=hours)
    faults = ("503=0.005", "reset=0.005", "records=0.002")
    with sandbox(span, actions_per_day=actions_per_day, seed=seed, faults=faults) as world:
        began = time.monotonic()
        calm = undisturbed(folder / "calm", world, span)
        tell(f"undisturbed: {calm}")
        site = Site(folder / "killed", world.url, span, HARVESTER_OPENCAST_WAIT="0.02")
        kill_at_points(site, HARVESTER, HARVESTER_POINTS, PASSES)
        kill_at_points(site, CONSUMER, CONSUMER_POINTS, PASSES)
        kill_at_random(site, random_kills, seed)
        tell(f"{random_kills} kills at random moments, {site.moved} of them in the middle of work")
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
    struck = site.moved >= random_kills // 3
    if not struck:
        tell("but too few kills struck work: this machine is too busy to prove it, run it again")
    return good and struck


def prove_moving(folder: Path, *, random_kills: int, seed: str) -> bool:
    """A server whose clock runs, so that rows appear late and grow while we are killed; judged when all has come to rest."""
    span = Span(hours=12)
    with sandbox(span, actions_per_day=20_000, seed=seed, faults=("records=0.002",), speed=120) as world:
        site = Site(folder / "moving", world.url, span)
        for command, points in ((HARVESTER, HARVESTER_POINTS), (CONSUMER, CONSUMER_POINTS)):
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


def can_fail(folder: Path, order: str, *, seed: str) -> bool:
    """The same run with the order switched must find losses; else the proof proves nothing."""
    span = Span(hours=48)
    with sandbox(span, actions_per_day=2500, seed=seed, faults=("records=0.01",)) as world:
        site = Site(folder / order, world.url, span, HARVESTER_CRASH_ORDER=order)
        kill_at_points(site, HARVESTER, HARVESTER_POINTS, PASSES[:2], lenient=True)
        site.harvest(span)
        kill_at_points(site, CONSUMER, CONSUMER_POINTS, PASSES[:2], lenient=True)
        site.consume()
        verdict = judge(site, world, span)
    tell(f"{order}: {verdict}; {'fails, as it must' if verdict.missing else 'DID NOT FAIL: the proof proves nothing'}")
    return verdict.missing > 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="at random moments, on top of the named points")
    parser.add_argument("--hours", type=int, default=24 * 90, help="of history, one window each")
    parser.add_argument("--actions-per-day", type=int, default=2500)
    parser.add_argument("--seed", default="crash")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harvest-crash-") as name:
        folder = Path(name)
        good = prove(folder, random_kills=given.kills, hours=given.hours, actions_per_day=given.actions_per_day, seed=given.seed)
        good = prove_moving(folder, random_kills=given.kills // 5, seed=given.seed) and good
        fails = [can_fail(folder, order, seed=given.seed) for order in ("cover-first", "commit-first")]
    return 0 if good and all(fails) else 1


if __name__ == "__main__":
    sys.exit(main())
