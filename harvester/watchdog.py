"""The watchdog: a thread that sees when the event loop stands still (F53).

The loop leaves a mark every STEP seconds; the thread reads it. While the mark is old the lag grows, and after ALARM seconds the
stack of the loop's thread is logged: there stands what holds it. A process that was stopped as a whole (SIGSTOP, a suspended
host) finds the thread late as well: that is said in other words, for no line of code is to blame.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from harvester import metrics
from harvester.logs import get_logger

STEP = 0.25
ALARM = 1.0
DEAD = 10.0
"""Seconds after which the process does not count as alive."""


class Watchdog:
    """Watches the loop whose thread makes it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._thread = threading.get_ident()
        self._turned = self._looked = clock()
        self._stalled_since: float | None = None
        self._log = get_logger("watchdog")

    @property
    def age(self) -> float:
        """Seconds since the loop turned. May be asked for by any thread."""
        return max(0.0, self._clock() - self._turned)

    def turned(self) -> None:
        """The loop's mark."""
        self._turned = self._clock()

    def look(self) -> None:
        """The thread's look, every STEP seconds: measures, and tells of a stall once at its beginning and once at its end."""
        now, late = self._clock(), self._clock() - self._looked - STEP
        self._looked = now
        if late > ALARM:
            self._log.warning("the whole process stood still: it was suspended, or got no CPU", seconds=round(late, 1))
            self._turned = now  # the loop has as long as ever from here
        lag = max(0.0, now - self._turned - STEP)
        metrics.loop_lag(lag)
        if lag > ALARM and self._stalled_since is None:
            self._stalled_since = self._turned
            self._log.error("the event loop stands still", seconds=round(lag, 1), stack=self._stack())
        elif lag <= ALARM and self._stalled_since is not None:
            self._log.warning("the event loop turns again", seconds=round(self._turned - self._stalled_since, 1))
            self._stalled_since = None

    def _stack(self) -> list[str]:
        """Where the loop's thread is, outermost first."""
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - there is no other way to see another thread
        return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_stack(frame)] if frame else []


@asynccontextmanager
async def watching() -> AsyncIterator[Watchdog]:
    """Watch this loop while the block runs."""
    dog, ended = Watchdog(), threading.Event()

    async def mark() -> None:
        while True:
            dog.turned()
            await asyncio.sleep(STEP)

    def watch() -> None:
        while not ended.wait(STEP):
            dog.look()

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    task = asyncio.create_task(mark())
    thread.start()
    try:
        yield dog
    finally:
        ended.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(thread.join)
