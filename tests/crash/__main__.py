"""`make crash`: SIGKILL at every named point and at random moments while the sandbox keeps serving; then count."""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tests.crash.judge import Verdict, judge, largest_window
from tests.crash.rig import CONSUMER, CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Sandbox, Site, Span, moments, sandbox

PASSES = (1, 2, 7)
"""At which pass of a named point the process dies."""


def kill_everywhere(site: Site, random_kills: int, seed: str) -> None:
    """Named points first, one process at a time; then both processes at once, at random moments, each on its own."""
    for point in HARVESTER_POINTS:
        for number in PASSES:
            site.kill_at(HARVESTER, point, number)
    for point in CONSUMER_POINTS:
        for number in PASSES:
            site.kill_at(CONSUMER, point, number)
    named = dict(site.kills)
    print(f"killed at {len(HARVESTER_POINTS) + len(CONSUMER_POINTS)} named points: {sum(named.values())} kills", flush=True)
    failures: list[BaseException] = []

    def keep_killing(command: Sequence[str], kills: int) -> None:
        try:
            for seconds in islice(moments(f"{seed}{command[0]}", 0.3, 2.2), kills):
                site.kill_after(command, seconds)
        except BaseException as error:
            failures.append(error)

    shares = ((HARVESTER, random_kills - random_kills // 2), (CONSUMER, random_kills // 2))
    threads = [threading.Thread(target=keep_killing, args=share) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def undisturbed(folder: Path, world: Sandbox, span: Span) -> Verdict:
    """The same history without a kill: what the disturbed run is measured by."""
    site = Site(folder, world.url, span)
    site.finish(span)
    return judge(site, world, span)


def prove(folder: Path, *, random_kills: int, hours: int, actions_per_day: int, seed: str) -> bool:
    span = Span(hours=hours)
    faults = ("503=0.005", "reset=0.005", "records=0.002")
    with sandbox(span, actions_per_day=actions_per_day, seed=seed, faults=faults) as world:
        began = time.monotonic()
        calm = undisturbed(folder / "calm", world, span)
        print(f"undisturbed: {calm}", flush=True)
        site = Site(folder / "killed", world.url, span, HARVESTER_OPENCAST_WAIT="0.02")
        kill_everywhere(site, random_kills, seed)
        site.finish(span)
        verdict = judge(site, world, span)
        allowed = calm.published + site.kills["harvester"] * largest_window(world, span)
    print(f"killed:      {verdict}")
    print(
        f"{sum(site.kills.values())} kills (harvester {site.kills['harvester']}, consumer {site.kills['consumer']}) in "
        f"{time.monotonic() - began:.0f} s; published {verdict.published:,} ≤ {allowed:,} allowed "
        f"({calm.published:,} undisturbed + kills × one window)"
    )
    good = calm.good and verdict.good and verdict.published <= allowed
    print(f"missing {verdict.missing}, doubled {verdict.doubled}, stale {verdict.stale}, unaccounted {verdict.unaccounted}")
    print("nothing lost, nothing doubled" if good else "THE PROMISE IS BROKEN")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="at random moments, on top of the named points")
    parser.add_argument("--hours", type=int, default=24 * 90, help="of history, one window each")
    parser.add_argument("--actions-per-day", type=int, default=2500)
    parser.add_argument("--seed", default="crash")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harvest-crash-") as folder:
        good = prove(
            Path(folder), random_kills=given.kills, hours=given.hours, actions_per_day=given.actions_per_day, seed=given.seed
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
