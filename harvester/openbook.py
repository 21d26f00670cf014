"""The open book: what one process knows of a source's coverage, and what of it is not stored yet."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from harvester import crash
from harvester.coverage import Book, Coverage
from harvester.errors import CoverageResetError, RefusedError
from harvester.protocols import CoverageStore


class OpenBook:
    """One source's book while a process works on it.

    Facts are written at once when the last write is at least `pace` ago, else with the next ones or by `flush`: with `pace` zero
    `add` returns = durable. A fact that could not be written stays here and is tried again with the next.
    """

    def __init__(
        self,
        store: CoverageStore,
        source: str,
        queue: str,
        *,
        pace: timedelta = timedelta(seconds=1),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self.source = source
        self._queue = queue
        self._pace = pace.total_seconds()
        self._clock = clock
        self._stored = Book()
        self._new: dict[str, Coverage] = {}
        self._written_at = -self._pace
        self._lock = asyncio.Lock()
        self.generation = 0
        """Grows when an operator reset the book: what a stream remembers of it is void."""

    async def load(self) -> None:
        """Read what is stored. RefusedError when it is true for another queue."""
        book = await self._store.load(self.source)
        if book.queue and book.queue != self._queue:
            raise RefusedError(
                f"the book of {self.source} is true for queue {book.queue}, but the queue here is {self._queue}: going on would "
                f"leave out what the new queue never got. Either point HARVESTER_QUEUE_URL at the old queue again, or begin "
                f"anew with `harvest coverage reset {self.source} --yes` (what was read is then read again)."
            )
        self._stored = book

    def coverage(self, stream: str) -> Coverage:
        """What is known of a stream, stored or not yet."""
        return self._stored.streams.get(stream, Coverage()) | self._new.get(stream, Coverage())

    async def begin(self, stream: str, start: datetime) -> None:
        """Store where a stream begins, before its first fetch."""
        self._note(stream, Coverage(start=start))
        await self.flush()

    async def add(self, stream: str, fact: Coverage) -> None:
        """Take note of a fact. CoverageResetError: the book was reset meanwhile; it is loaded anew and this fact dropped."""
        self._note(stream, fact)
        if self._clock() - self._written_at >= self._pace:
            await self.flush()

    def _note(self, stream: str, fact: Coverage) -> None:
        self._new[stream] = self._new.get(stream, Coverage()) | fact

    async def flush(self) -> None:
        """Returns = everything added so far is durable."""
        async with self._lock:
            if not self._new:
                return
            crash.point("harvest.before_cover")
            taken, self._new = self._new, {}
            try:
                await self._write(Book(epoch=self._stored.epoch, queue=self._queue, streams=taken))
            except CoverageResetError:
                raise
            except BaseException:
                self._new = {n: taken.get(n, Coverage()) | self._new.get(n, Coverage()) for n in {**taken, **self._new}}
                raise
            crash.point("harvest.after_cover")

    async def _write(self, new: Book) -> None:
        try:
            await self._store.add(self.source, new)
        except CoverageResetError:
            first = not new.epoch
            await self.load()
            if not first:
                self.generation += 1
                self._new = {}
                raise
            await self._store.add(self.source, Book(epoch=self._stored.epoch, queue=self._queue, streams=new.streams))
        self._written_at = self._clock()
        if self._stored.epoch:
            self._stored |= new
        else:
            await self.load()
