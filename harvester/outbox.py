"""What is read on its way to the queue: in batches, several at once, behind one bound in events and bytes."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Self

from harvester.event import Event, encode_event
from harvester.limits import Bound
from harvester.protocols import NO_HEADERS, Broken, Message

# A named tuple's own constructor is a call in Python, and this is done for each event.
_message = partial(tuple.__new__, Message)


class Batch(NamedTuple):
    """What is made durable in one act."""

    events: list[Event]
    messages: list[Message]
    broken: list[Broken]
    filtered: int


class Outbox:
    """The batches of one window. An error of any of them ends the block, and what is still on its way is cancelled."""

    def __init__(self, deliver: Callable[[Batch], Awaitable[None]], bound: Bound, *, batch_events: int, batch_bytes: int) -> None:
        self._deliver = deliver
        self._bound = bound
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._sending: deque[asyncio.Task[None]] = deque()
        self._batch = Batch([], [], [], 0)
        self._bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def take(self, events: Sequence[Event], broken: Sequence[Broken] = (), filtered: int = 0) -> None:
        """Add a page; send what makes a batch. Waits while too much is on its way: that is the back-pressure."""
        messages = [_message((e.key, encode_event(e), NO_HEADERS)) for e in events]
        batch = self._batch = self._batch._replace(filtered=self._batch.filtered + filtered)
        batch.events.extend(events)
        batch.messages.extend(messages)
        batch.broken.extend(broken)
        self._bytes += sum([len(m.body) for m in messages]) + sum([len(b.body) for b in broken])
        # Broken records count, too: a vendor that broke all of them must not fill the memory.
        if len(batch.events) + len(batch.broken) >= self._batch_events or self._bytes >= self._batch_bytes:
            await self._send()

    async def drain(self) -> None:
        """Returns = everything taken is durable."""
        await self._send()
        while self._sending:
            await self._sending.popleft()

    async def _send(self) -> None:
        batch, size = self._batch, self._bytes
        if not (batch.events or batch.broken or batch.filtered):
            return
        self._batch, self._bytes = Batch([], [], [], 0), 0
        while self._sending and self._sending[0].done():
            await self._sending.popleft()
        amount = len(batch.events) + len(batch.broken)
        await self._bound.acquire(amount, size)
        self._sending.append(asyncio.create_task(self._sent(batch, amount, size)))

    async def _sent(self, batch: Batch, amount: int, size: int) -> None:
        try:
            await self._deliver(batch)
        finally:
            self._bound.release(amount, size)
