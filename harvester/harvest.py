"""The loop of a source: coverage → windows → stream → queue → coverage.

Publish, then cover: a window's interval is added to the coverage only after the queue acknowledged every event in it and every
broken record is a durable letter. So a crash anywhere repeats events and never loses one.
"""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from harvester import crash, traces
from harvester.coverage import EPOCH, Coverage, Interval, Intervals, SpanPolicy, covered, due_to_settle, live_windows, plan
from harvester.errors import CoverageResetError, InvalidEventError, PayloadTooLargeError, TransientError
from harvester.event import Event, encode_event
from harvester.limits import Bound
from harvester.logs import get_logger
from harvester.metrics import StreamMetrics
from harvester.openbook import OpenBook
from harvester.outbox import Batch, Outbox
from harvester.ownevents import Tell, silent
from harvester.ownwindows import OwnWindows
from harvester.protocols import Broken, DeadLetters, Letter, Message, Outlet, Page, Source, Stream
from harvester.retry import ONE_SHOT, OutageError, Retry, Wait, retrying
from harvester.unread import unread

_COVER_FIRST = os.environ.get("HARVESTER_CRASH_ORDER") == "cover-first"
"""Only the crash proof sets this: with the order switched it must find losses, else it proves nothing."""


class Limits(NamedTuple):
    """How much is worked on at once, and how long a span may be."""

    batch_events: int = 1000
    batch_bytes: int = 8 * 2**20
    in_flight: int = 8
    in_flight_bytes: int = 64 * 2**20
    max_span: timedelta | None = None
    span_policy: SpanPolicy = "windows"
    remembered: int = 200_000
    """How many subjects a stream remembers to leave out what comes again unchanged; forgetting is always safe."""


