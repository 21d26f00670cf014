"""The loop of a source: coverage → windows → stream → queue → coverage.

Publish, then cover: a window's interval is added to the coverage only after the queue acknowledged every event in it and every
broken record is a durable letter. So a crash anywhere repeats events and never loses one.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from harvester import __version__, crash
from harvester.coverage import Coverage, Interval, Intervals, SpanPolicy, covered, due_to_settle, live_window, plan
from harvester.errors import InvalidEventError, PayloadTooLargeError
from harvester.event import Event, encode_event
from harvester.limits import Bound
from harvester.metrics import StreamMetrics
from harvester.openbook import OpenBook
from harvester.protocols import Broken, DeadLetters, Letter, Message, Outlet, Page, Source, Stream, letter_id

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
        metrics: StreamMetrics | None = None,
        on_window: Callable[[Interval], None] | None = None,
    ) -> None:
        self._source = source
        self._stream = stream
        self._queue = queue
        self._book = book
        self._letters = letters
        self._limits = limits
        self.metrics = metrics or StreamMetrics(source.name, stream.name)
        self._owner = f"{source.name}/{stream.name}"
        self._recent: dict[str, tuple[str, datetime]] = {}
        self._generation = book.generation
        self.on_window = on_window
        self.totals = {"read": 0, "published": 0, "filtered": 0, "dead_lettered": 0}
        """What this process has done so far, in events."""

    async def poll(self, first_start: datetime, *, whole: bool = False) -> None:
        """One live poll to the vendor's now, and whatever has come to rest since it was read. Begins at `first_start`."""
        now = self._source.now()
        if self._book.coverage(self._stream.name).start is None:
            await self._book.begin(self._stream.name, min(first_start, now))
        coverage, timing = self._coverage(), self._stream.timing
        await self.read([live_window(coverage, now, timing)], coverage.notes, whole=whole)
        for window in due_to_settle(self._coverage(), self._source.now(), timing):
            await self._window(window, b"")
        await self._book.flush()

    async def read(self, spans: Iterable[Interval], notes: bytes = b"", *, whole: bool = False, record: bool = True) -> None:
        """Read spans window by window, oldest first, each committed alone; `whole`: a span is one window, however long.

        `record` False leaves the coverage as it is. RefusedError when a span is too long and the policy is to abort.
        """
        for span in spans:
            windows = [span] if whole else plan(span, self._stream.timing.window, self._limits.max_span, self._limits.span_policy)
            for window in windows:
                await self._window(window, notes, record=record)
        await self._book.flush()

    async def reread(self) -> int:
        """Try letters of this stream again that are due; how many became events."""
        done = 0
        async for letter in self._letters.scan(self._source.name, due=datetime.now(UTC)):
            if letter.stream != self._stream.name:
                continue
            try:
                event = self._stream.event(letter.body, self._source.now())
            except InvalidEventError as error:
                await self._letters.add([self._letter(Broken(letter.body, str(error), error.reason))])
                continue
            message = Message(event.key, encode_event(event))
            await self._queue.publish([message], {"read": 1, "published": 1}, self._owner)
            await self._letters.remove([letter.id])
            done += 1
        return done

    def _coverage(self) -> Coverage:
        if self._generation != self._book.generation:
            self._generation = self._book.generation
            self._recent.clear()
        return self._book.coverage(self._stream.name)

    async def _window(self, window: Interval, notes: bytes, *, record: bool = True) -> None:
        name, timing = self._stream.name, self._stream.timing
        asked_at = self._source.now()
        final = window.end <= asked_at - timing.settle
        fact = covered(window, asked_at, timing)
        if _COVER_FIRST and record:
            await self._book.add(name, fact)
        outbox = _Outbox(self, keep=not final)
        async with outbox:
            async for page in self._stream.fetch(window, notes):
                await outbox.take(page)
                if page.covered and record:
                    await outbox.drain()
                    await self._book.add(name, self._noted(covered(page.covered, asked_at, timing), page))
        crash.point("harvest.after_publish")
        if record:
            await self._book.add(name, fact)
        if final:
            self._forget(fact.settled)
        if self.on_window:
            self.on_window(window)
        self._report()

    @staticmethod
    def _noted(fact: Coverage, page: Page) -> Coverage:
        if page.notes is None or not fact.read:
            return fact
        return fact | Coverage(notes=page.notes, notes_at=fact.read[-1].end)

    def _forget(self, settled: Intervals) -> None:
        if settled:
            edge = settled[-1].end
            self._recent = {s: seen for s, seen in self._recent.items() if seen[1] >= edge}

    def sift(self, events: Sequence[Event]) -> list[Event]:
        """The events without those that this process published before, unchanged."""
        recent = self._recent
        return [e for e in events if (seen := recent.get(e.subject)) is None or seen[0] != e.id] if recent else list(events)

    def remember(self, events: Iterable[Event]) -> None:
        """Events that are durable in the queue and will be read again."""
        recent = self._recent
        for event in events:
            recent[event.subject] = (event.id, event.time)
        while len(recent) > self._limits.remembered:
            del recent[next(iter(recent))]

    async def send(self, events: Sequence[Event], messages: list[Message], broken: Sequence[Broken], filtered: int) -> None:
        """One batch: letters first, then the events with the counts of both, in one durable act."""
        if broken:
            await self._letters.add([self._letter(b) for b in broken])
        counts = {"read": len(events) + len(broken) + filtered, "dead_lettered": len(broken), "filtered": filtered}
        try:
            await self._queue.publish(messages, {**counts, "published": len(messages)}, self._owner)
        except PayloadTooLargeError as error:
            large = set(error.indexes)
            reason = "payload_too_large"
            await self._letters.add([self._letter(Broken(bytes(events[i].data), str(error), reason)) for i in sorted(large)])
            counts["dead_lettered"] += len(large)
            messages = [m for i, m in enumerate(messages) if i not in large]
            await self._queue.publish(messages, {**counts, "published": len(messages)}, self._owner)
        counts["published"] = len(messages)
        for name, amount in counts.items():
            self.totals[name] += amount
        self.metrics.read(counts["read"])
        self.metrics.published(counts["published"])
        self.metrics.filtered(counts["filtered"])
        self.metrics.dead_lettered(counts["dead_lettered"])

    def _letter(self, broken: Broken) -> Letter:
        now = datetime.now(UTC)
        return Letter(
            id=letter_id(self._source.name, "", broken.body),
            group=self._source.name,
            stage="read",
            reason=broken.reason,
            error=broken.error[:1024],
            body=broken.body,
            stream=self._stream.name,
            first=now,
            last=now,
            version=__version__,
        )

    def outlet(self) -> Bound:
        return Bound(events=self._limits.batch_events * self._limits.in_flight, size=self._limits.in_flight_bytes)

    @property
    def limits(self) -> Limits:
        return self._limits

    def _report(self) -> None:
        coverage = self._book.coverage(self._stream.name)
        self.metrics.progress(coverage.watermark, coverage.live_edge, self._source.now(), len(coverage.gaps()))


