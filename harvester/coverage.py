"""Coverage: which times of a stream are in the queue. Pure arithmetic; all times are aware UTC, intervals closed-open."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Self

import msgspec

from harvester.errors import RefusedError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Interval(NamedTuple):
    """start <= t < end."""

    start: datetime
    end: datetime


class Intervals(tuple[Interval, ...]):
    """A set of time: disjoint intervals in order, none empty, none touching its neighbour."""

    __slots__ = ()

    def __new__(cls, intervals: Iterable[tuple[datetime, datetime]] = ()) -> Self:
        merged: list[Interval] = []
        for start, end in sorted(pair for pair in intervals if pair[0] < pair[1]):
            if merged and start <= merged[-1].end:
                merged[-1] = Interval(merged[-1].start, max(end, merged[-1].end))
            else:
                merged.append(Interval(start, end))
        return super().__new__(cls, merged)

    def __or__(self, other: Iterable[tuple[datetime, datetime]]) -> "Intervals":
        return Intervals([*self, *other])

    def __and__(self, other: Iterable[tuple[datetime, datetime]]) -> "Intervals":
        others = Intervals(other)
        return Intervals((max(a.start, b.start), min(a.end, b.end)) for a in self for b in others)

    def __sub__(self, other: Iterable[tuple[datetime, datetime]]) -> "Intervals":
        rest: list[tuple[datetime, datetime]] = []
        holes = Intervals(other)
        for start, end in self:
            at = start
            for hole in holes:
                if hole.end > at and hole.start < end:
                    rest.append((at, hole.start))
                    at = hole.end
            rest.append((at, end))
        return Intervals(rest)

    def holding(self, moment: datetime) -> Interval | None:
        """The interval that `moment` is in."""
        return next((i for i in self if i.start <= moment < i.end), None)

    @property
    def total(self) -> timedelta:
        """How much time the set holds."""
        return sum((i.end - i.start for i in self), timedelta())


def _never(_: bytes) -> bool:
    return False


class Timing(NamedTuple):
    """How a stream wants to be read. `window` None: its pages cover as they go, any span is safe.

    `pause` is the least time between two polls that its vendor's limits are made for; `reach` how far back it begins when nothing
    says where, because what is new there may have begun long ago. `new_first` tells by the notes whether what is read again costs
    so much that it has to come after what is new.
    """

    window: timedelta | None = timedelta(hours=1)
    overlap: timedelta = timedelta(minutes=3)
    settle: timedelta = timedelta(hours=6)
    horizon: timedelta | None = None
    pause: timedelta = timedelta()
    reach: timedelta = timedelta()
    new_first: Callable[[bytes], bool] = _never


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one stream. Every part of it stays true whoever wrote it, so two of them merge by union."""

    start: datetime | None = None
    read: Intervals = Intervals()
    settled: Intervals = Intervals()
    notes: bytes = b""
    notes_at: datetime | None = None

    def __or__(self, other: "Coverage") -> "Coverage":
        """The union: starts by minimum, notes by the newer live edge."""
        starts = [c.start for c in (self, other) if c.start]
        noted = max(self, other, key=lambda c: (c.notes_at is not None, c.notes_at or EPOCH, c.notes))
        settled = self.settled | other.settled
        return Coverage(
            start=min(starts) if starts else None,
            read=self.read | other.read | settled,
            settled=settled,
            notes=noted.notes,
            notes_at=noted.notes_at,
        )

    @property
    def live_edge(self) -> datetime | None:
        """The end of the newest time that is read; the start while nothing is."""
        return max(self.read[-1].end, self.start or EPOCH) if self.read else self.start

    @property
    def watermark(self) -> datetime | None:
        """Up to here everything since the start is read and final."""
        if self.start is None:
            return None
        holding = self.settled.holding(self.start)
        return holding.end if holding else self.start

    def gaps(self) -> Intervals:
        """What is not read between the start and the live edge."""
        return Intervals([(self.start, self.live_edge)]) - self.read if self.start and self.live_edge else Intervals()

    def islands(self) -> Intervals:
        """What was read before the start."""
        return self.read & [(EPOCH, self.start)] if self.start else self.read

    def lost(self, now: datetime, timing: Timing) -> Intervals:
        """What the vendor no longer remembers and was never read."""
        if self.start is None or timing.horizon is None:
            return Intervals()
        return Intervals([(self.start, now - timing.horizon)]) - self.read


