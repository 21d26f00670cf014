"""Retry: the one place that decides how long to wait and when to give up.

Three classes of TransientError, each with a rhythm of its own:

- rate limited: as told (at most 15 minutes), else 5 s × 1.5 up to 300 s; without end, for waiting is what was asked.
- outage (network, timeout, 5xx): exponential from 1 s × 2 with full jitter up to 60 s, or as told; without end in daemons.
- unusable (HTML, an empty or cut answer, a 4xx nobody explains): three times, 1 s apart, then it goes to the caller.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import SystemRandom
from typing import Literal, NamedTuple, TypeVar

from harvester.errors import TransientError

Reason = Literal["rate_limited", "outage", "unusable"]

TOLD_CAP = 900.0
RATE_FIRST, RATE_FACTOR, RATE_CAP = 5.0, 1.5, 300.0
OUTAGE_FIRST, OUTAGE_FACTOR, OUTAGE_CAP = 1.0, 2.0, 60.0
UNUSABLE_RETRIES, UNUSABLE_WAIT = 3, 1.0
# Every ladder is at its cap long before; a daemon in a week-long outage must not overflow a float.
_LAST_STEP = 32

_T = TypeVar("_T")
_random = SystemRandom()


class RateLimitedError(TransientError):
    """We asked too often. A TransientError with `retry_after` counts as one unless its class says otherwise."""


class OutageError(TransientError):
    """No answer: network, timeout, 5xx."""


class UnusableError(TransientError):
    """An answer that says nothing: HTML where JSON was due, an empty or a cut body."""


class Retry(NamedTuple):
    """How often an outage is tried again (None: without end). `scale` stretches or shrinks every wait."""

    attempts: int | None
    scale: float = 1.0


ONE_SHOT = Retry(attempts=3)
DAEMON = Retry(attempts=None)


class Wait(NamedTuple):
    """A wait that begins: why, the how manieth of its reason, how many seconds, and the error's text."""

    reason: Reason
    attempt: int
    seconds: float
    text: str


def reason_of(error: TransientError) -> Reason:
    """Which rhythm an error follows."""
    if isinstance(error, UnusableError):
        return "unusable"
    if isinstance(error, RateLimitedError):
        return "rate_limited"
    if isinstance(error, OutageError) or error.retry_after is None:
        return "outage"
    return "rate_limited"


def wait_after(error: TransientError, attempt: int, policy: Retry, jitter: float) -> Wait | None:
    """The wait after the `attempt`-th failure of this reason (from 1); None: give up. `jitter` is drawn from [0, 1)."""
    reason = reason_of(error)
    limit = {"rate_limited": None, "outage": policy.attempts, "unusable": UNUSABLE_RETRIES}[reason]
    if limit is not None and attempt > limit:
        return None
    step = min(attempt - 1, _LAST_STEP)
    if reason == "unusable":
        seconds = UNUSABLE_WAIT
    elif error.retry_after:  # 0 is no answer to "how long": obeying it would be a storm without end
        seconds = min(error.retry_after, TOLD_CAP)
    elif reason == "rate_limited":
        seconds = min(RATE_FIRST * RATE_FACTOR**step, RATE_CAP)
    else:
        seconds = jitter * min(OUTAGE_FIRST * OUTAGE_FACTOR**step, OUTAGE_CAP)
    return Wait(reason, attempt, max(0.0, seconds) * policy.scale, str(error))


async def retrying(
    operation: Callable[[], Awaitable[_T]],
    policy: Retry,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    on_wait: Callable[[Wait], None] | None = None,
    jitter: Callable[[], float] = _random.random,
) -> _T:
    """What `operation` returns, tried again while it raises TransientError; the last one when patience ends.

    `on_wait` is told of each wait as it begins. Cancellation ends a wait at once.
    """
    failed: dict[Reason, int] = {}
    while True:
        try:
            return await operation()
        except TransientError as error:
            reason = reason_of(error)
            failed[reason] = failed.get(reason, 0) + 1
            wait = wait_after(error, failed[reason], policy, jitter())
            if wait is None:
                raise
        if on_wait is not None:
            on_wait(wait)
        await sleep(wait.seconds)
