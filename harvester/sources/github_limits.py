"""GitHub's limits, one object for each credential: requests and points an hour, points a minute, and waits that were asked for.

Requests (REST) and points (GraphQL) are two buckets. Of each the own count of the running hour holds, and what the headers say;
secondary limits stop both.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from harvester.http import http_date
from harvester.limits import Burst
from harvester.retry import Wait

Resource = Literal["core", "graphql"]
_HOUR = 3600.0
_MINUTE = timedelta(seconds=62)
"""Longer than GitHub counts: what is sent at the end of one minute may arrive in the next."""
PER_MINUTE = 800
"""Points; GitHub punishes from 900 on, and a read request is one."""
_SKEW = 2.0
"""Seconds after a reset, for clocks that differ."""
_SECONDARY_FIRST, _SECONDARY_CAP = 60.0, 960.0


class Pacing(NamedTuple):
    """The seconds by which calls are spaced and waits are waited."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


REAL_TIME = Pacing()


class Bucket:
    """What one credential may spend of one resource."""

    def __init__(self, hourly: int, reserve: int, monotonic: Callable[[], float]) -> None:
        self._hourly = hourly
        self._reserve = reserve
        self._monotonic = monotonic
        self._spent: deque[tuple[float, int]] = deque()
        self.used = 0
        """Our own count of the running hour."""
        self.limit: int | None = None
        """What the vendor allows in an hour; None: it does not say."""
        self.remaining: int | None = None
        """What is left of it, by the vendor's word less what was sent since."""
        self.reset = 0
        """When it is whole again, seconds since 1970."""
        self._whole_at = float("-inf")
        """The same, by our seconds: as far from the answer that told it as its Date says."""
        self.blocked = float("-inf")
        """Monotonic time before which nothing may be sent."""

    def spend(self, cost: int) -> None:
        """Count what is sent; a negative cost gives back."""
        self._spent.append((self._monotonic(), cost))
        self.used += cost
        if self.remaining is not None:
            self.remaining -= cost

    def heard(self, headers: Mapping[str, str]) -> None:
        """What the headers of an answer say. Of one reset the least that was ever told is believed: answers overtake."""
        limit, left, reset = (_number(headers.get(f"X-RateLimit-{name}", "")) for name in ("Limit", "Remaining", "Reset"))
        used = _number(headers.get("X-RateLimit-Used", ""))
        if left is None and None not in (limit, used):
            left = max(0, limit - used)  # type: ignore[operator]
        self.limit = limit if limit is not None else self.limit
        if left is None or reset is None or reset < self.reset:
            return
        same = reset == self.reset and self.remaining is not None
        self.remaining = min(left, self.remaining) if same and self.remaining is not None else left
        now = http_date(headers.get("Date", "")) or datetime.now(UTC)
        self.reset, self._whole_at = reset, self._monotonic() + reset - now.timestamp() + _SKEW

    def block(self, seconds: float) -> None:
        """Nothing is sent for so long."""
        self.blocked = max(self.blocked, self._monotonic() + seconds)

    def wait(self) -> tuple[float, str]:
        """Seconds until one more may be sent, and why."""
        at = self._monotonic()
        while self._spent and self._spent[0][0] <= at - _HOUR:
            self.used -= self._spent.popleft()[1]
        if at < self.blocked:
            return self.blocked - at, "GitHub asked to wait"
        if self.used >= self._hourly:
            why = f"{self.used:,} spent in the running hour, as many as HARVESTER_GITHUB_HOURLY_LIMIT allows"
            return max(0.1, self._spent[0][0] + _HOUR - at), why
        return self._until_reset(at)

    def _until_reset(self, at: float) -> tuple[float, str]:
        least = self._reserve if self.limit is None else min(self._reserve, self.limit // 2)
        if self.remaining is None or self.remaining >= max(1, least):
            return 0.0, ""
        seconds = self._whole_at - at
        if seconds <= 0:  # it is whole again: how much that is, the next answer tells
            self.remaining = None
            return 0.0, ""
        told = f"of {self.limit:,} " if self.limit else ""
        return seconds, f"{max(0, self.remaining)} {told}requests or points are left, and {least} are kept back"


class Slots:
    """At most so many requests in flight; `free` is called when one is over."""

    def __init__(self, most: int) -> None:
        self._slots = asyncio.Semaphore(most)

    async def turn(self) -> None:
        """Returns when there is room."""
        await self._slots.acquire()

    def free(self) -> None:
        self._slots.release()


class Limits:
    """What one credential may do. `scale` stretches or shrinks every wait; 0: nothing is waited for."""

    def __init__(
        self,
        hourly: int,
        reserve: int,
        on_wait: Callable[[Wait], None] | None = None,
        *,
        scale: float = 1.0,
        pacing: Pacing = REAL_TIME,
    ) -> None:
        self._on_wait = on_wait
        self._scale = scale
        self._pacing = pacing
        self._minute = Burst(PER_MINUTE, _MINUTE * scale, monotonic=pacing.monotonic, sleep=pacing.sleep)
        self.buckets: Mapping[Resource, Bucket] = {
            "core": Bucket(hourly, reserve, pacing.monotonic),
            "graphql": Bucket(hourly, reserve, pacing.monotonic),
        }
        self._secondary = 0

    def of(self, resource: Resource, cost: int, slots: Slots) -> "Turns":
        """The limit of a request that spends so much."""
        return Turns(self, resource, cost, slots)

    async def turn(self, resource: Resource, cost: int, slots: Slots) -> None:
        """Wait until so much may be spent and there is room in flight, and count it.

        It is looked at again when there is room: of thousands that wait for a reset only so many may go before an answer says how
        much there is.
        """
        await self._minute.turn()
        while True:
            await self._open(resource)
            await slots.turn()
            if self.buckets[resource].wait()[0] <= 0 or not self._scale:
                self.buckets[resource].spend(cost)
                return
            slots.free()

    async def _open(self, resource: Resource) -> None:
        told = 0
        while True:
            seconds, why = self.buckets[resource].wait()
            if seconds <= 0 or not self._scale:
                return
            told += 1
            if self._on_wait is not None:
                self._on_wait(Wait("rate_limited", told, seconds, f"github: {why} ({resource})"))
            await self._pacing.sleep(seconds * self._scale)

    def secondary(self, told: float | None) -> float:
        """A secondary limit was met: nothing at all is sent for as long as was told, else a minute, twice as long each time."""
        self._secondary += 1
        seconds = told or min(_SECONDARY_FIRST * 2 ** (self._secondary - 1), _SECONDARY_CAP)
        for bucket in self.buckets.values():
            bucket.block(seconds)
        return seconds

    def passed(self) -> None:
        """An answer came: no secondary limit holds."""
        self._secondary = 0

    def ready(self, resource: Resource) -> tuple[float, int]:
        """How long one would wait, and how much is spent: what credentials are compared by."""
        bucket = self.buckets[resource]
        return bucket.wait()[0], bucket.used


class Turns(NamedTuple):
    """One request's limit."""

    limits: Limits
    resource: Resource
    cost: int
    slots: Slots

    async def turn(self) -> None:
        """Returns when it may go."""
        await self.limits.turn(self.resource, self.cost, self.slots)


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 13 else None
