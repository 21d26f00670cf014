"""The consume loop and one batch of a sink, put together as a process would, and where the group stands."""

import asyncio
from collections.abc import Sequence
from typing import Any

from consumers.batch import Processing
from consumers.consume import Flow, consume
from consumers.protocols import Rejection, Sink
from harvester.event import Event
from harvester.protocols import DeadLetters, Delivery, Message
from tests.fakes import SINK, KeyedSink, message
from tests.taps import Stores

FLOW = Flow(batch_events=2, in_flight=4, wait=0.02, due_every=0.02, breaker_pause=0.01)
"""Small and quick."""


def processing(sink: Sink, letters: DeadLetters, **options: Any) -> Processing:
    """Patience costs no time, unless a test asks for it."""
    return Processing(sink, letters, options.pop("stop", asyncio.Event()), **{"first_pause": 0.0, **options})


def deliveries(*messages: Message) -> list[Delivery]:
    return [Delivery(m, n) for n, m in enumerate(messages, 1)]


def events(amount: int, name: str = "e") -> list[Delivery]:
    return deliveries(*(message(f"{name}{n}") for n in range(amount)))


def counted(consumed: int, delivered: int, *, filtered: int = 0, dead: int = 0, **more: int) -> dict[str, int]:
    return {"consumed": consumed, "delivered": delivered, "filtered": filtered, "dead_lettered": dead, **more}


async def publish(stores: Stores, amount: int, first: int = 0, *, padding: str = "") -> None:
    messages = [message(f"e{n}", padding=padding) for n in range(first, first + amount)]
    await stores.queue.publish(messages, {"read": amount, "published": amount}, "vendor/stream")


async def run(stores: Stores, sink: KeyedSink, stop: asyncio.Event | None = None, flow: Flow = FLOW, **options: Any) -> None:
    """One membership of the sink's group: until the stop, or until the queue is empty."""
    stopping, turn = stop or asyncio.Event(), options.pop("turn", None)
    work = processing(sink, stores.letters, stop=stopping, **options)
    await consume(stores.queue, sink.name, work, stores.letters, stopping, flow=flow, turn=turn, until_empty=stop is None)


async def position(stores: Stores, group: str = SINK) -> int:
    """How many messages the group has committed."""
    return sum(g.position - 1 for g in await stores.queue.groups() if g.name == group)


async def committed(stores: Stores, amount: int) -> None:
    """Returns once so many are committed."""
    async with asyncio.timeout(10):
        while await position(stores) < amount:  # noqa: ASYNC110 - the file has no event
            await asyncio.sleep(0.001)


class Slow:
    """Writes of a batch with this subject wait until they are let go; `started` are the first subjects of all batches."""

    def __init__(self, sink: KeyedSink, *subjects: str) -> None:
        self._sink, self._subjects = sink, set(subjects)
        self.free = asyncio.Event()
        self.started: list[str] = []
        self.inside = self.most = self.most_bytes = self.bytes = 0
        sink.always = self.write

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        self.started.append(events[0].subject)
        size = sum(len(bytes(e.data)) for e in events)
        self.inside, self.bytes = self.inside + len(events), self.bytes + size
        self.most, self.most_bytes = max(self.most, self.inside), max(self.most_bytes, self.bytes)
        if not self._subjects or self._subjects & {e.subject for e in events}:
            await self.free.wait()
        self.inside, self.bytes = self.inside - len(events), self.bytes - size
        return await self._sink.store(events)
