"""The open book: what one process knows of a source's coverage, and what of it is not stored yet."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from harvester import crash
from harvester.coverage import Book, Coverage, Mark
from harvester.errors import CoverageResetError, RefusedError
from harvester.protocols import CoverageStore, Marked, Outlet


class OpenBook:
    """One source's book while a process works on it.

    Facts are written at once when the last write is at least `pace` ago, else with the next ones or by `flush`: with `pace` zero
    `add` returns = durable. A fact that could not be written stays here and is tried again with the next. One that `gathers` is
    written at its pace whoever flushes, and at once by `store` alone: where thousands of streams end within seconds, each would
    else write the whole book. One that is `shared` by streams that go on side by side is written at its pace, too, and who
    flushes a stream waits for the write that holds what was added of it: one write for all who wait.
    """

    def __init__(
        self,
        store: CoverageStore,
        source: str,
        queue: str | Outlet,
        *,
        pace: timedelta = timedelta(seconds=1),
        gathers: bool = False,
        shared: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self.source = source
        self._queue = queue if isinstance(queue, str) else queue.id
        self._marked = queue if isinstance(queue, Marked) else None
        self._pace = pace.total_seconds()
        self._gathers = gathers
        self._shared = shared
        self._clock = clock
        self._stored = Book()
        self._new: dict[str, Coverage] = {}
        self._writing: dict[str, Coverage] = {}
        self._written_at = -self._pace
        self._loaded_at = self._renewed_at = float("-inf")
        self._lock = asyncio.Lock()
        self.generation = 0
        """Grows when an operator reset the book: what a stream remembers of it is void."""

    async def load(self) -> None:
        """Read what is stored. RefusedError when it is true for another queue, or for more than this queue holds."""
        began = self._clock()
        book = await self._store.load(self.source)
        if book.queue and book.queue != self._queue:
            raise RefusedError(
                f"the book of {self.source} is true for queue {book.queue}, but the queue here is {self._queue}: going on would "
                f"leave out what the new queue never got. Either point HARVESTER_QUEUE_URL at the old queue again, or begin "
                f"anew with `harvest coverage reset {self.source} --yes` (what was read is then read again)."
            )
        if book.mark and self._marked and not await self._marked.holds(book.mark):
            raise RefusedError(
                f"the book of {self.source} claims {book.mark.taken:,} messages of queue {self._queue}, but the file here is an "
                f"older copy that lacks some of them: going on would leave them out. Either bring back the newer queue, or the "
                f"book that was saved with this one, or state what this one holds with `harvest coverage set`, up to some hours "
                f"before it was copied, or begin anew with `harvest coverage reset {self.source} --yes`."
            )
        self._stored, self._loaded_at = book, began

    async def renew(self, after: timedelta = timedelta()) -> None:
        """See what others have stored since, unless that was looked at less than `after` ago. After a reset what was added here
        and not stored is void: `generation` grows.
        """
        asked = self._clock()
        if self._loaded_at > asked - after.total_seconds():
            return
        async with self._lock:
            if self._renewed_at >= asked:
                return  # of five thousand streams that begin at once a few ask
            began, before = self._clock(), self._stored.epoch
            await self.load()
            self._renewed_at = began
            if before and self._stored.epoch != before:
                self.generation += 1
                self._new = {}

    def coverage(self, stream: str) -> Coverage:
        """What is known of a stream, stored or not yet."""
        nothing = Coverage()
        return self._stored.streams.get(stream, nothing) | self._writing.get(stream, nothing) | self._new.get(stream, nothing)

    def coverages(self) -> Mapping[str, Coverage]:
        """Stream → what is known of it."""
        # Of five thousand streams a few have something that is not stored.
        return {**self._stored.streams, **{name: self.coverage(name) for name in {**self._writing, **self._new}}}

    @property
    def fresh(self) -> bool:
        """Whether nothing was ever stored, not even that an operator reset it."""
        return not self._stored.epoch

    def begun(self, stream: str) -> bool:
        """Whether it is stored where a stream begins."""
        return self._stored.streams.get(stream, Coverage()).start is not None

    def stored(self, stream: str) -> bool:
        """Whether everything that was added of a stream is durable."""
        return stream not in self._new and stream not in self._writing

    async def begin(self, stream: str, start: datetime) -> None:
        """Store where a stream begins, before its first fetch."""
        self._note(stream, Coverage(start=start))
        await (self.flush(stream) if self._shared else self.store())

    async def add(self, stream: str, fact: Coverage) -> None:
        """Take note of a fact. CoverageResetError: the book was reset meanwhile; it is loaded anew and this fact dropped."""
        self._note(stream, fact)
        if self._due:
            await (self._store_when_due(stream) if self._shared else self.store())

    @property
    def _due(self) -> bool:
        return self._clock() - self._written_at >= self._pace

    def _note(self, stream: str, fact: Coverage) -> None:
        self._new[stream] = self._new.get(stream, Coverage()) | fact

    async def flush(self, stream: str) -> None:
        """Returns = everything added of the stream is durable, or void: then `generation` has grown. One that is not `shared`
        stores that of all others, too; see `gathers`.
        """
        while self._shared and not self.stored(stream):
            await asyncio.sleep(self._written_at + self._pace - self._clock())
            await self._store_when_due(stream)
        if not self._shared and (not self._gathers or self._due):
            await self.store()

    async def _store_when_due(self, stream: str) -> None:
        """Unless another has stored it, or something else, while this waited for its turn."""
        async with self._lock:
            if self._due and not self.stored(stream):
                await self._store_new()

    async def store(self) -> None:
        """Returns = everything added so far is durable, or void: then `generation` has grown."""
        async with self._lock:
            await self._store_new()

    async def _store_new(self) -> None:
        if self._new:
            crash.point("harvest.before_cover")
            self._writing, self._new = self._new, {}
            try:
                await self._write(self._writing)
            except CoverageResetError:
                self.generation += 1
                self._new = {}
                raise
            except BaseException:
                self._new = _merged(self._writing, self._new)
                raise
            finally:
                self._writing = {}
            crash.point("harvest.after_cover")

    async def _write(self, new: Mapping[str, Coverage]) -> None:
        # Asked for after everything that `new` claims was acknowledged.
        mark = await self._marked.mark() if self._marked else None
        try:
            await self._store.add(self.source, self._book(new, mark))
        except CoverageResetError:
            first = not self._stored.epoch
            await self.load()
            if not first or not self._stored.epoch:
                raise
            # Another harvester was the first to write: what this one read is as true as before.
            await self._store.add(self.source, self._book(new, mark))
        self._written_at = self._clock()
        if self._stored.epoch:
            self._stored = self._book(_merged(self._stored.streams, new), mark)
        else:
            await self.load()

    def _book(self, streams: Mapping[str, Coverage], mark: Mark | None) -> Book:
        return Book(epoch=self._stored.epoch, queue=self._queue, streams=streams, mark=mark)


def _merged(all_: Mapping[str, Coverage], some: Mapping[str, Coverage]) -> dict[str, Coverage]:
    """The union. Only what `some` names is worth the arithmetic: of five thousand streams a few change."""
    nothing = Coverage()
    return {**all_, **{name: all_.get(name, nothing) | coverage for name, coverage in some.items()}}
