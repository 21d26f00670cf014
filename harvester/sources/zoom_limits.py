"""Zoom's limits: calls a second or minute by class, and calls a day of the two heavy classes together, for the whole account."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from harvester.errors import TransientError
from harvester.limits import Burst, Limit
from harvester.sources.zoom_refusals import DailyLimitError, SpentError, midnight_after, of_a_day

Rate = Literal["medium", "heavy", "intensive"]
Plan = Literal["pro", "business"]
PER_DAY = {"pro": 30_000, "business": 60_000}
_SECOND, _MINUTE = timedelta(seconds=1.5), timedelta(seconds=62)
"""Longer than Zoom counts: what is sent at the end of one of its spans may arrive in the next."""
_BURSTS: dict[Plan, dict[Rate, tuple[int, timedelta]]] = {
    "pro": {"medium": (20, _SECOND), "heavy": (10, _SECOND), "intensive": (10, _MINUTE)},
    "business": {"medium": (60, _SECOND), "heavy": (40, _SECOND), "intensive": (20, _MINUTE)},
}
OnBudget = Callable[[int, int, float], object]


class Pacing(NamedTuple):
    """The seconds by which calls are spaced and waits are waited."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


REAL_TIME = Pacing()


class Budget:
    """The heavy and resource-intensive calls of one day, UTC, as far as we know of them; it also knows when Zoom said to stop."""

    def __init__(self, now: Callable[[], datetime], most: int, on_budget: OnBudget = lambda *_: None) -> None:
        self._now = now
        self._on_budget = on_budget
        self._told = most
        self.most = most or PER_DAY["business"]
        """What we may spend."""
        self.day = 0
        """Days since 1970."""
        self.calls = 0
        self.account = 0
        """What all apps of the account have spent, as Zoom told it last; 0: it did not."""
        self.allowed = 0
        """What all of them may spend, as Zoom told it; 0: it did not."""
        self.blocked_until = 0.0
        """Seconds since 1970."""

    @property
    def left(self) -> int:
        """Calls that may still be made today."""
        ours = self.most - self.calls
        return max(0, min(ours, self.allowed - self.account) if self.allowed else ours)

    def plan(self, plan: Plan) -> None:
        """Another limit holds, unless one was set."""
        self.most = self._told or PER_DAY[plan]

    def remember(self, day: int, calls: int, blocked_until: float, account: int = 0, allowed: int = 0) -> None:
        """What an earlier process had counted; more than we know is believed."""
        if day > self.day:
            self.day, self.calls, self.account = day, calls, account
        elif day == self.day:
            self.calls, self.account = max(self.calls, calls), max(self.account, account)
        self.allowed = self.allowed or allowed
        self.blocked_until = max(self.blocked_until, blocked_until)

    def heard(self, headers: Mapping[str, str], sent: datetime) -> None:
        """What Zoom says of the day beside an answer to what was sent then: it counts every app of the account."""
        limit, left = (headers.get(f"X-RateLimit-{name}", "") for name in ("Limit", "Remaining"))
        if not of_a_day(headers) or not all(text.isdecimal() and len(text) < 10 for text in (limit, left)):
            return
        self._today()
        if self.day == _day(sent):  # around midnight nobody knows of which day it speaks
            self.allowed, self.account = int(limit), max(0, int(limit) - int(left))

    def block(self, until: datetime) -> None:
        """Zoom said when to go on."""
        self.blocked_until = max(self.blocked_until, until.timestamp())
        self._on_budget(self.most, 0, self.blocked_until)

    async def turn(self) -> None:
        """Count one call. DailyLimitError, and nothing is counted: there is none left today."""
        now = self._today()
        if now.timestamp() < self.blocked_until:
            raise DailyLimitError(datetime.fromtimestamp(self.blocked_until, now.tzinfo), "the limit of the day is used up")
        if not self.left:
            raise SpentError(midnight_after(now), self._why())
        self.calls += 1
        self.account += bool(self.allowed)
        self._on_budget(self.most, self.left, midnight_after(now).timestamp())

    def _why(self) -> str:
        if self.calls >= self.most:
            return f"{self.calls:,} heavy calls today, as many as HARVESTER_ZOOM_DAILY_CALLS or the plan allows"
        return f"the account's {self.allowed:,} heavy calls of today are spent, {self.calls:,} of them here"

    def _today(self) -> datetime:
        now = self._now()
        if _day(now) > self.day:
            self.day, self.calls, self.account = _day(now), 0, 0
        return now


class Limits:
    """What one call has to wait for, by its class. `scale` stretches or shrinks every wait."""

    def __init__(self, budget: Budget, scale: float = 1.0, pacing: Pacing = REAL_TIME) -> None:
        self.budget = budget
        monotonic, sleep = pacing
        self._bursts = {
            plan: {rate: Burst(amount, per * scale, monotonic=monotonic, sleep=sleep) for rate, (amount, per) in bursts.items()}
            for plan, bursts in _BURSTS.items()
        }
        self._plan: Plan = "business"

    def plan(self, plan: Plan) -> None:
        """The plan whose limits hold."""
        self._plan = plan
        self.budget.plan(plan)

    def of(self, rate: Rate) -> Sequence[Limit]:
        """The limits of a call of this class, in the order in which their turns are taken."""
        burst = self._bursts[self._plan][rate]
        return [burst] if rate == "medium" else [burst, self.budget]


class NothingLeftError(TransientError):
    """No more calls today."""


def as_transient(error: DailyLimitError, now: datetime) -> NothingLeftError:
    """The same, for who waits and repeats."""
    return NothingLeftError(str(error), retry_after=max(1.0, (error.until - now).total_seconds()))


def _day(moment: datetime) -> int:
    return int(moment.timestamp() // 86_400)
