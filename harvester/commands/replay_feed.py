"""The events of a replay on their way into sinks: several batches at a time, behind one bound in batches and bytes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from consumers.protocols import Gathering
from harvester.commands.progress import bar
from harvester.commands.replay_read import Reading
from harvester.protocols import Delivery, Message
from harvester.settings import CoreSettings

if TYPE_CHECKING:
    from consumers.archived import Archived
    from consumers.batch import Processing
    from consumers.protocols import Sink

_TIMES = 5
Counts = Mapping[str, Counter[str]]


class _Flight:
    """Batches that are being written: at most `most`, and of at most `size` bytes but for one that is larger alone."""

    def __init__(self, most: int, size: int) -> None:
        self._most = most
        self._size = size
        self._running: dict[asyncio.Task[dict[str, int]], tuple[str, int]] = {}
        self._bytes = 0
        self.counts: dict[str, Counter[str]] = {}

    async def start(self, name: str, way: "Processing", deliveries: Sequence[Delivery]) -> None:
        """As soon as there is room for it."""
        size = sum(len(delivery.message.body) for delivery in deliveries)
        while self._running and (len(self._running) >= self._most or self._bytes + size > self._size):
            await self._finish_one()
        self._running[asyncio.create_task(way.process(deliveries))] = name, size
        self._bytes += size

    async def finish(self) -> None:
        """All of them."""
        while self._running:
            await self._finish_one()

    async def abandon(self) -> None:
        """What is not done is done no more."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _finish_one(self) -> None:
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            name, size = self._running.pop(task)
            self._bytes -= size
            self.counts.setdefault(name, Counter()).update(task.result())


def most_of(sinks: "Sequence[Sink]", core: CoreSettings) -> int:
    """How many events a batch of a replay has: all are at hand, and each batch costs a warehouse a statement a table."""
    return max([_TIMES * core.batch_events, *(sink.pace.events for sink in sinks if isinstance(sink, Gathering))])


async def feed(read: Reading, ways: "Mapping[str, Processing]", core: CoreSettings, most: int = 0) -> Counts:
    """Give all of it to each sink, `most` events at once; what became of it, by sink."""
    flight, events = _Flight(core.in_flight, core.in_flight_bytes), 0
    flight.counts |= {name: Counter() for name in ways}
    try:
        with bar("replay", read.total, printing="stdout" in ways) as shown:
            async for batch in batches(read, most or core.batch_events, core.batch_bytes):
                deliveries = [Delivery(Message(one.event.key, one.body), one.place) for one in batch]
                for name, way in ways.items():
                    await flight.start(name, way, deliveries)
                events += len(batch)
                shown.update(read.done, count=events, reached=batch[-1].event.time)
            await flight.finish()
    finally:
        await flight.abandon()
    return flight.counts


async def batches(read: Reading, most: int, size: int) -> "AsyncIterator[Sequence[Archived]]":
    """Segments are of any size: sinks are given at most `most` events at once, and `size` bytes, but for one event alone."""
    gathered: list[Archived] = []
    held = 0
    async for some in read.events:
        for one in some:
            if gathered and (len(gathered) >= most or held + len(one.body) > size):
                yield gathered
                gathered, held = [], 0
            gathered.append(one)
            held += len(one.body)
    if gathered:
        yield gathered
