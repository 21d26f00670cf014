"""Writing what may be refused whole, in part, or for now."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from consumers.deaths import Deaths
from consumers.protocols import Rejection, Sink
from harvester import traces
from harvester.errors import HarvesterError, InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from harvester.retry import TOLD_CAP

_LONGEST_PAUSE = 60.0


class StoppedError(HarvesterError):
    """Asked to stop while a batch could not be written."""


class Patience:
    """How one sink waits: longer each time, as long as it is told, and not a moment longer than until the stop."""

    def __init__(
        self, stop: asyncio.Event, deaths: Deaths, *, first_pause: float, on_wait: Callable[[Exception, float], None]
    ) -> None:
        self._stop = stop
        self._deaths = deaths
        self.first_pause = first_pause
        self._on_wait = on_wait

    async def pause(self, seconds: float) -> None:
        """Wait, but not a moment longer than until the stop."""
        # Not wait_for: Python 3.11's forgets a cancellation that comes together with the stop.
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def back_off(self, pause: float, error: Exception) -> float:
        """Wait after this error; the pause after the next one. Raises StoppedError."""
        _let_go(error)
        seconds = _told(error) or pause * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self._on_wait(error, seconds)
        async with self._deaths.waiting():
            await self.pause(seconds)
            if self._stop.is_set():
                raise StoppedError(str(error)) from error
        return min(pause * 2, _LONGEST_PAUSE)


async def write_patiently(sink: Sink, events: Sequence[Event], patience: Patience, log: Any) -> list[Rejection]:
    """Returns when each event is durable or refused for good, which are those returned; waits out what passes."""
    refused: list[Rejection] = []
    todo, pause = events, patience.first_pause
    while todo:
        try:
            with traces.span("index", "client", {"harvester.sink": sink.name, "db.operation.batch.size": len(todo)}):
                rejections = await write_halving(sink, todo)
        except TransientError as error:
            log.warning("write is tried again", error=str(error), events=len(todo), wait=pause)
            pause = await patience.back_off(pause, error)
            continue
        refused += [r for r in rejections if isinstance(r.error, InvalidEventError)]
        busy = [r for r in rejections if isinstance(r.error, TransientError)]
        todo = [r.event for r in busy]
        if busy:
            longest = max((r.error for r in busy), key=_told)
            log.warning("write is tried again", error=str(longest), events=len(todo), wait=pause)
            pause = await patience.back_off(pause, longest)
    return refused


async def write_halving(sink: Sink, events: Sequence[Event]) -> list[Rejection]:
    """Write; a batch that is refused whole is halved until the guilty event is alone."""
    try:
        rejections = list(await sink.write(events))
    except InvalidEventError as error:
        if len(events) == 1:
            return [Rejection(events[0], error)]
        half = len(events) // 2
        return [*await write_halving(sink, events[:half]), *await write_halving(sink, events[half:])]
    if rejections and not {id(r.event) for r in rejections} <= {id(e) for e in events}:
        # Taken for written, it would be lost.
        raise PermanentError(f"{sink.name}: an event was rejected that it was not given")
    return rejections


def _let_go(error: BaseException | None) -> None:
    """Of what the calls that ended in `error` were working on: whole requests, which would be held as long as it is."""
    while error is not None:
        # Not clear_frames: an error that several batches met has their frames, too, and those that wait would be closed.
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _told(error: Exception) -> float:
    """Seconds that the other side asked to wait; 0 is no answer: obeying it would be a storm without end."""
    return min(error.retry_after or 0.0, TOLD_CAP) if isinstance(error, TransientError) else 0.0