class Mark(NamedTuple):
    """How far a queue had come: how many messages it ever took, and a digest of the last, "" when it is no longer kept."""

    taken: int
    last: str = ""


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All coverage of one source. `epoch` is "" while nothing is stored; `queue` is the id of the queue it is true for.

    `mark` is how far that queue had come when the newest fact was stored: an older copy of it lacks what the book claims.
    """

    epoch: str = ""
    queue: str = ""
    streams: Mapping[str, Coverage] = {}
    mark: Mark | None = None

    def __or__(self, other: "Book") -> "Book":
        names = {**self.streams, **other.streams}
        nothing = Coverage()
        streams = {n: self.streams.get(n, nothing) | other.streams.get(n, nothing) for n in names}
        mark = later(self.mark, other.mark)
        return Book(epoch=self.epoch or other.epoch, queue=self.queue or other.queue, streams=streams, mark=mark)


def later(one: Mark | None, other: Mark | None) -> Mark | None:
    """The mark of a queue that had come further."""
    return max((mark for mark in (one, other) if mark), default=None)


def cut(span: Interval, window: timedelta | None) -> Iterator[Interval]:
    """The span in windows on the grid of `window` (multiples since 1970), oldest first; uncut when `window` is None."""
    at = span.start
    while at < span.end:
        end = span.end if window is None else min(span.end, EPOCH + ((at - EPOCH) // window + 1) * window)
        yield Interval(at, end)
        at = end


SpanPolicy = Literal["windows", "abort", "gap"]


def plan(span: Interval, window: timedelta | None, limit: timedelta | None, policy: SpanPolicy = "windows") -> list[Interval]:
    """The windows that read `span`, oldest first. A span longer than `limit` is cut no coarser than the limit (windows), refused
    with RefusedError (abort), or left unread but for its newest part, so that the rest stays a visible gap (gap).
    """
    length = span.end - span.start
    if limit is None or length <= limit:
        return list(cut(span, window))
    if policy == "abort":
        raise RefusedError(
            f"the span {span.start:%Y-%m-%dT%H:%M:%SZ} … {span.end:%Y-%m-%dT%H:%M:%SZ} is {length.total_seconds():.0f} s long, "
            f"more than MAX_START_END_SPAN = {limit.total_seconds():.0f} s; nothing was read"
        )
    if policy == "gap":
        span = Interval(span.end - limit, span.end)
    return list(cut(span, limit if window is None else min(window, limit)))


def live_window(coverage: Coverage, now: datetime, timing: Timing) -> Interval:
    """What a live poll reads: from the live edge − overlap to the vendor's now, never before the start or the horizon."""
    edge = coverage.live_edge or now
    start = max(edge - timing.overlap, coverage.start or edge)
    if timing.horizon is not None:
        start = max(start, now - timing.horizon)
    return Interval(min(start, now), now)


def live_windows(coverage: Coverage, now: datetime, timing: Timing) -> list[Interval]:
    """What a live poll reads, in its order: as a rule the live window.

    Where the stream wants so, what is new, and then all that is not final: a vendor's limit that cuts each poll while it reads
    again would else keep the live edge where it is for ever.
    """
    whole, edge = live_window(coverage, now, timing), coverage.live_edge
    if edge is None or not whole.start < edge < now or not timing.new_first(coverage.notes):
        return [whole]
    known = (EPOCH if timing.horizon is None else now - timing.horizon, edge)
    return [Interval(edge, now), *((coverage.read - coverage.settled) & [known])]


def due_to_settle(coverage: Coverage, now: datetime, timing: Timing) -> list[Interval]:
    """Windows that were read too early to be final and can be read for good now."""
    known = Interval(EPOCH if timing.horizon is None else now - timing.horizon, now)
    unsettled = (coverage.read - coverage.settled) & [known]
    ripe = now - timing.settle
    grid = timing.window or timing.settle or timedelta(hours=1)
    pieces = (piece for span in unsettled for piece in cut(span, grid))
    return [p for p in pieces if p.end <= ripe and _cell_end(p, grid) <= ripe]


def _cell_end(piece: Interval, grid: timedelta) -> datetime:
    return EPOCH + -((EPOCH - piece.end) // grid) * grid


def covered(window: Interval, asked_at: datetime, timing: Timing) -> Coverage:
    """What reading `window` proves when its first request was sent at `asked_at` by the vendor's clock."""
    read = Intervals([window]) & [(EPOCH, asked_at)]
    return Coverage(read=read, settled=read & [(EPOCH, asked_at - timing.settle)])
