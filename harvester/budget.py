"""The rate budget: what one credential may spend at its vendor, however many processes and hosts share it.

An `Account` is what is known of one credential; `Account.ask` decides, and every store of budgets decides as it does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

HOUR, HOUR_STEP = 3600, 30
MINUTE, MINUTE_STEP = 62, 2
"""Longer than a vendor counts: what is sent at the end of one minute may arrive in the next."""
FLYING_LASTS = 5.0
"""Seconds after which requests in flight are forgotten of a process that tells nothing any more."""
POLL = 0.05
"""Seconds until it is asked again, when there is no room in flight."""
_FIRST = 0.5
"""Seconds for which backfills let others go before them, when one of those found no room in flight."""
_PLANS_LAST = 90.0
Why = Literal["", "told", "hour", "left", "minute", "flying"]
"""Why it may not go: the vendor asked to wait, our own count of the hour, what the vendor leaves, a minute's requests, or
requests in flight; "": it may."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent of a credential, of all who share it together."""

    hourly: int
    """Requests, and points, in any hour."""
    reserve: int
    """What is left to others of what the vendor allows."""
    minute: int
    """Requests in any minute."""
    flying: int
    """Requests in flight."""
    keeps: float = 0.0
    """Share of all this that is left to live reading: 0 for live reading itself."""

    def part(self, amount: int) -> int:
        """Of an amount, what may be taken; at least one."""
        return max(1, amount - int(amount * self.keeps))

    def least(self, limit: int | None) -> int:
        """With fewer left than that, by the vendor's word, nothing is sent."""
        reserve = self.reserve if limit is None else min(self.reserve, limit // 2)
        return max(1, reserve + int((self.hourly if limit is None else limit) * self.keeps))


class Heard(msgspec.Struct, frozen=True):
    """What an answer said of one resource: `reset` names the period (seconds since 1970), which is over in `seconds`."""

    limit: int | None
    left: int | None
    reset: int
    seconds: float


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What became of requests: what they cost besides what was counted, what answers said, and how long they ask to wait."""

    resource: str
    spent: int = 0
    heard: Heard | None = None
    blocked: float = 0.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A backfill that is at work: the share that is done, and when it ends, seconds since 1970 (0: not known yet)."""

    name: str
    done: float
    ends: float = 0.0


class Room(NamedTuple):
    """Of one resource: what this process has spent, what it may spend now and in an hour, and the seconds until there is more."""

    spent: int
    left: int
    hourly: int
    wait: float = 0.0


class Backfill:
    """Whoever reads history: live reading goes before it. The source tells what room there is, the reader how far it is."""

    def __init__(self) -> None:
        self.rooms: Callable[[], Mapping[str, Room]] = dict
        self.plan: Plan | None = None
        """Told to the others along with the requests."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says and asks: news, its requests in flight without this one, and that it wants to send a request."""

    who: str
    flying: int
    terms: Terms
    resource: str = ""
    """"": nothing is asked for."""
    cost: int = 0
    news: Sequence[News] = ()
    plan: Plan | None = None


class Verdict(NamedTuple):
    """Whether a request may go (`seconds` 0: it is counted), else for how long not and why."""

    seconds: float
    why: Why
    used: int = 0
    """Of the running hour, of all together."""
    left: int | None = None
    """By the vendor's word less what was sent since; None: it did not say."""
    limit: int | None = None


GRANTED = Verdict(0.0, "")


class Budget(Protocol):
    """The accounts of all credentials, shared by processes. One call is one look: a round trip at most."""

    async def ask(self, key: str, message: Message) -> Verdict:
        """Take the news and decide. TransientError: the store is away. `key` is a digest, never the credential."""
        ...

    async def accounts(self) -> Mapping[str, "Account"]:
        """Key → what is known; those of which nobody spoke for two hours are left out. TransientError as above."""
        ...


class Bucket(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of one resource. Times are seconds by the clock of whoever keeps the account."""

    spent: dict[int, int] = {}
    """Step of the hour → what was spent in it."""
    limit: int | None = None
    left: int | None = None
    reset: int = 0
    whole: float = 0.0
    """When the vendor's period is over."""
    blocked: float = 0.0
    """Before that nothing may be sent."""

    @property
    def used(self) -> int:
        return max(0, sum(self.spent.values()))

    def hear(self, heard: Heard, now: float) -> None:
        """Of one period the least that was ever told is believed: answers overtake each other."""
        self.limit = self.limit if heard.limit is None else heard.limit
        if heard.left is None or heard.reset < self.reset:
            return
        same = heard.reset == self.reset and self.left is not None
        self.left = min(heard.left, self.left or 0) if same else heard.left
        self.reset, self.whole = heard.reset, now + heard.seconds

    def spend(self, cost: int, now: float) -> None:
        """Count what is sent; a negative cost gives back."""
        step = int(now // HOUR_STEP)
        self.spent[step] = self.spent.get(step, 0) + cost
        if self.left is not None:
            self.left -= cost


class Account(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of one credential."""

    buckets: dict[str, Bucket] = {}
    minute: dict[int, int] = {}
    """Step of the minute → requests sent in it."""
    flying: dict[str, tuple[int, float]] = {}
    """Process → its requests in flight, and until when that is believed."""
    first: float = 0.0
    """Until then backfills let others go before them."""
    plans: dict[str, tuple[Plan, float]] = {}
    """Process → its backfill, and until when that is believed."""
    hourly: int = 0
    """As the last who asked has it set."""
    seen: float = 0.0

    def of(self, resource: str) -> Bucket:
        return self.buckets.setdefault(resource, Bucket())

    def ask(self, message: Message, now: float) -> Verdict:
        """Take the news and decide; what may go is counted."""
        self.forget(now)
        self.hourly, self.seen = message.terms.hourly, now
        for news in message.news:
            self.tell(news, now)
        self.plans.pop(message.who, None)
        if message.plan is not None:
            self.plans[message.who] = (message.plan, now + _PLANS_LAST)
        flying, verdict = message.flying, GRANTED
        if message.resource:
            verdict = self.look(message, now)
            if not verdict.why:
                self.count(message.resource, message.cost, now)
                flying += 1
        self.flying[message.who] = (flying, now + FLYING_LASTS)
        return verdict

    def tell(self, news: News, now: float) -> None:
        """Take news."""
        bucket = self.of(news.resource)
        if news.spent:
            bucket.spend(news.spent, now)
        if news.heard is not None:
            bucket.hear(news.heard, now)
        if news.blocked:
            bucket.blocked = max(bucket.blocked, now + news.blocked)

    def count(self, resource: str, cost: int, now: float) -> None:
        """A request is sent."""
        self.of(resource).spend(cost, now)
        step = int(now // MINUTE_STEP)
        self.minute[step] = self.minute.get(step, 0) + 1

    def look(self, message: Message, now: float) -> Verdict:
        """Whether it might go; nothing is counted."""
        self.forget(now)
        terms, bucket = message.terms, self.of(message.resource)
        used = bucket.used
        if now < bucket.blocked:
            return Verdict(bucket.blocked - now, "told", used, bucket.left, bucket.limit)
        if (seconds := _until(bucket.spent, terms.part(terms.hourly), now, HOUR_STEP, HOUR)) > 0:
            return Verdict(seconds, "hour", used, bucket.left, bucket.limit)
        if bucket.left is not None and bucket.left < terms.least(bucket.limit):
            if now < bucket.whole:
                return Verdict(bucket.whole - now, "left", used, bucket.left, bucket.limit)
            bucket.left = None  # it is whole again: how much that is, the next answer tells
        if (seconds := _until(self.minute, terms.part(terms.minute), now, MINUTE_STEP, MINUTE)) > 0:
            return Verdict(seconds, "minute", used, bucket.left, bucket.limit)
        flying = message.flying + sum(one for who, (one, _) in self.flying.items() if who != message.who)
        if flying >= terms.part(terms.flying) or (terms.keeps and now < self.first):
            if not terms.keeps:
                self.first = now + _FIRST
            return Verdict(POLL, "flying", used, bucket.left, bucket.limit)
        return Verdict(0.0, "", used, bucket.left, bucket.limit)

    def room(self, resource: str, terms: Terms, now: float) -> int:
        """What may be spent now by these terms, as far as it is known."""
        self.forget(now)
        bucket = self.of(resource)
        room = terms.part(terms.hourly) - bucket.used
        if bucket.left is not None and now < bucket.whole:
            room = min(room, bucket.left - terms.least(bucket.limit))
        return max(0, room)

    def unspent(self, resource: str) -> int:
        """What of the hour may still be spent: by our own count, and by the vendor's word."""
        bucket = self.of(resource)
        own = self.hourly - bucket.used
        return max(0, own if bucket.left is None else min(own, bucket.left))

    def forget(self, now: float) -> None:
        """Leave out what is too long ago."""
        for bucket in self.buckets.values():
            bucket.spent = {step: n for step, n in bucket.spent.items() if (step + 1) * HOUR_STEP > now - HOUR}
            if bucket.left is not None and bucket.whole <= now - MINUTE:
                bucket.left = None
        self.minute = {step: n for step, n in self.minute.items() if (step + 1) * MINUTE_STEP > now - MINUTE}
        self.flying = {who: one for who, one in self.flying.items() if one[0] and one[1] > now}
        self.plans = {who: one for who, one in self.plans.items() if one[1] > now}


def _until(steps: Mapping[int, int], most: int, now: float, step: int, per: int) -> float:
    """Seconds until less than `most` were spent within `per` seconds; 0: it is less."""
    used = sum(steps.values())
    if used < most:
        return 0.0
    for number in sorted(steps):
        used -= steps[number]
        if used < most:
            return max(0.1, (number + 1) * step + per - now)
    return float(per)
