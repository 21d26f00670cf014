"""Zoom's rate limits: calls a second or minute for each class, by the real clock, and calls a day, by the sandbox's."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import NamedTuple

from harvester.sandbox.mishaps import retry_after
from harvester.sandbox.stats import Stats
from harvester.sandbox.zoom_refusals import RefusedError
from harvester.sandbox.zoom_settings import Plan, ZoomSandboxSettings

LIGHT, MEDIUM, HEAVY, INTENSIVE = "Light", "Medium", "Heavy", "Resource-intensive"
SHARED = "Heavy + Resource-intensive"
"""What counts the calls a day of both on paid plans."""

RATES: dict[Plan, dict[str, tuple[int, int]]] = {
    "free": {LIGHT: (4, 1), MEDIUM: (2, 1), HEAVY: (1, 1), INTENSIVE: (10, 60)},
    "pro": {LIGHT: (30, 1), MEDIUM: (20, 1), HEAVY: (10, 1), INTENSIVE: (10, 60)},
    "business": {LIGHT: (80, 1), MEDIUM: (60, 1), HEAVY: (40, 1), INTENSIVE: (20, 60)},
}
"""So many calls in so many seconds."""
_DAILY: dict[Plan, dict[str, int]] = {
    "free": {LIGHT: 6000, MEDIUM: 2000, HEAVY: 1000, INTENSIVE: 30_000},
    "pro": {SHARED: 30_000},
    "business": {SHARED: 60_000},
}
_QPS = "You have reached the maximum per-second rate limit for this API. Try again later."
_DAY = (
    "You have reached the maximum daily rate limit for this API. "
    "Refer to the response header for details on when you can make another request."
)


class Daily(NamedTuple):
    name: str
    most: int
    used: int


class Limits:
    def __init__(self, stats: Stats, *, ticker: Callable[[], float] = time.monotonic) -> None:
        self._stats = stats
        self._ticker = ticker
        self._calls: dict[str, deque[float]] = {}
        self._date = ""
        self._used: dict[str, int] = {}

    def take(self, settings: ZoomSandboxSettings, kind: str, now: datetime) -> dict[str, str]:
        """Count one call of a class; the headers that its answer has. Raises RefusedError if it is one too many."""
        daily = self._daily(settings, kind, now)
        if daily is not None and daily.used >= daily.most:
            midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            self._exceeded(settings, kind, f"{daily.name} a day", daily.most, (midnight - now).total_seconds(), now)
        rate, seconds = RATES[settings.plan][kind]
        most = max(1, round(rate * settings.pace))
        calls, tick = self._calls.setdefault(kind, deque()), self._ticker()
        while calls and calls[0] <= tick - seconds:
            calls.popleft()
        if len(calls) >= most:
            self._exceeded(settings, kind, kind, most, calls[0] + seconds - tick, now)
        calls.append(tick)
        headers = {"X-RateLimit-Category": kind}
        if daily is None:
            return headers | {
                "X-RateLimit-Type": "QPS",
                "X-RateLimit-Limit": str(most),
                "X-RateLimit-Remaining": str(most - len(calls)),
            }
        self._used[daily.name] = self._used.get(daily.name, 0) + 1
        left = {"X-RateLimit-Limit": str(daily.most), "X-RateLimit-Remaining": str(max(0, daily.most - daily.used - 1))}
        return headers | {"X-RateLimit-Type": "Daily-limit"} | left

    def _daily(self, settings: ZoomSandboxSettings, kind: str, now: datetime) -> Daily | None:
        date = now.astimezone(UTC).date().isoformat()
        if date != self._date:
            self._date, self._used = date, {}
        limits = _DAILY[settings.plan]
        name = kind if kind in limits else SHARED if kind in {HEAVY, INTENSIVE} else ""
        if not name:
            return None
        most = settings.daily if settings.daily and name == SHARED else limits[name]
        return Daily(name, most, self._used.get(name, 0) + settings.used_elsewhere)

    def _exceeded(self, settings: ZoomSandboxSettings, kind: str, limit: str, most: int, wait: float, now: datetime) -> None:
        self._stats.violation(limit)
        if settings.limits == "counted":
            return
        daily = limit.endswith(" a day")
        headers = retry_after(settings.refusal, ceil(wait) if daily else ceil(wait * 1000) / 1000, now)
        if settings.refusal != "bare":
            kind_of = "Daily-limit" if daily else "QPS"
            headers |= {"X-RateLimit-Category": kind, "X-RateLimit-Type": kind_of}
            headers |= {"X-RateLimit-Limit": str(most), "X-RateLimit-Remaining": "0"}
        raise RefusedError(429, 429, _DAY if daily else _QPS, headers=headers)
