"""A model of coverage that is too simple to be wrong: sets of minutes. And any coverage that can come about."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from hypothesis import strategies as st

from harvester.coverage import EPOCH, Coverage, Interval, Intervals, Timing

MINUTE = timedelta(minutes=1)
LAST = 60
Minutes = frozenset[int]


def at(minute: int) -> datetime:
    return EPOCH + minute * MINUTE


def minute(moment: datetime) -> int:
    assert (moment - EPOCH) % MINUTE == timedelta()
    return (moment - EPOCH) // MINUTE


def model(intervals: Iterable[tuple[datetime, datetime]]) -> Minutes:
    """The minutes that are in."""
    return frozenset(m for start, end in intervals for m in range(minute(start), minute(end)))


def of(minutes: Iterable[int]) -> Intervals:
    return Intervals((at(m), at(m + 1)) for m in minutes)


moments = st.integers(0, LAST).map(at)
spans = st.lists(st.integers(0, LAST), min_size=2, max_size=2, unique=True).map(
    lambda ends: Interval(at(min(ends)), at(max(ends)))
)
pairs = st.tuples(moments, moments)  # empty and backward ones too
sets = st.lists(pairs, max_size=6).map(Intervals)
timings = st.builds(
    lambda window, overlap, settle, horizon: Timing(
        window=window and window * MINUTE, overlap=overlap * MINUTE, settle=settle * MINUTE, horizon=horizon and horizon * MINUTE
    ),
    window=st.none() | st.integers(1, 15),
    overlap=st.integers(0, 10),
    settle=st.integers(0, 20),
    horizon=st.none() | st.integers(1, 50),
)


@st.composite
def coverages(draw: st.DrawFn) -> Coverage:
    """Any coverage that can come about: what is settled is read."""
    settled = draw(sets)
    return Coverage(
        start=draw(st.none() | moments),
        read=draw(sets) | settled,
        settled=settled,
        notes=draw(st.sampled_from([b"", b"a", b"b"])),
        notes_at=draw(st.none() | moments),
    )
