"""GitHub's rate limits: so much an hour for each user, by the sandbox's clock; bursts and concurrency, by the real one."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from typing import Literal

from harvester.sandbox.github_refusals import SECONDARY, RefusedError
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.mishaps import retry_after
from harvester.sandbox.stats import Stats

Resource = Literal["core", "graphql"]
MINUTELY: dict[Resource, int] = {"core": 900, "graphql": 2000}
"""Points a minute of each user."""
HOUR = 3600
EARLY = "before a wait was over"
_SUPPORT = "If you reach out to GitHub Support for help, please include the request ID."
_GRACE = 0.1
"""Seconds by the real clock: what was under way when a limit was told is no violation."""


class _Hour:
    """What one user spends of one resource."""

    def __init__(self) -> None:
        self.reset, self.used, self.told = 0, 0, float("inf")


class Limits:
    def __init__(self, stats: Stats, *, ticker: Callable[[], float] = time.monotonic) -> None:
        self._stats = stats
        self._ticker = ticker
        self._hours: dict[tuple[str, Resource], _Hour] = {}
        self._calls: dict[tuple[str, Resource], deque[float]] = {}
        self._penalties: dict[str, tuple[float, float]] = {}
        self._under_way: dict[str, int] = {}

    @contextmanager
    def under_way(self, user: str) -> Iterator[None]:
        """While a request of this user is answered."""
        self._under_way[user] = self._under_way.get(user, 0) + 1
        try:
            yield
        finally:
            self._under_way[user] -= 1

    def admit(self, settings: GitHubSandboxSettings, user: str, resource: Resource, now: datetime) -> None:
        """Count one request. Raises RefusedError: it came too soon after others, or before the hour is over."""
        if settings.limits == "off":
            return
        self._check_penalty(settings, user, now)
        tick, calls = self._ticker(), self._calls.setdefault((user, resource), deque())
        while calls and calls[0] <= tick - 60:
            calls.popleft()
        calls.append(tick)
        if len(calls) > max(1, round(MINUTELY[resource] * settings.pace)):
            self._punish(settings, user, f"{resource} a minute", now)
        if self._under_way.get(user, 0) > settings.concurrent:
            self._punish(settings, user, "concurrent", now)
        hour = self._hour(user, resource, now)
        if self._left(settings, resource, hour) <= 0:
            self._spent(settings, user, resource, hour, now)

    def spend(self, settings: GitHubSandboxSettings, user: str, resource: Resource, cost: int, now: datetime) -> None:
        """`cost` of the hour are gone."""
        hour = self._hour(user, resource, now)
        hour.used += cost
        if self._left(settings, resource, hour) <= 0 and hour.told == float("inf"):
            hour.told = self._ticker() + _GRACE

    def headers(self, settings: GitHubSandboxSettings, user: str, resource: Resource, now: datetime) -> dict[str, str]:
        if settings.limits == "off":
            return {}
        told = self.told(settings, user, resource, now)
        return {f"x-ratelimit-{name}": str(value) for name, value in told.items()}

    def told(self, settings: GitHubSandboxSettings, user: str, resource: Resource, now: datetime) -> dict[str, int | str]:
        """limit, remaining, used, reset (seconds since 1970) and resource."""
        hour = self._hour(user, resource, now)
        most, left = _most(settings, resource), self._left(settings, resource, hour)
        numbers: dict[str, int | str] = {"limit": most, "remaining": max(0, left), "used": min(most, most - left)}
        return numbers | {"reset": hour.reset, "resource": resource}

    def _hour(self, user: str, resource: Resource, now: datetime) -> _Hour:
        """It begins with the first request after the last one ended."""
        hour = self._hours.setdefault((user, resource), _Hour())
        if now.timestamp() >= hour.reset or hour.reset - now.timestamp() > HOUR:
            hour.reset, hour.used, hour.told = int(now.timestamp()) + HOUR, 0, float("inf")
        return hour

    def _left(self, settings: GitHubSandboxSettings, resource: Resource, hour: _Hour) -> int:
        return _most(settings, resource) - settings.used_elsewhere - hour.used

    def _check_penalty(self, settings: GitHubSandboxSettings, user: str, now: datetime) -> None:
        until, told = self._penalties.get(user, (0.0, 0.0))
        tick = self._ticker()
        if tick >= until:
            return
        if tick > told + _GRACE:
            self._stats.violation(EARLY)
        if settings.limits == "enforced":
            raise self._secondary(settings, user, now)

    def _punish(self, settings: GitHubSandboxSettings, user: str, limit: str, now: datetime) -> None:
        self._stats.violation(limit)
        if settings.limits == "enforced":
            raise self._secondary(settings, user, now)

    def _secondary(self, settings: GitHubSandboxSettings, user: str, now: datetime) -> RefusedError:
        """The wait begins anew with each refusal."""
        tick = self._ticker()
        self._penalties[user] = (tick + settings.penalty, tick)
        status, _, form = settings.secondary.partition("-")
        headers = retry_after(form, ceil(settings.penalty), now)
        if form == "bare":
            headers = {"gh-limited-by": "search-elapsed-time-shared-grouped", **self.headers(settings, user, "core", now)}
        return RefusedError(int(status), SECONDARY, headers=headers)

    def _spent(self, settings: GitHubSandboxSettings, user: str, resource: Resource, hour: _Hour, now: datetime) -> None:
        tick = self._ticker()
        if tick > hour.told:
            self._stats.violation(f"{resource} an hour")
        hour.told = min(hour.told, tick + _GRACE)
        if settings.limits != "enforced":
            return
        message = f"API rate limit exceeded for user ID {user}. {_SUPPORT}"
        headers = self.headers(settings, user, resource, now)
        raise SpentError(int(settings.primary), message, headers=headers)


class SpentError(RefusedError):
    """The hour is spent: GraphQL says it in its own way."""


def _most(settings: GitHubSandboxSettings, resource: Resource) -> int:
    return settings.hourly if resource == "core" else settings.points
