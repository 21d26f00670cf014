"""A vendor, a sink and an enricher that do as they are told. Queue, coverage and letters are real in tests: see `taps`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from consumers.protocols import Rejection, rank
from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError
from harvester.event import Event, encode_event, event_id
from harvester.protocols import Broken, Message, Page

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SOURCE, STREAM, OWNER, SINK = "vendor", "stream", "vendor/stream", "keyed"
TIMING = Timing(window=HOUR, overlap=3 * MINUTE, settle=6 * HOUR)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


class State(NamedTuple):
    """One state of a row: shown from `seen` on."""

    seen: datetime
    version: int
    padding: str = ""


class Row(NamedTuple):
    time: datetime
    states: tuple[State, ...]


class _Record(msgspec.Struct):
    subject: str
    time: datetime
    version: int
    padding: str = ""


def vendor_event(record: bytes, read_at: datetime) -> Event:
    """The vendor's record as an event. InvalidEventError for one that is broken."""
    try:
        found = msgspec.json.decode(record, type=_Record)
    except ValueError as error:
        raise InvalidEventError(str(error), reason="schema") from error
    return Event(
        id=event_id(SOURCE, "vendor.thing", found.subject, record),
        source=SOURCE,
        type="vendor.thing",
        subject=found.subject,
        version=found.version,
        time=found.time,
        read_at=read_at,
        data=msgspec.Raw(record),
    )


class Vendor:
    """A source with one stream: rows in the order they were put in, so never sorted by time, in pages of `page` rows."""

    def __init__(self, clock: Clock, *, timing: Timing = TIMING, page: int = 2, covers: bool = False) -> None:
        self.name = SOURCE
        self.clock = clock
        self.page = page
        self.rows: dict[str, Row] = {}
        self.broken: dict[str, bytes] = {}
        """What is served in place of a subject's record."""
        self.windows: list[Interval] = []
        """Every window that was asked for."""
        self.notes: list[bytes] = []
        self.closed = 0
        """Fetches that were ended, one way or another."""
        self.before_page: Callable[[int], Awaitable[None]] | None = None
        """Called before each page, with its number in the window, from 0."""
        self.stream = VendorStream(self, timing, covers=covers)

    def put(self, subject: str, time: datetime, version: int = 0, *, seen: datetime | None = None, padding: str = "") -> None:
        """A new row, or a new state of one."""
        row = self.rows.get(subject, Row(time, ()))
        state = State(seen or self.clock(), version, padding)
        self.rows[subject] = Row(row.time, (*row.states, state))

    def fill(self, start: datetime, amount: int, step: timedelta = MINUTE, *, padding: str = "") -> None:
        """Rows from `start` on, one each `step`, shown from then on."""
        for n in range(amount):
            self.put(f"row{len(self.rows)}", start + n * step, seen=start + n * step, padding=padding)

    def record(self, subject: str, at: datetime) -> bytes | None:
        """What the vendor says of a subject at that time; None while it says nothing."""
        row = self.rows[subject]
        states = [s for s in row.states if s.seen <= at]
        if not states:
            return None
        state = max(states, key=lambda s: s.version)
        return msgspec.json.encode(_Record(subject, row.time, state.version, state.padding))

    def truth(self, *, until: datetime | None = None) -> dict[str, int]:
        """Subject → newest version, of all that happened before `until` (the clock's now)."""
        now = self.clock()
        records = [r for s, row in self.rows.items() if row.time < (until or now) and (r := self.record(s, now))]
        found = [msgspec.json.decode(r, type=_Record) for r in records]
        return {r.subject: r.version for r in found}

    async def streams(self) -> Sequence["VendorStream"]:
        return [self.stream]

    def now(self) -> datetime:
        return self.clock()


class VendorStream:
    def __init__(self, vendor: Vendor, timing: Timing, *, covers: bool) -> None:
        self.name = STREAM
        self.timing = timing
        self._vendor = vendor
        self._covers = covers

    def event(self, record: bytes, read_at: datetime) -> Event:
        return vendor_event(record, read_at)

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        vendor = self._vendor
        vendor.windows.append(window)
        vendor.notes.append(notes)
        try:
            subjects = [s for s, row in vendor.rows.items() if window.start <= row.time < window.end]
            if self._covers:
                subjects.sort(key=lambda s: vendor.rows[s].time)
            for number, at in enumerate(range(0, len(subjects), vendor.page)):
                if vendor.before_page:
                    await vendor.before_page(number)
                some = subjects[at : at + vendor.page]
                rest = subjects[at + vendor.page :]
                until = vendor.rows[rest[0]].time if rest else window.end
                yield self._page(some, Interval(window.start, until) if self._covers else None)
        finally:
            vendor.closed += 1

    def _page(self, subjects: Sequence[str], covered: Interval | None) -> Page:
        vendor, events, broken = self._vendor, [], []
        for subject in subjects:
            record = vendor.broken.get(subject) or vendor.record(subject, vendor.clock())
            if record is None:
                continue
            try:
                events.append(vendor_event(record, vendor.clock()))
            except InvalidEventError as error:
                broken.append(Broken(record, str(error), error.reason))
        return Page(events, broken, covered, f"note {covered.end:%H:%M}".encode() if covered else None)


Write = Callable[[Sequence[Event]], Awaitable[Sequence[Rejection]]]


class KeyedSink:
    """A table by subject that overwrites only on ≥; it outlives the process. `script` does the next writes, one each."""

    def __init__(self, name: str = SINK) -> None:
        self.name = name
        self.table: dict[str, Event] = {}
        self.batches: list[list[str]] = []
        """Subjects of every batch that was written, in the order of writing."""
        self.script: list[Write] = []
        self.always: Write | None = None

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        act = self.script.pop(0) if self.script else self.always or self.store
        return await act(events)

    async def store(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Take all of them."""
        self.batches.append([e.subject for e in events])
        for event in events:
            known = self.table.get(event.subject)
            if known is None or self._rank(event) >= self._rank(known):
                self.table[event.subject] = event
        return []

    def refusing(self, subjects: Iterable[str], error: Callable[[Event], Any] | None = None) -> Write:
        """A write that takes all but these."""
        bad = set(subjects)

        async def write(events: Sequence[Event]) -> Sequence[Rejection]:
            await self.store([e for e in events if e.subject not in bad])
            make = error or (lambda e: InvalidEventError(f"{e.subject} does not fit", reason="mapping"))
            return [Rejection(e, make(e)) for e in events if e.subject in bad]

        return write

    def versions(self) -> dict[str, int]:
        return {subject: event.version for subject, event in self.table.items()}

    @staticmethod
    def _rank(event: Event) -> int:
        return rank(event, complete=bool(event.context))


class Titles:
    """An enricher that adds `titles` while `away` is False."""

    name = "titles"

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.asked = 0

    def concerns(self, event: Event) -> bool:
        return not event.subject.startswith("plain")

    async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
        self.asked += 1
        if self.away:
            return events
        found = {self.name: msgspec.Raw(b'"T"')}
        return [msgspec.structs.replace(e, context=found) if self.concerns(e) else e for e in events]


def message(subject: str, version: int = 0, *, padding: str = "") -> Message:
    """A message as a source would publish it."""
    event = vendor_event(msgspec.json.encode(_Record(subject, NOON, version, padding)), NOON)
    return Message(event.key, encode_event(event))


def failing(error: BaseException) -> Write:
    """A write that raises."""

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        raise error

    return write
