"""Zoom's limits: calls a second or minute by class, and calls a day of the two heavy classes together, for the whole account."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from harvester.errors import TransientError
from harvester.limits import Burst, Limit
from harvester.sources.zoom_refusals import DailyLimitError, midnight_after

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


class Budget:
    """The heavy and resource-intensive calls of one day, UTC, as far as we know of them; it also knows when Zoom said to stop."""

    def __init__(self, now: Callable[[], datetime], most: int, on_budget: OnBudget = lambda *_: None) -> None:
        self._now = now
        self._on_budget = on_budget
        self._told = most
        self.most = most or PER_DAY["business"]
        self.day = 0
        """Days since 1970."""
        self.calls = 0
        self.blocked_until = 0.0
        """Seconds since 1970."""

    def plan(self, plan: Plan) -> None:
        """Another limit holds, unless one was set."""
        self.most = self._told or PER_DAY[plan]

    def remember(self, day: int, calls: int, blocked_until: float) -> None:
        """What an earlier process had counted; more than we know is believed."""
        if day > self.day:
            self.day, self.calls = day, calls
        elif day == self.day:
            self.calls = max(self.calls, calls)
        self.blocked_until = max(self.blocked_until, blocked_until)

    def block(self, until: datetime) -> None:
        """Zoom said when to go on."""
        self.blocked_until = max(self.blocked_until, until.timestamp())

    async def turn(self) -> None:
        """Count one call. DailyLimitError, and nothing is counted: there is none left today."""
        now = self._today()
        if now.timestamp() < self.blocked_until:
            raise DailyLimitError(datetime.fromtimestamp(self.blocked_until, now.tzinfo), "the limit of the day is used up")
        if self.calls >= self.most:
            why = f"{self.calls:,} heavy calls today, as many as HARVESTER_ZOOM_DAILY_CALLS or the plan allows"
            raise DailyLimitError(midnight_after(now), why)
        self.calls += 1
        self._on_budget(self.most, self.most - self.calls, midnight_after(now).timestamp())

    def _today(self) -> datetime:
        now = self._now()
        day = int(now.timestamp() // 86_400)
        if day > self.day:
            self.day, self.calls = day, 0
        return now


class Limits:
    """What one call has to wait for, by its class. `scale` stretches or shrinks every wait."""

    def __init__(self, budget: Budget, scale: float = 1.0) -> None:
        self.budget = budget
        self._bursts = {
            plan: {rate: Burst(amount, per * scale) for rate, (amount, per) in bursts.items()} for plan, bursts in _BURSTS.items()
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


def as_transient(error: DailyLimitError, now: datetime) -> TransientError:
    """The same, for who waits and repeats."""
    return TransientError(str(error), retry_after=max(1.0, (error.until - now).total_seconds()))
