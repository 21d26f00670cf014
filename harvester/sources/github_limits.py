"""GitHub's limits, one object for each credential: requests and points an hour, requests a minute, and waits that were asked for.

Requests (REST) and points (GraphQL) are two buckets; secondary limits stop both. What other processes spend with the credential
is known by a budget that they share, where there is one; while its store is away this process goes on, slowly.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Optional

import msgspec

from harvester.budget import GRANTED, Account, Bucket, Heard, Message, News, Room, Terms, Verdict
from harvester.errors import HarvesterError
from harvester.http import allowance, http_date
from harvester.sources.github_pacing import REAL_TIME, Pacing
from harvester.sources.github_sharing import Sharing

Resource = Literal["core", "graphql"]
RESOURCES: tuple[Resource, ...] = ("core", "graphql")
PER_MINUTE = 800
"""Requests; GitHub punishes from 900 points on, and a read request is one."""
_SKEW = 2.0
"""Seconds after a reset, for clocks that differ."""
_SECONDARY_FIRST, _SECONDARY_CAP = 60.0, 960.0
_CAREFUL = 4 * 60
"""While nothing is known of others, a minute has so small a part of the hour: a quarter of what is even."""


class NotYetError(HarvesterError):
    """The limits let no request go for so many seconds; `why` is "" where nobody needs to know."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(f"github: {why or 'so many requests were sent in a minute'}")
        self.seconds = seconds
        self.why = why


_sent: ContextVar[Optional["Limits"]] = ContextVar("sent", default=None)


class Slots:
    """At most so many requests of this process in flight; `free` is called, by the task that sent it, when one is over."""

    def __init__(self, most: int) -> None:
        self._slots = asyncio.Semaphore(most)

    async def turn(self) -> None:
        """Returns when there is room."""
        await self._slots.acquire()

    def free(self) -> None:
        if (limits := _sent.get()) is not None:
            _sent.set(None)
            limits.over()
        self._slots.release()


