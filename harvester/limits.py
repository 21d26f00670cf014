"""Limits: how much may be inside, how often we may ask, how far a vendor may lead us."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from harvester.errors import TransientError

MAX_EMPTY_PAGES = 1000


class _Waiter(NamedTuple):
    admitted: asyncio.Future[None]
    events: int
    size: int


class Bound:
    """Back-pressure: a bound in events and in bytes. First come, first admitted; what is too large for it goes in alone."""

    def __init__(self, *, events: int, size: int) -> None:
        self._max_events = events
        self._max_size = size
        self._waiters: deque[_Waiter] = deque()
        self.events = 0
        """Events inside."""
        self.size = 0
        """Bytes inside."""

    @property
    def full(self) -> bool:
        """Whether one more event would have to wait."""
        return bool(self._waiters) or self.events >= self._max_events or self.size >= self._max_size

    async def acquire(self, events: int, size: int) -> None:
        """Go in, once there is room and nobody waits in front."""
        if not self._waiters and self._fits(events, size):
            self._enter(events, size)
            return
        waiter = _Waiter(asyncio.get_running_loop().create_future(), events, size)
        self._waiters.append(waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter.admitted.cancelled():
                with suppress(ValueError):
                    self._waiters.remove(waiter)
                self._admit()
            else:  # admitted and cancelled in the same breath
                self.release(events, size)
            raise

    def release(self, events: int, size: int) -> None:
        """Go out, with the same numbers."""
        self.events -= events
        self.size -= size
        self._admit()

    def _fits(self, events: int, size: int) -> bool:
        alone = self.events == 0 and self.size == 0
        return alone or (self.events + events <= self._max_events and self.size + size <= self._max_size)

    def _enter(self, events: int, size: int) -> None:
        self.events += events
        self.size += size

    def _admit(self) -> None:
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.admitted.cancelled():
                if not self._fits(waiter.events, waiter.size):
                    return
                self._enter(waiter.events, waiter.size)
                waiter.admitted.set_result(None)
            self._waiters.popleft()


class Limit(Protocol):
    """Something that says when the next request may go."""

    async def turn(self) -> None:
        """Returns when it is our turn."""
        ...


async def _until(moment: float, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[object]]) -> None:
    while (left := moment - monotonic()) > 0:
        await sleep(left)


class Pace:
    """At most one request each `wait`, in the order asked; zero turns it off."""

    def __init__(
        self,
        wait: timedelta,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._wait = wait.total_seconds()
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = float("-inf")

    async def turn(self) -> None:
        """A turn is taken when asked for: one that is cancelled while it waits stays unused."""
        if self._wait <= 0:
            return
        mine = max(self._monotonic(), self._next)
        self._next = mine + self._wait
        await _until(mine, self._monotonic, self._sleep)


class Burst:
    """At most `n` requests in any stretch of `per`: a sliding window."""

    def __init__(
        self,
        n: int,
        per: timedelta,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._turns: deque[float] = deque(maxlen=n)
        self._per = per.total_seconds()
        self._monotonic = monotonic
        self._sleep = sleep

    async def turn(self) -> None:
        """A turn is taken when asked for: one that is cancelled while it waits stays unused."""
        mine = self._monotonic()
        if len(self._turns) == self._turns.maxlen:
            mine = max(mine, self._turns[0] + self._per)
        self._turns.append(mine)
        await _until(mine, self._monotonic, self._sleep)


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What of the calls that a vendor allows in a day (UTC) is spent."""

    day: date
    calls: int
    """By us."""
    most: int
    """That we may make."""
    account: int = 0
    """By everybody who shares them with us, as the vendor told it last; 0: it did not."""
    until: datetime | None = None
    """When calls may be made again, where none may be made before."""


class Pages:
    """Notices a vendor that leads in circles (F43): tell it each page before the next one is asked for."""

    def __init__(self, name: str, *, max_empty: int = MAX_EMPTY_PAGES) -> None:
        self._name = name
        self._max_empty = max_empty
        self._seen: set[str | int] = set()
        self._empty = 0

    def turned(self, following: str | int, rows: int) -> None:
        """A page had `rows` records and names what follows (a token, a URL, an offset).

        TransientError: it was named before, or a thousand pages in a row were empty.
        """
        if following in self._seen:
            raise TransientError(f"{self._name}: paging loops, {str(following)[:80]!r} came again after {len(self._seen)} pages")
        self._seen.add(following)
        self._empty = 0 if rows else self._empty + 1
        if self._empty >= self._max_empty:
            raise TransientError(f"{self._name}: paging does not end, {self._empty} empty pages in a row name a next one")
