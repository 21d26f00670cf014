"""SIGKILL at every named point, at random moments, and of servers while they are worked with."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.crash.rig import HARVESTER, Site, moments

_PATIENCE = 60.0
"""Seconds until a process has come to a point, or never will."""
_LONGER = 8.0
"""At most so many times as long as on a machine that has nothing else to do."""


def kill_at_points(site: Site, command: Sequence[str], points: Sequence[str], passes: Sequence[int]) -> None:
    """At every named point of one process; a point that it never comes to fails the proof."""
    before = sum(site.kills.values())
    for point in points:
        killed = sum(site.kill_at(command, point, number, patience=_PATIENCE) for number in passes)
        if not killed:
            raise AssertionError(f"{command[0]} never came to {point}: nothing is proven of it")
    tell(f"{command[0]}: {sum(site.kills.values()) - before} kills at {len(points)} named points")


def kill_at_random(site: Site, kills: int, seed: str, server_kills: int = 0) -> int:
    """The same with the server that is written to; how often it died while it was."""
    longest = 4.0 if server_kills else 2.4  # a server makes them slower
    return kill_beside(site, kills, seed, lambda: site.target.die(moments(f"{seed}server", 0.5, 8.0), server_kills), longest)


def kill_beside(site: Site, kills: int, seed: str, die: Callable[[], int], longest: float) -> int:
    """Both processes at once, each at its own random moments, up to `longest` seconds after its start, beside what `die` kills.

    They are killed on until `die` has ended, whose answer this is, so that servers die while they work; and until a fifth of the
    kills cut work, since a busy machine starts them so slowly that many are killed before they have any: who did is given longer
    the next time, as long as there is something left to do. At three times the kills it is given up.
    """
    shares = ((HARVESTER, kills - kills // 2), (site.consumer, kills // 2))
    with ThreadPoolExecutor(3) as threads:
        dying = threads.submit(die)

        def enough(number: int) -> bool:
            return dying.done() and (site.moved >= kills // 5 or number >= 3 * kills)

        running = [threads.submit(_keep_killing, site, command, share, seed, longest, enough) for command, share in shares]
    for one in running:
        one.result()
    return dying.result()


def _keep_killing(
    site: Site, command: Sequence[str], kills: int, seed: str, longest: float, enough: Callable[[int], bool]
) -> None:
    longer = 1.0
    for number, seconds in enumerate(moments(f"{seed}{command[0]}", 0.5, longest)):
        if number >= kills and enough(number):
            return
        if site.kill_after(command, seconds * longer):
            longer = max(1.0, longer / 2)
        elif site.idle(command):
            longer = 1.0
        else:
            longer = min(_LONGER, longer * 1.3)


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
