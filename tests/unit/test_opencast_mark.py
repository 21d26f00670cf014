"""What is noted of the table between two polls, and that a look at its end is believed only when it saw everything new."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.sources.opencast_mark import Mark, seconds

SINCE = datetime(2026, 11, 3, 12, tzinfo=UTC)
FROM = seconds(SINCE)
rows = st.dictionaries(st.integers(-(2**61), 2**61), st.integers(0, 5000).map(lambda n: FROM + n), max_size=40)


def moment(second: int) -> datetime:
    return SINCE + timedelta(seconds=second - FROM)


@given(st.integers(0, 10**9), rows)
def test_a_mark_comes_back_as_it_was_noted(total: int, noted: dict[int, int]) -> None:
    found = Mark.decoded(Mark(total, FROM, noted).encoded())
    assert found is not None
    assert (found.total, found.since, found.rows) == (total, FROM, noted)


@pytest.mark.parametrize("notes", [b"", b"{}", b"\xff", b"[null]", b"\x95\x02\x01\x01\x90\x90", b"\x95\x01\x01\x01\x91\x01\x90"])
def test_what_is_no_mark_is_none(notes: bytes) -> None:
    assert Mark.decoded(notes) is None


def test_a_mark_of_many_rows_keeps_the_newest_and_begins_behind_the_others() -> None:
    mark = Mark(100_000, FROM, {n: FROM + n // 3 for n in range(10_000)})
    assert mark.since > FROM
    assert mark.rows.keys() == {n for n in range(10_000) if FROM + n // 3 >= mark.since}
    assert 3000 < len(mark.rows) <= 4000
    assert len(mark.encoded()) < 20_000


def test_rows_of_before_it_began_are_not_noted() -> None:
    assert Mark(3, FROM, {1: FROM - 1, 2: FROM}).rows == {2: FROM}


def test_a_look_that_saw_as_many_new_rows_as_the_table_grew_by_is_believed() -> None:
    mark = Mark(10, FROM, {8: FROM, 9: FROM + 5})
    now = mark.after(12, {8: FROM, 9: FROM + 5, 10: FROM + 9, 11: FROM + 9}, SINCE)
    assert now is not None
    assert (now.total, now.since, set(now.rows)) == (12, FROM, {8, 9, 10, 11})


@pytest.mark.parametrize(
    ("total", "seen", "start"),
    [
        (13, {8: FROM, 9: FROM + 5, 10: FROM + 9}, FROM),
        (9, {8: FROM, 9: FROM + 5}, FROM),
        (11, {8: FROM, 9: FROM + 5, 10: FROM - 1}, FROM),
        (11, {8: FROM, 10: FROM + 9}, FROM + 4),
        (10, {8: FROM, 9: FROM + 5}, FROM - 1),
    ],
    ids=["one new row was not seen", "rows were deleted", "a row that may be old", "a row was not seen again", "noted too late"],
)
def test_a_look_that_may_have_missed_something_is_not_believed(total: int, seen: dict[int, int], start: int) -> None:
    assert Mark(10, FROM, {8: FROM, 9: FROM + 5}).after(total, seen, moment(start)) is None


@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(0, 6), st.integers(1, 12))
def test_no_look_at_a_table_in_any_order_is_believed_that_missed_a_new_row(seed: int, new: int, moved: int, look: int) -> None:
    dice = Random(seed)
    table = [(n, FROM - 20 + 2 * n) for n in range(20)]
    mark = Mark(len(table), FROM, dict(table))
    for n in range(new):  # anywhere, some of them created long ago
        table.insert(dice.randrange(len(table) + 1), (100 + n, FROM + dice.choice((-5, 1, 30))))
    for _ in range(moved):
        table.insert(dice.randrange(len(table)), table.pop(dice.randrange(len(table))))
    seen = dict(table[-look:])
    now = mark.after(len(table), seen, SINCE)
    if now is not None:
        assert {key: time for key, time in table if time >= FROM} == now.rows
        assert {key for key, time in table if key >= 100 and time >= FROM} <= seen.keys()
