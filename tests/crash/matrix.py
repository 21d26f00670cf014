"""The promise on every queue with every store of coverage: real servers, a real Elasticsearch as the judge, and SIGKILL for all
that keeps what it acknowledged.

ElasticMQ and moto keep all in memory: they are not killed.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from harvester.errors import ConfigError
from tests.crash.judge import Verdict, judge
from tests.crash.killing import kill_at_points, kill_beside, tell
from tests.crash.places import Cell, Nodes, place
from tests.crash.rig import CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Site, moments
from tests.crash.targets import Target, elasticsearch
from tests.crash.vendors import Span
from tests.crash.worlds import Sandbox, sandbox
from tests.services import MissingServerError, Own

PASSES = (1, 2)
SERVER_KILLS = 2
"""Of each server that is killed."""
HURTING = {
    "cover-first": ("harvest.after_cover", "coverage.after_add", "queue.before_publish"),
    "commit-first": ("queue.after_commit", "consume.after_receive", "sink.before_write"),
}
"""Where a kill loses events when the order is switched."""
_LONG, _SHORT = Span(hours=24 * 20), Span(hours=48)
_LONGEST = 4.0
_UNDER_LOAD = 30.0
"""Seconds that a server is given to be worked with before it is killed."""


class Outcome(NamedTuple):
    """Of one cell."""

    cell: Cell
    verdict: Verdict
    kills: dict[str, int]
    moved: int
    died: dict[str, int]
    switched: dict[str, int]
    """Order → what was missing."""
    seconds: float

    @property
    def good(self) -> bool:
        return self.verdict.good and all(self.switched.values())

    def row(self) -> str:
        verdict, died = self.verdict, ", ".join(f"{name} {times}" for name, times in self.died.items())
        return _LINE.format(
            str(self.cell),
            f"{verdict.true:,}",
            *(self.kills["harvester"], self.kills["consumer"], self.moved, died),
            *(verdict.missing, verdict.doubled, verdict.stale, verdict.unaccounted),
            *(self.switched[order] for order in HURTING),
            f"{self.seconds:.0f} s",
        )


_LINE = "{:<14} {:>7} {:>9} {:>8} {:>4}  {:<33} {:>7} {:>7} {:>5} {:>11}  {:>11} {:>12} {:>6}"
HEAD = _LINE.format(
    *("cell", "actions", "harvester", "consumer", "work", "servers killed under load"),
    *("missing", "doubled", "stale", "unaccounted", *HURTING, "time"),
)


def prove(folder: Path, cells: Sequence[Cell], *, random_kills: int, seed: str) -> bool:
    """Every cell, and the table of them. A cell whose server or driver is not here is told, and fails."""
    outcomes, good = [], True
    with ExitStack() as ends:
        nodes, target = Nodes(ends), ends.enter_context(elasticsearch())
        faults = ("503=0.005", "reset=0.005", "records=0.002")
        world = ends.enter_context(sandbox(_LONG, a_day=2500, seed=seed, faults=faults))
        for cell in cells:
            tell(f"== {cell}")
            try:
                outcomes.append(_Proof(cell, folder, world, nodes, target).outcome(random_kills, seed))
                tell(outcomes[-1].row())
            except (MissingServerError, ConfigError, AssertionError, OSError) as error:
                tell(f"not proven: {error}")
                good = False
    tell("\n".join([HEAD, *(outcome.row() for outcome in outcomes)]))
    good = good and all(outcome.good for outcome in outcomes)
    tell("nothing lost, nothing doubled, and every switched order fails" if good else "THE PROMISE IS NOT PROVEN")
    return good


class _Proof:
    """One cell."""

    def __init__(self, cell: Cell, folder: Path, world: Sandbox, nodes: Nodes, target: Target) -> None:
        self._cell = cell
        self._folder = folder / f"{cell.queue}-{cell.coverage}"
        self._world = world
        self._nodes = nodes
        self._target = target

    def outcome(self, random_kills: int, seed: str) -> Outcome:
        began = time.monotonic()
        site = self._site("killed", _LONG, HARVESTER_OPENCAST_WAIT="0.05")
        for command, points in ((HARVESTER, HARVESTER_POINTS), (site.consumer, CONSUMER_POINTS)):
            kill_at_points(site, command, points, PASSES)
        died = self._kill_at_random(site, random_kills, seed)
        verdict = self._judged(site, _LONG)
        tell(str(verdict))
        switched = {order: self._switched(order) for order in HURTING}
        return Outcome(self._cell, verdict, dict(site.kills), site.moved, died, switched, time.monotonic() - began)

    def _site(self, name: str, span: Span, **settings: str) -> Site:
        self._target.empty()
        where = place(self._cell, self._folder / name, f"{self._folder.name}-{name}", self._nodes.url)
        return Site(self._folder / name, self._world, span, self._target, **where, **settings)

    def _judged(self, site: Site, span: Span) -> Verdict:
        """Undisturbed to the end."""
        site.environment["HARVESTER_OPENCAST_WAIT"] = "0"
        site.harvest(span)
        site.consume()
        return judge(site, self._world, span, counted=self._cell.counted)

    def _kill_at_random(self, site: Site, kills: int, seed: str) -> dict[str, int]:
        """Both processes and, one after the other, the servers; how often each of these died under load."""
        died: dict[str, int] = {}

        def die() -> int:
            when = moments(f"{seed}servers", 0.3, 2.0)
            for _ in range(SERVER_KILLS):
                for node in self._nodes.mortal(self._cell):
                    died[node.name] = died.get(node.name, 0) + _kill_at_work(node, site, when)
                died["elasticsearch"] = died.get("elasticsearch", 0) + self._target.die(when, 1)
            return sum(died.values())

        kill_beside(site, kills, seed, die, _LONGEST)
        tell(f"{site.moved} kills at random moments cut work; servers that died under load: {died}")
        for name, times in died.items():
            assert times >= SERVER_KILLS // 2, f"{name} died at rest: nothing is proven of that"
        assert site.moved >= kills // 5, "too few kills struck work: this machine is too busy to prove it, run it again"
        return died

    def _switched(self, order: str) -> int:
        site = self._site(order, _SHORT, HARVESTER_CRASH_ORDER=order)
        if order == "cover-first":
            kill_at_each(site, HARVESTER, HURTING[order])
        else:
            site.harvest(_SHORT)
            kill_at_each(site, site.consumer, HURTING[order])
        verdict = self._judged(site, _SHORT)
        tell(f"{order}: {verdict}; {'fails, as it must' if verdict.missing else 'DID NOT FAIL: the proof proves nothing'}")
        return verdict.missing


def kill_at_each(site: Site, command: Sequence[str], points: Sequence[str]) -> None:
    """At the second pass: at the first there may be nothing yet that could be lost."""
    for point in points:
        site.kill_at(command, point, 2, patience=10)


def _kill_at_work(node: Own, site: Site, when: Iterator[float]) -> bool:
    """Kill it once something was covered or written while it ran, start it again; whether it was so."""
    before, deadline = site.work(), time.monotonic() + _UNDER_LOAD
    while (worked := site.work() != before) is False and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(next(when))  # the moment is the point: any moment must do
    node.kill()
    node.start()
    return worked
