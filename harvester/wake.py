"""Early polls: what a vendor pushes only says that there may be news. It wakes the stream, which reads as always.

A vendor shows what happened minutes after it told of it, and its calls are dear: so each notice is followed by a poll that begins
one pause after it, two pauses at the latest; and two such polls are a pause apart, however many notices come.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta


class Wake:
    """What wakes one stream. Made, slept at and told of polls in one loop; notices may come from any thread."""

    def __init__(self, pause: timedelta = timedelta(), *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause.total_seconds()
        self._monotonic = monotonic
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._news = asyncio.Event()
        self._first: float | None = None
        """When the oldest notice came that no poll has followed."""
        self._newest = 0.0
        self._polled = float("-inf")
        """When the newest poll began."""

    def notice(self) -> None:
        """There may be news. Does not wait, and costs next to nothing while a poll is due already."""
        with self._lock:
            self._newest = self._monotonic()
            if self._first is not None:
                return
            self._first = self._newest
        self._loop.call_soon_threadsafe(self._news.set)

    def polling(self) -> None:
        """A poll begins, woken or not: it is for all notices that are a pause old."""
        with self._lock:
            self._polled = self._monotonic()
            if self._newest + self._pause <= self._polled:
                self._first = None

    @property
    def due(self) -> float | None:
        """The monotonic moment of the next early poll; None while nothing calls for one."""
        with self._lock:
            return None if self._first is None else max(self._first, self._polled) + self._pause

    async def sleep(self, halt: asyncio.Event, until: float) -> bool:
        """Sleep until this monotonic moment, and not a moment longer than until `halt` is set. True: an early poll is due."""
        while not halt.is_set():
            self._news.clear()
            due = self.due
            end = until if due is None else min(due, until)
            if end <= (now := self._monotonic()):
                return due is not None and due < until
            await _either(halt, self._news, end - now)
        return False


Wakes = Mapping[str, Wake]
"""Stream, as in zoom/meetings → what wakes it; there is none for a stream that nobody tells of."""


async def _either(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
