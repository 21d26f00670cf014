"""A backlog while the search service is away, in each of the ways in which it can be."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.actions import batched, messages
from benchmarks.measure import Scale, Verdict
from benchmarks.paths import drained, looked_up, opened_letters, opened_queue, opened_sink
from benchmarks.servers import serving
from consumers.enrichers.episodes import Episodes
from consumers.protocols import Sink
from harvester.protocols import Queue

LEAST_RATE = 0.5
LONGEST_PAUSE = 16.0
WAYS = ("refused", "busy", "silent", "slow")


class Run(NamedTuple):
    """One backlog: the longest time without a commit, and events a second apart from it."""

    pause: float
    rate: float
    lookups: int


async def run(scale: Scale, folder: Path) -> list[Verdict]:
    """Throughput beside the same backlog with the service there, apart from the time until it is known to be away; that time."""
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    pauses: dict[str, list[float]] = {way: [] for way in WAYS}
    events = scale.events * 10
    async with serving("bulk") as url, opened_queue(folder) as queue, opened_sink(url) as sink:
        for some in batched(messages(events), 1000):
            await queue.publish(some)
        for turn in range(max(1, scale.rounds // 4)):
            well = await _drained(queue, sink, events, "well", folder / f"well{turn}")
            for way in WAYS:
                found = await _drained(queue, sink, events, way, folder / f"{way}{turn}")
                ratios[way].append(found.rate / well.rate)
                pauses[way].append(found.pause - well.pause)
    slowest = min(WAYS, key=lambda way: median(ratios[way]))
    told = "; ".join(f"{way} {median(ratios[way]):.2f} ×, {median(pauses[way]):.1f} s" for way in WAYS)
    longest = max(WAYS, key=lambda way: median(pauses[way]))
    return [
        Verdict("away: a backlog, each event pending", ratios[slowest], LEAST_RATE, "×", at_least=True, details=told),
        Verdict(
            "away: until it is known", pauses[longest], LONGEST_PAUSE, "s", at_least=False, details=f"the longest: {longest}"
        ),
    ]


async def _drained(queue: Queue, sink: Sink, events: int, mood: str, folder: Path) -> Run:
    await asyncio.to_thread(folder.mkdir)
    commits = [(time.perf_counter(), 0)]

    def committed(counts: Mapping[str, int]) -> None:
        if counts["consumed"]:
            commits.append((time.perf_counter(), commits[-1][1] + counts["consumed"]))

    async with searching(mood) as enricher, opened_letters(folder) as letters:
        await drained(queue, letters, sink, enricher=enricher, group=folder.name, on_commit=committed)
        lookups = enricher.lookups
    assert commits[-1][1] == events
    pauses = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(commits)]
    pause, in_it = max(pauses)
    return Run(pause, (events - in_it) / (commits[-1][0] - commits[0][0] - pause), lookups)


@asynccontextmanager
async def searching(mood: str) -> AsyncIterator[Episodes]:
    """The enricher with nothing in its cache, and the service that it asks; `refused`: nobody listens there."""
    async with AsyncExitStack() as stack:
        url = closed_port() if mood == "refused" else await stack.enter_async_context(serving("search", mood=mood))
        yield await stack.enter_async_context(looked_up(url))


def closed_port() -> str:
    """An address where nobody listens."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"
