"""What is told of the windows of one stream: an own event for each that brought something, one in ten minutes while none does.

Whatever was not told is in the next event: the sums over all of them are what the process did. A window is told only after it
is durably covered, so that after a kill it is read again, or was told, and never both.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from harvester.coverage import Coverage, Interval
from harvester.event import Event
from harvester.ownevents import WINDOW, Tell, own_event, silent
from harvester.tally import Tally, counting

_QUIET = 600.0
"""Seconds between two events of a stream whose windows bring nothing."""
COUNTS = ("read", "published", "filtered", "dead_lettered")


class _Sums(NamedTuple):
    """What the process had done with the stream at one moment."""

    windows: int = 0
    seconds: float = 0.0
    calls: int = 0
    waited: float = 0.0
    counts: tuple[int, ...] = (0,) * len(COUNTS)


class OwnWindows:
    """Made for each stream; `tell` says where its events go."""

    def __init__(self, source: str, stream: str, tell: Tell = silent, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._stream = stream
        self._tell = tell
        self._clock = clock
        self._tally = Tally()
        self._windows = 0
        self._seconds = 0.0
        self._before = _Sums()
        """What was told, and what waits to be."""
        self._quiet_until = float("-inf")
        self._waiting: list[Event] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Around the reading and publishing of one window."""
        began = self._clock()
        try:
            with counting(self._tally):
                yield
        finally:
            self._seconds += self._clock() - began

    def read(self, window: Interval, totals: Mapping[str, int], coverage: Coverage, now: datetime) -> None:
        """The window was read to its end. `totals` of the process so far; `now` is the vendor's."""
        if self._tell is silent:
            return
        self._windows += 1
        sums = _Sums(self._windows, self._seconds, self._tally.calls, self._tally.waited, tuple(totals[name] for name in COUNTS))
        before, moment = self._before, self._clock()
        counts = {name: a - b for name, a, b in zip(COUNTS, sums.counts, before.counts, strict=True)}
        brought = counts["published"] or counts["dead_lettered"] or sums.windows == 1
        asked = sums.calls > before.calls or counts["read"]
        if not brought and not (asked and moment >= self._quiet_until):
            return
        self._before, self._quiet_until = sums, moment + _QUIET
        edge = coverage.live_edge
        self._waiting.append(
            self._event(
                window,
                {
                    "windows": sums.windows - before.windows,
                    **counts,
                    "seconds": round(sums.seconds - before.seconds, 3),
                    "calls": sums.calls - before.calls,
                    "waited_seconds": round(sums.waited - before.waited, 3),
                    "call_limit": self._tally.limit,
                    "calls_left": self._tally.left,
                    "lag_seconds": round((now - edge).total_seconds(), 3) if edge else None,
                    "gap_seconds": round(coverage.gaps().total.total_seconds(), 3),
                },
            )
        )

    def _event(self, window: Interval, data: dict[str, object]) -> Event:
        moment = datetime.now(UTC)
        parts = (self._source, self._stream, window.start, window.end, moment)
        of = {"source": self._source, "stream": self._stream, "window_start": window.start, "window_end": window.end}
        return own_event(WINDOW, parts, {**of, **data}, moment)

    def covered(self) -> None:
        """All that was read is durably covered, or is not to be."""
        for event in self._waiting:
            self._tell(event)
        self._waiting = []
