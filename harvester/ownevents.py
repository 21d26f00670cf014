"""The harvester's own events: what it did, on its way to the sinks through the same queue, for the dashboard *Harvester*.

They are worth little beside what is harvested: they are published in batches of their own, in the background, and are lost
rather than waited for. They are counted as read and published by `harvester`, so that every message has somebody who counted it.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b

import msgspec

from harvester.coverage import EPOCH
from harvester.errors import HarvesterError
from harvester.event import Event, encode_event, event_id
from harvester.logs import get_logger
from harvester.protocols import Delivery, Message, Outlet
from harvester.service import sleep_until, supervise

SOURCE = "harvester"
WINDOW, CONSUMER = "harvester.window", "harvester.consumer"
_KEYS = f"{SOURCE}/"
_MILLISECOND = timedelta(milliseconds=1)
_MOST = 1000
"""What is kept while the queue takes nothing; the oldest are lost first."""
_EVERY = 5.0
"""Seconds from one publish to the next: one more write of a queue in that time, however many windows are read."""
_LONGEST_PAUSE = 300.0
_LAST = float(os.environ.get("HARVESTER_TEST_LAST_TOLD", "2"))
"""Seconds that the end of a process waits for its last ones."""

Tell = Callable[[Event], None]


def silent(_: Event) -> None:
    """For who tells nothing."""


def own_event(type_: str, parts: tuple[object, ...], data: dict[str, object], time: datetime | None = None) -> Event:
    """An own event of now. `parts` are what it is of: their digest is its subject, and the field `id` of its data."""
    moment = time or datetime.now(UTC)
    subject = blake2b("\0".join(map(str, parts)).encode(), digest_size=16).hexdigest()
    body = msgspec.json.encode({"id": subject, **data})
    return Event(
        id=event_id(SOURCE, type_, subject, body),
        source=SOURCE,
        type=type_,
        subject=subject,
        version=max(0, (moment - EPOCH) // _MILLISECOND),
        time=moment,
        read_at=moment,
        data=msgspec.Raw(body),
    )


def is_own(delivery: Delivery) -> bool:
    """Whether a message is one of the harvester's own, by its key alone."""
    return delivery.message.key.startswith(_KEYS)


class Teller:
    """Takes own events at any time and publishes them a few seconds later; `telling` opens one."""

    def __init__(self, queue: Outlet) -> None:
        self._queue = queue
        self._messages: deque[Message] = deque(maxlen=_MOST)
        self._told = False

    def tell(self, event: Event) -> None:
        """Take an event. Never waits and never fails."""
        self._messages.append(Message(event.key, encode_event(event)))

    async def send(self) -> bool:
        """Publish what is there; False when the queue did not take it: then it is kept, as far as there is room."""
        batch, self._messages = [*self._messages], deque(maxlen=_MOST)
        if not batch:
            return True
        try:
            await self._queue.publish(batch, {"read": len(batch), "published": len(batch)}, SOURCE)
        except HarvesterError as error:
            self._messages = deque([*batch, *self._messages], _MOST)
            if not self._told:
                why = "the queue does not take the harvester's own events; what is harvested is not concerned"
                get_logger("service").warning(why, error=str(error), next="HARVESTER_OWN_EVENTS=never does without them")
            self._told = True
            return False
        self._told = False
        return True

    async def run(self, stop: asyncio.Event, every: float = _EVERY) -> None:
        """Publish until the stop, and then what is left."""
        pause = every
        while not stop.is_set():
            await sleep_until(stop, pause)
            pause = every if await self.send() else min(2 * pause, _LONGEST_PAUSE)
        await self.send()


@asynccontextmanager
async def telling(queue: Outlet, *, on: bool = True, every: float = _EVERY) -> AsyncIterator[Tell]:
    """Where own events are told while the block runs; nowhere unless `on`."""
    if not on:
        yield silent
        return
    teller, stop = Teller(queue), asyncio.Event()
    task = asyncio.create_task(supervise("own events", partial(teller.run, stop, every), stop, may_end=False))
    try:
        yield teller.tell
    finally:
        stop.set()
        await asyncio.wait([task], timeout=_LAST)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
