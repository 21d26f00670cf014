"""Windows: what is read next, what a reading proves, and what is read once more to be final."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harvester.coverage import (
    EPOCH,
    Coverage,
    Interval,
    Intervals,
    SpanPolicy,
    Timing,
    covered,
    cut,
    due_to_settle,
    live_window,
    live_windows,
    plan,
)
from harvester.errors import RefusedError
from tests.unit.minutes import LAST, MINUTE, at, coverages, minute, model, moments, spans, timings


@given(spans, st.integers(1, 25))
def test_a_span_is_cut_on_the_grid_oldest_first_with_nothing_left_out_or_twice(span: Interval, window: int) -> None:
    pieces = list(cut(span, window * MINUTE))
    assert [m for piece in pieces for m in sorted(model([piece]))] == sorted(model([span]))
    assert pieces[0].start == span.start
    assert pieces[-1].end == span.end
    assert all(minute(piece.end) % window == 0 for piece in pieces[:-1])
    assert all(piece.end - piece.start <= window * MINUTE for piece in pieces)
    assert all(before.end == after.start for before, after in pairwise(pieces))


@given(spans)
def test_without_a_window_a_span_stays_whole(span: Interval) -> None:
    assert list(cut(span, None)) == [span]


@given(moments, st.none() | st.integers(1, 25).map(lambda n: n * MINUTE))
def test_an_empty_or_backward_span_has_no_windows(moment: datetime, window: timedelta | None) -> None:
    assert list(cut(Interval(moment, moment), window)) == []
    assert list(cut(Interval(moment, moment - MINUTE), window)) == []


minutes = st.integers(1, 25).map(lambda n: n * MINUTE)


@given(spans, st.none() | minutes, st.none() | minutes, st.sampled_from(["windows", "abort", "gap"]))
def test_a_span_within_the_limit_is_read_whole_whatever_the_policy(
    span: Interval, window: timedelta | None, limit: timedelta | None, policy: SpanPolicy
) -> None:
    assume(limit is None or span.end - span.start <= limit)
    assert plan(span, window, limit, policy) == list(cut(span, window))


@given(spans, st.none() | minutes, minutes)
def test_f07_a_span_over_the_limit_is_read_in_windows_no_longer_than_it(
    span: Interval, window: timedelta | None, limit: timedelta
) -> None:
    assume(span.end - span.start > limit)
    pieces = plan(span, window, limit, "windows")
    assert [m for piece in pieces for m in sorted(model([piece]))] == sorted(model([span]))
    assert all(piece.end - piece.start <= min(limit, window or limit) for piece in pieces)


@given(spans, st.none() | minutes, minutes)
def test_f07_a_span_over_the_limit_is_refused_or_left_as_a_gap_when_that_was_asked_for(
    span: Interval, window: timedelta | None, limit: timedelta
) -> None:
    assume(span.end - span.start > limit)
    with pytest.raises(RefusedError, match=f"{(span.end - span.start).total_seconds():.0f} s long"):
        plan(span, window, limit, "abort")
    pieces = plan(span, window, limit, "gap")
    assert model(pieces) == model([Interval(span.end - limit, span.end)])


def test_f07_a_span_of_25_hours_counts_as_25_hours_and_not_as_one() -> None:
    start = EPOCH + timedelta(days=17000)
    with pytest.raises(RefusedError, match="90000 s long"):
        plan(Interval(start, start + timedelta(hours=25)), timedelta(hours=1), timedelta(hours=24), "abort")


def test_f07_a_span_of_25_hours_is_read_hour_by_hour() -> None:
    start = EPOCH + timedelta(days=17000, minutes=30)
    pieces = list(cut(Interval(start, start + timedelta(hours=25)), timedelta(hours=1)))
    assert len(pieces) == 26
    assert sum((piece.end - piece.start for piece in pieces), timedelta()) == timedelta(hours=25)
    assert pieces[0] == Interval(start, start + timedelta(minutes=30))


@given(coverages(), moments, timings)
def test_a_live_poll_begins_at_the_edge_less_the_overlap_and_never_before_start_or_horizon(
    one: Coverage, now: datetime, timing: Timing
) -> None:
    window = live_window(one, now, timing)
    assert window.end == now
    assert window.start <= now
    if one.start is not None:
        assert window.start >= min(one.start, now)
    if timing.horizon is not None:
        assert window.start >= now - timing.horizon
    if one.live_edge is not None and one.live_edge <= now:
        assert window.start >= one.live_edge - timing.overlap
        unread = model([Interval(one.live_edge, now)])
        known = unread if timing.horizon is None else unread & model([Interval(now - timing.horizon, now)])
        assert known <= model([window])


@given(coverages(), st.integers(0, LAST), st.integers(0, LAST), timings)
def test_a_live_poll_never_makes_a_gap(one: Coverage, first: int, later: int, timing: Timing) -> None:
    assume(timing.horizon is None)
    before = (
        one
        | Coverage(start=at(first))
        | covered(live_window(one | Coverage(start=at(first)), at(first), timing), at(first), timing)
    )
    now = at(max(first, later))
    after = before | covered(live_window(before, now, timing), now, timing)
    assert model(after.gaps()) <= model(before.gaps())


@given(coverages(), moments, timings)
def test_where_a_stream_wants_so_what_is_new_is_read_before_all_that_is_not_final(
    one: Coverage, now: datetime, timing: Timing
) -> None:
    whole = live_window(one, now, timing)
    assert live_windows(one, now, timing) == [whole]
    first, *rest = live_windows(one, now, timing._replace(new_first=lambda _: True))
    if first != whole:
        assert first == Interval(one.live_edge or now, now)
        known = EPOCH if timing.horizon is None else now - timing.horizon
        assert model(rest) == model((one.read - one.settled) & [(known, first.start)])


# --- settling -----------------------------------------------------------------------------------------------------------------


@given(spans, moments, timings)
def test_f05_a_window_never_claims_what_lies_behind_the_vendors_clock(
    window: Interval, asked_at: datetime, timing: Timing
) -> None:
    known = covered(window, asked_at, timing)
    assert model(known.read) == {m for m in model([window]) if at(m) < asked_at}
    assert model(known.settled) == {m for m in model([window]) if at(m) < asked_at - timing.settle}
    assert known.start is None
    assert known.notes == b""


def cell_end(m: int, timing: Timing) -> int:
    """The end of the grid window that minute `m` lies in."""
    grid = (timing.window or timing.settle or timedelta(hours=1)) // MINUTE
    return (m // grid + 1) * grid


@given(coverages(), moments, timings)
def test_f03_what_is_due_to_settle_was_read_is_not_final_and_is_ripe(one: Coverage, now: datetime, timing: Timing) -> None:
    pieces = due_to_settle(one, now, timing)
    found = [m for piece in pieces for m in model([piece])]
    assert len(found) == len(set(found))
    assert pieces == sorted(pieces)
    ripe = {m for m in model(one.read) - model(one.settled) if at(cell_end(m, timing)) <= now - timing.settle}
    if timing.horizon is not None:
        ripe &= {m for m in ripe if at(m) >= now - timing.horizon}
    assert set(found) == ripe


@given(coverages(), moments, timings)
def test_f03_reading_what_is_due_settles_all_that_is_ripe_and_nothing_is_due_again(
    one: Coverage, now: datetime, timing: Timing
) -> None:
    after = one
    for piece in due_to_settle(one, now, timing):
        after |= covered(piece, now, timing)
    assert due_to_settle(after, now, timing) == []
    assert after.read == one.read
    assert model(after.settled) >= model(one.settled)


@given(coverages(), moments, timings)
def test_each_grid_window_settles_in_one_reading(one: Coverage, now: datetime, timing: Timing) -> None:
    assume(timing.horizon is None)
    contiguous = one | Coverage(read=Intervals([(EPOCH, now)]), start=EPOCH)
    pieces = due_to_settle(Coverage(start=EPOCH, read=contiguous.read), now, timing)
    cells = [cell_end(minute(piece.start), timing) for piece in pieces]
    assert len(cells) == len(set(cells))


def test_late_rows_are_read_for_good_once_the_window_has_rested() -> None:
    timing = Timing(window=timedelta(hours=1), settle=timedelta(hours=6))
    hour = Interval(EPOCH, EPOCH + timedelta(hours=1))
    early = Coverage(start=EPOCH) | covered(hour, hour.end, timing)
    assert early.watermark == EPOCH
    assert due_to_settle(early, hour.end + timing.settle - MINUTE, timing) == []
    assert due_to_settle(early, hour.end + timing.settle, timing) == [hour]
    final = early | covered(hour, hour.end + timing.settle, timing)
    assert final.watermark == hour.end
    assert due_to_settle(final, hour.end + timedelta(days=9), timing) == []
