"""Coverage: sets of time, what is read off them, and unions that lose nothing in any order."""

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harvester.coverage import EPOCH, Book, Coverage, Interval, Intervals, Timing
from tests.unit.minutes import MINUTE, at, coverages, minute, model, moments, of, pairs, sets, timings

# One stored book is written under one epoch and for one queue, or does not know them yet.
books = st.builds(
    Book,
    epoch=st.sampled_from(["", "e"]),
    queue=st.sampled_from(["", "q"]),
    streams=st.dictionaries(st.sampled_from(["actions", "episodes", "reviews"]), coverages(), max_size=3),
)


# --- sets of time -------------------------------------------------------------------------------------------------------------


@given(st.lists(pairs, max_size=8))
def test_a_set_of_time_is_in_order_disjoint_and_without_empty_or_touching_parts(
    given_pairs: list[tuple[datetime, datetime]],
) -> None:
    found = Intervals(given_pairs)
    assert model(found) == model(given_pairs)
    assert all(start < end for start, end in found)
    assert all(before.end < after.start for before, after in pairwise(found))
    assert all(isinstance(part, Interval) for part in found)


@given(sets, sets)
def test_union_intersection_and_difference_are_those_of_sets(one: Intervals, other: Intervals) -> None:
    assert model(one | other) == model(one) | model(other)
    assert model(one & other) == model(one) & model(other)
    assert model(one - other) == model(one) - model(other)


@given(sets, sets)
def test_one_set_has_one_form(one: Intervals, other: Intervals) -> None:
    assert (one == other) == (model(one) == model(other))
    assert one == of(model(one))
    assert one - other == of(model(one) - model(other))
    assert one & other == of(model(one) & model(other))


@given(sets, sets, sets)
def test_union_of_time_does_not_depend_on_order_grouping_or_repetition(one: Intervals, two: Intervals, three: Intervals) -> None:
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one
    assert one | Intervals() == one


@given(sets, moments)
def test_holding_finds_the_part_a_moment_is_in(one: Intervals, moment: datetime) -> None:
    found = one.holding(moment)
    assert (found is not None) == (minute(moment) in model(one))
    assert found is None or (found in one and found.start <= moment < found.end)


@given(sets)
def test_total_is_the_time_that_is_in(one: Intervals) -> None:
    assert one.total == len(model(one)) * MINUTE


# --- what is known of one stream ----------------------------------------------------------------------------------------------


@given(coverages(), coverages(), coverages())
def test_f12_union_of_coverage_does_not_depend_on_order_grouping_or_repetition(
    one: Coverage, two: Coverage, three: Coverage
) -> None:
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one
    assert one | Coverage() == one


@given(coverages(), coverages())
def test_f11_union_of_coverage_never_loses_a_fact(one: Coverage, two: Coverage) -> None:
    both = one | two
    assert model(both.read) == model(one.read) | model(two.read)
    assert model(both.settled) == model(one.settled) | model(two.settled)
    assert model(both.settled) <= model(both.read)
    assert both.start == min((c.start for c in (one, two) if c.start), default=None)
    assert (both.notes, both.notes_at) in [(one.notes, one.notes_at), (two.notes, two.notes_at)]
    noted = [c.notes_at for c in (one, two) if c.notes_at is not None]
    assert both.notes_at == max(noted, default=None)


@given(sets, sets)
def test_what_is_settled_counts_as_read_after_a_union(read: Intervals, settled: Intervals) -> None:
    assert model((Coverage(read=read, settled=settled) | Coverage()).read) == model(read) | model(settled)


@given(coverages())
def test_live_edge_gaps_and_islands_are_read_off_the_minutes(one: Coverage) -> None:
    read = model(one.read)
    newest = at(max(read) + 1) if read else None
    if one.start is None:
        assert one.live_edge == newest
        assert one.gaps() == Intervals()
        assert one.islands() == one.read
        return
    edge = max(newest or one.start, one.start)
    assert one.live_edge == edge
    assert model(one.gaps()) == {m for m in range(minute(one.start), minute(edge)) if m not in read}
    assert model(one.islands()) == {m for m in read if m < minute(one.start)}


@given(coverages())
def test_the_watermark_stands_before_the_first_minute_that_is_not_final(one: Coverage) -> None:
    if one.start is None:
        assert one.watermark is None
        return
    m, settled = minute(one.start), model(one.settled)
    while m in settled:
        m += 1
    assert one.watermark == at(m)


@given(coverages(), coverages())
def test_f11_neither_live_edge_nor_watermark_falls_while_the_start_stays(one: Coverage, two: Coverage) -> None:
    both = one | two
    assume(both.start == one.start)
    assert both.live_edge == one.live_edge or (both.live_edge or EPOCH) > (one.live_edge or EPOCH)
    assert both.watermark == one.watermark or (both.watermark or EPOCH) > (one.watermark or EPOCH)


@given(coverages(), moments, timings)
def test_lost_is_what_was_never_read_and_lies_before_the_horizon(one: Coverage, now: datetime, timing: Timing) -> None:
    lost = model(one.lost(now, timing))
    if one.start is None or timing.horizon is None:
        assert lost == frozenset()
        return
    assert lost == {
        m for m in range(minute(one.start), max(minute(one.start), minute(now - timing.horizon))) if m not in model(one.read)
    }


# --- all coverage of one source -----------------------------------------------------------------------------------------------


@given(books, books, books)
def test_f12_union_of_books_does_not_depend_on_order_grouping_or_repetition(one: Book, two: Book, three: Book) -> None:
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one
    assert one | Book() == one


@given(books, books)
def test_f12_a_book_keeps_every_stream_of_both(one: Book, two: Book) -> None:
    both = one | two
    assert set(both.streams) == {*one.streams, *two.streams}
    for name, coverage in both.streams.items():
        assert coverage == one.streams.get(name, Coverage()) | two.streams.get(name, Coverage())


@pytest.mark.parametrize(
    ("start", "expected"), [(None, []), (at(0), [(at(10), at(20))]), (at(15), [(at(15), at(20))]), (at(40), [])]
)
def test_a_gap_is_what_is_not_read_after_the_start(start: datetime | None, expected: list[tuple[datetime, datetime]]) -> None:
    one = Coverage(start=start, read=Intervals([(at(0), at(10)), (at(20), at(30))]))
    assert one.gaps() == Intervals(expected)
