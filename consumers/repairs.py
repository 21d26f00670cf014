"""Due letters on their way through a sink once more, beside the live batches and never in front of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from consumers.batch import Processing, Repaired
from consumers.writing import StoppedError
from harvester.errors import TransientError
from harvester.protocols import DeadLetters, Letter


class Repairs:
    """What is due for one group: in the bulks that live batches leave free, at most `most`, at least one.

    One letter goes first. While that one cannot be enriched, or its service is known to be away, those that wait for their
    enrichment are left alone: they lose no attempt, and are all tried when it is back. A service that is back is heard of by
    the enricher, from live events or from that first letter.
    """

    def __init__(
        self, letters: DeadLetters, group: str, processing: Processing, *, most: int, batch: tuple[int, int], every: float
    ) -> None:
        self._letters = letters
        self._group = group
        self._processing = processing
        self._most = most
        self._batch = batch
        """The most letters, and bytes, of one bulk."""
        self._every = every
        self._scan: AsyncIterator[Letter] | None = None
        self._fetching: asyncio.Task[Sequence[Letter]] | None = None
        self._running: set[asyncio.Task[Repaired]] = set()
        self._look_at = 0.0
        self._found = False
        """Whether the look under way, or the last one, found a letter."""
        self._careful = True
        self._away = False

    @property
    def tasks(self) -> Collection[asyncio.Task[Any]]:
        """What is under way."""
        return [*self._running, self._fetching] if self._fetching else [*self._running]

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and the last look found nothing that is due."""
        return not self.tasks and self._scan is None and self._look_at > 0 and not self._found

    def turn(self, room: int, *, ours: bool = True) -> int:
        """Begin what there is room for, while it is ours to do; how many letters are done with since the last turn."""
        done = self._finished()
        self._fetched()
        if not ours:
            self._scan = None  # what was not fetched yet is another member's
            return done
        if self._away and not self._processing.away:
            self._look_at = 0.0  # it may be back: do not let it wait for the next look
        self._away = self._processing.away
        most = 1 if self._careful else max(1, min(self._most, room))
        if self._fetching is None and len(self._running) < most and self._looking():
            assert self._scan is not None
            self._fetching = asyncio.create_task(self._next(self._scan, 1 if self._careful else self._batch[0]))
        return done

    def _finished(self) -> int:
        done = 0
        for task in [task for task in self._running if task.done()]:
            self._running.remove(task)
            error = failure(task)
            if isinstance(error, StoppedError):
                continue
            if error is not None:
                raise error
            repaired = task.result()
            done += repaired.done
            if not repaired.pending:
                self._careful = False
            elif self._processing.away:
                self._careful = True
                self._scan = None  # the next look leaves out what is pending
        return done

    def _fetched(self) -> None:
        if self._fetching is None or not self._fetching.done():
            return
        task, self._fetching = self._fetching, None
        error = failure(task)
        if error is not None:
            raise error
        letters = task.result()
        if letters:
            self._found = True
            self._running.add(asyncio.create_task(self._processing.repair(letters)))
        else:
            self._scan = None
            # What was found may have taken long: look again at once, before it is said that nothing is due.
            self._look_at = time.monotonic() + (0 if self._found else self._every)

    def _looking(self) -> bool:
        """Whether a look at what is due is under way, or begins now."""
        # Not before all of the last look are done: they are in the store until then, and would be found again.
        if self._scan is None and not self._running and time.monotonic() >= self._look_at:
            self._found = False
            without = "enrich" if self._processing.away else ""
            self._scan = self._letters.scan(self._group, datetime.now(UTC), without=without)
        return self._scan is not None

    async def _next(self, scan: AsyncIterator[Letter], limit: int) -> Sequence[Letter]:
        """One bulk of due letters, in events and in bytes; none when the look is over."""
        letters: list[Letter] = []
        size = 0
        async for letter in scan:
            letters.append(letter)
            size += len(letter.body)
            if len(letters) >= limit or size >= self._batch[1]:
                break
        return letters


def failure(task: asyncio.Task[Any]) -> BaseException | None:
    """What ended a task that is done. One that was cancelled from within failed, too: else the sink would end in silence."""
    return TransientError("a batch was cancelled from within") if task.cancelled() else task.exception()
