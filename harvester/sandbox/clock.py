"""The sandbox's own clock, and times as Opencast writes and reads them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class SandboxClock:
    """Runs on from `start` with `speed` sandbox seconds a second of `ticker`; whole milliseconds."""

    def __init__(self, start: datetime, *, speed: float = 1.0, ticker: Callable[[], float] = time.monotonic) -> None:
        self._ticker = ticker
        self._speed = speed
        self._set(start)
        self._latest = start

    def now(self) -> datetime:
        now = self._base + timedelta(milliseconds=int((self._ticker() - self._began) * self._speed * 1000))
        self._latest = max(self._latest, now)
        return now

    @property
    def latest(self) -> datetime:
        """The latest instant that the clock ever showed."""
        self.now()
        return self._latest

    def set(self, now: datetime) -> None:
        self.now()
        self._set(now)

    def advance(self, by: timedelta) -> None:
        self._set(self.now() + by)

    def _set(self, now: datetime) -> None:
        self._base = now.astimezone(UTC)
        self._began = self._ticker()


def milliseconds(moment: datetime) -> int:
    """Since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def local_instant(text: str, zone: ZoneInfo) -> datetime:
    """`YYYYMMDDHHmmss` in the server's zone, as Java reads it: a repeated hour is the later one, a skipped one is moved on.

    Raises ValueError.
    """
    if len(text) != 14 or not (text.isascii() and text.isdigit()):
        raise ValueError(f"not YYYYMMDDHHmmss: {text!r}")
    parts = (text[:4], text[4:6], text[6:8], text[8:10], text[10:12], text[12:])
    year, month, day, hour, minute, second = map(int, parts)
    local = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    return max(local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC))
