"""How far a backfill is and when it ends: for its bar, and told to whoever shares its credential's budget."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from harvester.budget import Backfill, Plan
from harvester.forecast import seconds_left

_EVERY = 1.0


class Outlook:
    """The forecast of one backfill, that begins now. `name`: what is read, as in `github/pulls/12`."""

    def __init__(self, name: str, backfill: Backfill | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._backfill = backfill or Backfill()
        self._clock = clock
        self._began = clock()

    def at(self, done: float) -> datetime | None:
        """When it ends, as the share that is done makes believe; None: too little is."""
        left = seconds_left(done, self._clock() - self._began, self._backfill.rooms())
        ends = None if left is None else datetime.now(UTC) + timedelta(seconds=left)
        self._backfill.plan = Plan(name=self._name, done=done, ends=ends.timestamp() if ends else 0.0)
        return ends

    def over(self) -> None:
        """It is at work no longer."""
        self._backfill.plan = None


@asynccontextmanager
async def watched(look: Callable[[], object], every: float = _EVERY) -> AsyncIterator[None]:
    """Call `look` again and again while the block runs."""

    async def looking() -> None:
        while True:
            look()
            await asyncio.sleep(every)

    task = asyncio.create_task(looking())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def clock_time(moment: datetime, now: datetime | None = None) -> str:
    """`04:10Z`, with its date when that is not today's."""
    now = now or datetime.now(UTC)
    return f"{moment:%H:%MZ}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%MZ}"