class Limits:
    """What one credential may do. `scale` stretches or shrinks every wait; 0: nothing is waited for."""

    def __init__(self, terms: Terms, sharing: Sharing | None = None, *, scale: float = 1.0, pacing: Pacing = REAL_TIME) -> None:
        self._terms = terms
        self._careful = msgspec.structs.replace(terms, minute=max(1, terms.hourly // _CAREFUL))
        self.sharing = sharing
        self._scale = scale
        self._pacing = pacing
        self._own = Account()
        self._denied: dict[str, tuple[Verdict, float]] = {}
        """What the budget said, and until when it holds."""
        self._secondary = 0
        self._spent: dict[str, int] = {}

    def of(self, resource: Resource, cost: int, slots: Slots) -> "Turns":
        """The limit of a request that spends so much."""
        return Turns(self, resource, cost, slots)

    def bucket(self, resource: Resource) -> Bucket:
        """What this process knows of a resource."""
        return self._own.of(resource)

    async def turn(self, resource: Resource, cost: int, slots: Slots) -> None:
        """Returns when there is room in flight, and counts what is spent. Raises NotYetError where it has to wait longer.

        It is looked at when there is room: of thousands that waited for a reset only so many may go before an answer says how
        much there is.
        """
        await slots.turn()
        try:
            await self._granted(resource, cost)
        except BaseException:
            slots.free()
            raise
        self._own.count(resource, cost, self._pacing.monotonic())
        self._spent[resource] = self._spent.get(resource, 0) + cost
        if self.sharing is not None:
            self.sharing.flying += 1
        _sent.set(self)

    async def _granted(self, resource: Resource, cost: int) -> None:
        verdict = await self._asked(resource, cost)
        while verdict.why == "flying":  # of others: it is soon over
            await self._pacing.sleep(verdict.seconds)
            verdict = await self._asked(resource, cost)
        if verdict.why:
            raise NotYetError(verdict.seconds, self._told(verdict, resource))

    async def _asked(self, resource: Resource, cost: int) -> Verdict:
        """Whether it may go. What is known here to be too early is not asked for."""
        if not self._scale:
            return GRANTED
        here = self._here(resource, self._terms)
        if here.why or self.sharing is None:
            return here
        verdict = await self.sharing.ask(resource, cost)
        if verdict is None:
            verdict = self._here(resource, self._careful)
            if not verdict.why:
                self.sharing.note(News(resource=resource, spent=cost))
        if verdict.why not in ("", "flying"):
            self._denied[resource] = (verdict, self._pacing.monotonic() + verdict.seconds)
        return verdict

    def _here(self, resource: Resource, terms: Terms) -> Verdict:
        now = self._pacing.monotonic()
        found = self._own.look(Message(who="", flying=0, terms=terms, resource=resource), now)
        denied, until = self._denied.get(resource, (GRANTED, now))
        return denied._replace(seconds=until - now) if until - now > found.seconds else found

    def heard(self, resource: Resource, headers: Mapping[str, str]) -> None:
        """What the headers of an answer say."""
        if (heard := heard_in(headers)) is not None:
            self._tell(News(resource=resource, heard=heard))

    def spent(self, resource: Resource, cost: int) -> None:
        """What a request cost besides what was counted before it; less than nothing where it cost less."""
        if cost:
            self._spent[resource] = self._spent.get(resource, 0) + cost
            self._tell(News(resource=resource, spent=cost))

    def block(self, resource: Resource, seconds: float) -> None:
        """Nothing of this resource is sent for so long."""
        self._tell(News(resource=resource, blocked=seconds))

    def secondary(self, told: float | None) -> float:
        """A secondary limit was met: nothing at all is sent for as long as was told, else a minute, twice as long each time."""
        self._secondary += 1
        seconds = told or min(_SECONDARY_FIRST * 2 ** (self._secondary - 1), _SECONDARY_CAP)
        for resource in RESOURCES:
            self.block(resource, seconds)
        return seconds

    def passed(self) -> None:
        """An answer came: no secondary limit holds."""
        self._secondary = 0

    def over(self) -> None:
        """A request is not in flight any more."""
        if self.sharing is not None:
            self.sharing.flying -= 1
            self.sharing.later()

    def ready(self, resource: Resource) -> tuple[float, int]:
        """How long one would wait, and how much is spent: what credentials are compared by."""
        return self._here(resource, self._terms).seconds if self._scale else 0.0, self._own.of(resource).used

    def room(self, resource: Resource) -> Room:
        """What was spent, and what may be, as far as it is known here."""
        now, bucket, terms = self._pacing.monotonic(), self._own.of(resource), self._terms
        left = self._own.room(resource, terms, now)
        denied = self._denied.get(resource, (GRANTED, 0.0))[1] > now
        hourly = terms.part(terms.hourly)
        if bucket.limit is not None:
            hourly = max(1, min(hourly, bucket.limit - terms.least(bucket.limit)))
        whole = bucket.whole - now if bucket.left is not None else 0.0
        return Room(self._spent.get(resource, 0), 0 if denied else left, hourly, max(0.0, whole, self.ready(resource)[0]))

    def _tell(self, news: News) -> None:
        self._own.tell(news, self._pacing.monotonic())
        if self.sharing is not None:
            self.sharing.note(news)

    def _told(self, verdict: Verdict, resource: Resource) -> str:
        terms = self._terms
        of = f" of {verdict.limit:,}" if verdict.limit else ""
        kept = f"; the last {terms.keeps:.0%} are live reading's" if terms.keeps else ""
        text = {
            "told": "GitHub asked to wait",
            "hour": f"{verdict.used:,} spent in the running hour, as many as HARVESTER_GITHUB_HOURLY_LIMIT allows{kept}",
            "left": f"{max(0, verdict.left or 0):,}{of} are left, and {terms.least(verdict.limit):,} are kept back",
        }.get(verdict.why, "")
        return f"{text} ({resource})" if text else ""


class Turns(NamedTuple):
    """One request's limit."""

    limits: Limits
    resource: Resource
    cost: int
    slots: Slots

    async def turn(self) -> None:
        """Returns when it may go. Raises NotYetError."""
        await self.limits.turn(self.resource, self.cost, self.slots)


def heard_in(headers: Mapping[str, str]) -> Heard | None:
    """What the headers of an answer say of its resource, by the clock of the same answer; None: nothing."""
    now = http_date(headers.get("Date", "")) or datetime.now(UTC)
    told = allowance(headers, now)
    if told is None:
        return None
    left, used = told.remaining, headers.get("X-RateLimit-Used", "").strip()
    if left is None and told.limit is not None and used.isdecimal():
        left = max(0, told.limit - int(used[:12]))
    if told.reset is None:
        return Heard(told.limit, None, 0, 0.0)
    return Heard(told.limit, left, int(told.reset), told.reset - now.timestamp() + _SKEW)