class Harvest:
    """One stream's way into the queue."""

    def __init__(
        self,
        source: Source,
        stream: Stream,
        queue: Outlet,
        book: OpenBook,
        letters: DeadLetters,
        *,
        limits: Limits = Limits(),
        retry: Retry = ONE_SHOT,
        metrics: StreamMetrics | None = None,
        on_window: Callable[[Interval], None] | None = None,
        on_wait: Callable[[Wait], None] = lambda _: None,
        tell: Tell = silent,
    ) -> None:
        self._source = source
        self._stream = stream
        self._queue, self._book, self._letters = queue, book, letters
        self._limits = limits
        self._retry = retry
        self.metrics = metrics or StreamMetrics(source.name, stream.name)
        self._owner = f"{source.name}/{stream.name}"
        self._own = OwnWindows(source.name, stream.name, tell)
        self._recent: dict[str, tuple[str, datetime]] = {}
        self._known = Intervals()
        """Time of which `_recent` holds all that was published: what is new in it came late, or grew."""
        self._generation = book.generation
        self.on_window, self._on_wait = on_window, on_wait
        self.totals = {"read": 0, "published": 0, "filtered": 0, "dead_lettered": 0}
        """What this process has done so far, in events."""

    async def poll(self, first_start: datetime, *, whole: bool = False) -> None:
        """One live poll to the vendor's now, and whatever has come to rest since it was read. Begins at `first_start`."""
        now, name, timing = self._source.now(), self._stream.name, self._stream.timing
        await self._book.flush(name)  # while the store is away the vendor is not asked (F13)
        if not self._book.begun(name):
            await self._book.begin(name, min(first_start, now))
        for span in live_windows(self._coverage(), now, timing):
            await self.read([span], self._coverage().notes, whole=whole)
        for window in due_to_settle(self._coverage(), self._source.now(), timing):
            await self._window(window)
        await self.flush()
        self._forget()

    async def read(
        self, spans: Iterable[Interval], notes: bytes | None = None, *, whole: bool = False, record: bool = True
    ) -> None:
        """Read spans window by window, oldest first, each committed alone; `whole`: a span is one window, however long.

        `notes`: what a live poll hands to the stream; only then those that come back are kept. `record` False leaves the
        coverage as it is. RefusedError when a span is too long and the policy is to abort; CoverageResetError when the book was
        reset meanwhile: nothing that was read before counts as read.
        """
        self._coverage()
        for span in spans:
            windows = [span] if whole else plan(span, self._stream.timing.window, self._limits.max_span, self._limits.span_policy)
            for window in windows:
                with traces.span("poll", "client", {"harvester.stream": self._owner}):
                    await self._window(window, notes, record=record)
        await self.flush()

    async def reread(self) -> int:
        """Try letters of this stream again that are due; how many became events."""
        done = 0
        async for letter in self._letters.scan(self._source.name, due=datetime.now(UTC)):
            if letter.stream != self._stream.name:
                continue
            try:
                event = self._stream.event(letter.body, self._source.now())
                await self._publish([Message(event.key, encode_event(event))], {"read": 1, "published": 1})
            except (InvalidEventError, PayloadTooLargeError) as error:
                await self._letters.add([self._letter(Broken(letter.body, str(error), letter.reason))])
                continue
            await self._letters.finish([letter])
            done += 1
        return done

    def _coverage(self) -> Coverage:
        if self._generation != self._book.generation:
            self._generation = self._book.generation
            self._recent.clear()
            self._known = Intervals()
        return self._book.coverage(self._stream.name)

    async def _cover(self, fact: Coverage) -> None:
        """Add what was read to the coverage, unless a reset made it void."""
        if self._generation == self._book.generation:
            await self._book.add(self._stream.name, fact)
        self._still_valid()

    async def flush(self, *, now: bool = False) -> None:
        """Returns = what was read is durably covered, and told; `now`: whatever the pace of the book."""
        if now and not self._book.stored(self._stream.name):
            await self._book.store()
        await self._book.flush(self._stream.name)
        self._still_valid()
        self._own.covered()

    def _still_valid(self) -> None:
        # Another stream of the source may have met the reset: then this one's facts went with the book.
        if self._generation != self._book.generation:
            raise CoverageResetError(f"the book of {self._source.name} was reset while {self._stream.name} was read")

    async def _window(self, window: Interval, notes: bytes | None = None, *, record: bool = True) -> None:
        asked_at, timing = self._source.now(), self._stream.timing
        again = window.end > asked_at - max(timing.settle, timing.overlap)
        fact = self._fact(window, asked_at)
        if _COVER_FIRST and record:
            await self._cover(fact)
        outbox = self._outbox(keep=again)
        async with self._own.reading(), outbox, _pages(self._stream, window, notes or b"") as pages:
            async for page in pages:
                fresh = self._sift(page.events)
                self._count_late(fresh, window)
                await outbox.take(fresh, page.broken, len(page.events) - len(fresh))
                live = page.notes if notes is not None else None
                if page.covered is None:
                    fact = self._noted(fact, live)
                elif record:
                    await outbox.drain()
                    await self._cover(self._noted(self._fact(page.covered, asked_at), live))
                    self.metrics.advanced()
        crash.point("harvest.after_publish")
        if record:
            await self._cover(fact)
        if again:
            self._known |= [window]
        if self.on_window:
            self.on_window(window)
        self._report(window)
        if not record or self._book.stored(self._stream.name):
            self._own.covered()

    def _fact(self, interval: Interval, asked_at: datetime) -> Coverage:
        """What reading an interval proves. Nothing behind the horizon: there the vendor may have forgotten."""
        timing = self._stream.timing
        fact = covered(interval, asked_at, timing)
        if timing.horizon is None:
            return fact
        known = [(asked_at - timing.horizon, asked_at)]
        return Coverage(read=fact.read & known, settled=fact.settled & known)

    def _noted(self, fact: Coverage, notes: bytes | None) -> Coverage:
        """With the notes that came with it, also when it is behind the live edge: they are newer than those of before."""
        if notes is None:
            return fact
        at = max([self._book.coverage(self._stream.name).live_edge or EPOCH, *(interval.end for interval in fact.read)])
        return Coverage(start=fact.start, read=fact.read, settled=fact.settled, notes=notes, notes_at=at)

    def _outbox(self, *, keep: bool) -> Outbox:
        async def deliver(batch: Batch) -> None:
            await self._send(batch)
            if keep:
                self._remember(batch.events)

        limits = self._limits
        bound = Bound(events=limits.batch_events * limits.in_flight, size=limits.in_flight_bytes)
        return Outbox(deliver, bound, batch_events=limits.batch_events, batch_bytes=limits.batch_bytes)

    def _forget(self) -> None:
        """Drop what no poll will read again: what is settled, and behind the overlap."""
        coverage = self._coverage()
        if coverage.live_edge is None:
            return
        unsettled = coverage.read - coverage.settled
        edge = min([coverage.live_edge - self._stream.timing.overlap, *(i.start for i in unsettled[:1])])
        self._recent = {s: seen for s, seen in self._recent.items() if seen[1] >= edge}
        self._known &= [(edge, coverage.live_edge)]

    def _sift(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events without those that this process published before, unchanged."""
        recent = self._recent
        return [e for e in events if (seen := recent.get(e.subject)) is None or seen[0] != e.id] if recent else events

    def _count_late(self, fresh: Sequence[Event], window: Interval) -> None:
        if before := self._known & [window]:
            self.metrics.late(sum(before.holding(event.time) is not None for event in fresh))

    def _remember(self, events: Iterable[Event]) -> None:
        """Events that are durable in the queue and will be read again."""
        recent = self._recent
        for event in events:
            recent[event.subject] = (event.id, event.time)
        while len(recent) > self._limits.remembered:
            del recent[next(iter(recent))]
            self._known = Intervals()

    async def _send(self, batch: Batch) -> None:
        """One batch: letters first, then the events with the counts of both, in one durable act."""
        events, messages, broken, filtered = batch
        await self._store([self._letter(b) for b in broken])
        counts = {"read": len(events) + len(broken) + filtered, "dead_lettered": len(broken), "filtered": filtered}
        try:
            await self._publish(messages, {**counts, "published": len(messages)})
        except PayloadTooLargeError as error:
            large = set(error.indexes)
            await self._store(
                [self._letter(Broken(bytes(events[i].data), str(error), "payload_too_large")) for i in sorted(large)]
            )
            counts["dead_lettered"] += len(large)
            messages = [m for i, m in enumerate(messages) if i not in large]
            await self._publish(messages, {**counts, "published": len(messages)})

    async def _publish(self, messages: Sequence[Message], counts: Mapping[str, int]) -> None:
        began = time.monotonic()
        with traces.span("publish", "producer", {"harvester.stream": self._owner, traces.MESSAGES: len(messages)}):
            await self._patiently(lambda: self._queue.publish(traces.marked(messages), counts, self._owner))
        self.metrics.published(counts["published"], time.monotonic() - began)
        self.metrics.read(counts["read"])
        for name, amount in counts.items():
            self.totals[name] += amount
        self.metrics.filtered(counts.get("filtered", 0))
        self.metrics.dead_lettered(counts.get("dead_lettered", 0))

    async def _store(self, letters: Sequence[Letter]) -> None:
        if letters:
            await self._patiently(lambda: self._letters.add(letters))

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        """Wait out a queue that is full or away, instead of asking the vendor for the same window again and again."""

        async def once() -> None:
            try:
                await act()
            except TransientError as error:
                # As an outage whatever it told: a one-shot run must not wait for ever in front of a full queue.
                raise OutageError(str(error), retry_after=error.retry_after) from error

        def waits(wait: Wait) -> None:
            log = get_logger("harvest").bind(source=self._source.name, stream=self._stream.name)
            log.warning("tried again", error=wait.text, seconds=round(wait.seconds, 1), attempt=wait.attempt)
            self._on_wait(wait)

        await retrying(once, self._retry, on_wait=waits)

    def _letter(self, broken: Broken) -> Letter:
        return unread(self._source.name, self._stream.name, broken)

    def _report(self, window: Interval) -> None:
        coverage, now = self._book.coverage(self._stream.name), self._source.now()
        left = (Intervals([(coverage.start or now, now)]) - coverage.read).total.total_seconds()
        self.metrics.progress(coverage.watermark, coverage.live_edge, now, len(coverage.gaps()), left)
        self._own.read(window, self.totals, coverage, now)


@asynccontextmanager
async def _pages(stream: Stream, window: Interval, notes: bytes) -> AsyncIterator[AsyncIterator[Page]]:
    """The pages of a window. However the block ends, the stream has let go of its request when it is left."""
    pages = stream.fetch(window, notes)
    try:
        yield pages
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()
