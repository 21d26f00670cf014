"""The metadata service is away while events flow into a real Elasticsearch, and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple
from zoneinfo import ZoneInfo

from yarl import URL

from benchmarks import index
from benchmarks.actions import FIRST_HOUR, row
from benchmarks.away import closed_port
from benchmarks.measure import Scale, Verdict
from benchmarks.paths import drained, opened_letters, opened_queue, opened_sink
from benchmarks.servers import serving
from consumers.caches.memory import MemoryCache
from consumers.enrichers.episodes import Episodes
from consumers.protocols import Sink
from harvester.event import encode_event
from harvester.http import HttpSettings, open_http
from harvester.protocols import DeadLetters, Message, Queue
from harvester.retry import Retry
from harvester.sources.opencast_rows import useraction_event

GROWTH = 1.0
"""Seconds by which lag may be larger than with the service there: at the 95th percentile of all moments."""
SPEED = 0.95
"""Of the live events that flow in while letters are repaired, so many are written in that time."""
SOON = 0.5
"""What became pending is complete in at most twice the time."""
RATE = 2000
"""Events a second that flow in."""
_TICK = 0.05
_REPEATED = 20
"""Every so manieth event of before comes once more while the service is away."""


class Found(NamedTuple):
    """What was seen. Lags in seconds, a few a second: with the service there, away, and while letters are repaired."""

    there: Sequence[float]
    away: Sequence[float]
    back: Sequence[float]
    pending: int
    """Letters when the service came back."""
    seconds: float
    """From then on until there was none."""
    poorer: int
    """Documents of before that were complete, and were not when the service had been away."""
    incomplete: int
    """Documents without their episode in the end."""
    missing: int


class _Life:
    """One consumer with what it reads from, and events that flow in."""

    def __init__(self, queue: Queue, letters: DeadLetters, sink: Sink, rate: int) -> None:
        self.queue = queue
        self.letters = letters
        self.sink = sink
        self.rate = rate
        self.published = 0
        self._numbers = count(1)

    def new(self, phase: int) -> Iterator[Message]:
        """Events without end, in recordings that no phase before had."""
        zone = ZoneInfo("UTC")
        for number in self._numbers:
            created = FIRST_HOUR + timedelta(seconds=number)
            data = row(number, created).replace(b"-8145-", b"-%04d-" % phase)
            event = useraction_event(data, "opencast", created, zone)
            self.published += 1
            yield Message(event.key, encode_event(event))

    async def flow(self, held: Iterator[Message], amount: int | None = None, until: asyncio.Event | None = None) -> list[float]:
        """Publish at the rate, so many or until then; the lags meanwhile."""
        lags: list[float] = []
        began, sent = time.perf_counter(), 0
        while (amount is None or sent < amount) and not (until and until.is_set()):
            due = int((time.perf_counter() - began) * self.rate) + 1
            some = [message for _, message in zip(range(min(due - sent, (amount or due) - sent, 1000)), held, strict=False)]
            await self.queue.publish(some)
            sent += len(some)
            lags.append(await self._lag())
            await asyncio.sleep(_TICK)
        return lags

    async def settled(self) -> None:
        """Returns once everything that was published is committed."""
        while await self._lag():  # noqa: ASYNC110 - the file has no event
            await asyncio.sleep(_TICK)

    async def _lag(self) -> float:
        return sum((await self.queue.lag(self.sink.name)).values()) / self.rate

    async def waiting(self) -> int:
        """How many letters there are."""
        return sum((await self.letters.counts()).get(self.sink.name, {}).values())

    @asynccontextmanager
    async def consuming(self, address: str) -> AsyncIterator[None]:
        """A process of its own, as far as what it remembers goes: nothing."""
        stop = asyncio.Event()
        async with open_http(HttpSettings(name="opencast", url=URL(address)), retry=Retry(attempts=1)) as http:
            enricher = Episodes(http, MemoryCache())
            work = drained(self.queue, self.letters, self.sink, enricher=enricher, group=self.sink.name, stop=stop)
            running = asyncio.create_task(work)
            try:
                yield
            finally:
                stop.set()
                await running
                await enricher.end()


async def run(scale: Scale, folder: Path) -> list[Verdict]:
    """As many events with the service there, then away, then back while more flow in: lag, and the repair."""
    with index.running() as url:
        async with opened_sink(url) as sink:
            found = await proof(url, sink, folder, scale.events * 10, RATE)
    there, away, back = (quantiles(lags, n=20)[-1] for lags in (found.there, found.away, found.back))
    told = f"95th percentile {there:.2f} s, away {away:.2f} s; the most {max(found.there):.2f}, {max(found.away):.2f} s"
    speed = 1 - (found.back[-1] - found.back[0]) / found.seconds
    beside = f"{RATE:,} events/s; lag {back:.2f} s at the 95th percentile, at most {max(found.back):.2f} s"
    rate = found.pending / found.seconds
    repaired = f"{found.pending:,} pending in {found.seconds:.1f} s, {rate:,.0f} repairs/s beside {RATE:,} live events/s"
    ends = f"{found.poorer} poorer, {found.incomplete} incomplete, {found.missing} missing"
    return [
        Verdict("outage: lag grows while the service is away", [away - there], GROWTH, "s", at_least=False, details=told),
        Verdict("outage: live events during the repair", [speed], SPEED, "×", at_least=True, details=beside),
        Verdict("outage: repairs beside live events", [rate / RATE], SOON, "×", at_least=True, details=repaired),
        Verdict(
            "outage: documents that are not as they should",
            [found.poorer + found.incomplete + found.missing],
            0,
            "",
            at_least=False,
            details=ends,
        ),
    ]


async def proof(url: str, sink: Sink, folder: Path, events: int, rate: int) -> Found:
    """The whole of it; `events` with the service there, and as many with the service away."""
    await index.begin(url)
    address = closed_port()
    port = address.rpartition(":")[2]
    async with opened_queue(folder) as queue, opened_letters(folder) as letters:
        life = _Life(queue, letters, sink, rate)
        async with AsyncExitStack() as service:
            await service.enter_async_context(serving("search", port=port))
            async with life.consuming(address):
                held = life.new(1000)
                await life.flow(held, events // 10)  # a new index, and a cache with nothing in it
                await life.settled()
                there = await life.flow(held, events)
                await life.settled()
        assert await life.waiting() == 0
        complete = await index.count(url, "complete")
        assert complete == life.published
        async with life.consuming(address):
            away = await life.flow(life.new(2000), events)
            await queue.publish([d.message for d in await queue.peek(1, events) if d.position % _REPEATED == 0])
            await life.settled()
            poorer = complete - await index.count(url, "complete")
            pending = await life.waiting()
            async with serving("search", port=port):
                began = time.perf_counter()
                done = asyncio.Event()
                flowing = asyncio.create_task(life.flow(life.new(3000), until=done))
                while await life.waiting():  # noqa: ASYNC110 - the file has no event
                    await asyncio.sleep(_TICK)
                seconds = time.perf_counter() - began
                done.set()
                back = await flowing
                await life.settled()
        documents, whole = await index.count(url), await index.count(url, "complete")
    return Found(there, away, back, pending, seconds, poorer, documents - whole, life.published - documents)