class _Outbox:
    """Batches of one window on their way: several at once, behind one bound in events and bytes."""

    def __init__(self, harvest: Harvest, *, keep: bool) -> None:
        self._harvest = harvest
        self._keep = keep
        self._bound = harvest.outlet()
        self._sending: deque[asyncio.Task[None]] = deque()
        self._events: list[Event] = []
        self._messages: list[Message] = []
        self._broken: list[Broken] = []
        self._filtered = 0
        self._bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.drain()
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def take(self, page: Page) -> None:
        """Add a page; send what makes a batch. Waits while too much is on its way: that is the back-pressure."""
        new = self._harvest.sift(page.events)
        messages = [Message(e.key, encode_event(e)) for e in new]
        self._events += new
        self._messages += messages
        self._broken += page.broken
        self._filtered += len(page.events) - len(new)
        self._bytes += sum(len(m.body) for m in messages)
        limits = self._harvest.limits
        if len(self._events) >= limits.batch_events or self._bytes >= limits.batch_bytes:
            await self._send()

    async def drain(self) -> None:
        """Returns = everything taken is durable."""
        await self._send()
        while self._sending:
            await self._sending.popleft()

    async def _send(self) -> None:
        batch = _Batch(self._events, self._messages, self._broken, self._filtered, self._bytes)
        if not (batch.events or batch.broken or batch.filtered):
            return
        self._events, self._messages, self._broken, self._filtered, self._bytes = [], [], [], 0, 0
        while self._sending and self._sending[0].done():
            await self._sending.popleft()
        await self._bound.acquire(len(batch.events), batch.size)
        self._sending.append(asyncio.create_task(self._deliver(batch)))

    async def _deliver(self, batch: "_Batch") -> None:
        try:
            await self._harvest.send(batch.events, batch.messages, batch.broken, batch.filtered)
            if self._keep:
                self._harvest.remember(batch.events)
        finally:
            self._bound.release(len(batch.events), batch.size)


class _Batch(NamedTuple):
    events: list[Event]
    messages: list[Message]
    broken: list[Broken]
    filtered: int
    size: int
