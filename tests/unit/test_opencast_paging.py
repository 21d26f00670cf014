"""Paging over rows that shift: a window that is said to be read has lost no row, and costs no more calls than it must."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from itertools import count
from math import ceil
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.errors import TransientError
from harvester.http import TooLargeError
from harvester.sources.opencast_paging import Bits, Reading
from tests.opencast_table import HOUR, Row, Table, actions_of, minutes, read, spread

MIDDLE = HOUR.start + minutes(30)


def bound(amount: int, batch: int) -> int:
    return ceil(amount / batch) + 2


# --- calls


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 1000])
async def test_an_undisturbed_window_costs_at_most_two_calls_more_than_it_has_pages(batch: int) -> None:
    for amount in range(30):
        table = Table(spread(amount))
        got = await read(actions_of(table, batch))
        assert [e.subject for e in got.events] == list(table.within(HOUR))
        assert len(table.calls) <= bound(amount, batch)


async def test_e14_the_offset_grows_by_the_rows_received_and_each_page_begins_with_the_anchor() -> None:
    table = Table(spread(5))
    await read(actions_of(table, 2))
    assert [(call["offset"], call["limit"]) for call in table.calls] == [("0", "2"), ("1", "3"), ("3", "3"), ("4", "3")]
    assert {(call["start"], call["end"]) for call in table.calls} == {("20261103110000", "20261103120000")}


@pytest.mark.parametrize("cap", [1, 2, 3, 10])
async def test_q61_a_server_that_caps_the_limit_costs_calls_and_no_rows(cap: int) -> None:
    table = Table(spread(25), cap=cap)
    assert (await read(actions_of(table, 10))).newest == table.within(HOUR)
    assert len(table.calls) <= (2 * 25 + 2 if cap == 1 else bound(25, max(cap - 1, 1)))


# --- totals that cannot be trusted


@pytest.mark.parametrize("total", [{"total": 25}, {"total": "25"}, {"total": 25.0}, {}, {"total": None}, {"total": ""}], ids=str)
async def test_the_total_may_come_in_any_form_or_not_at_all(total: dict[str, Any]) -> None:
    table = Table(spread(25), total=lambda _: total)
    assert (await read(actions_of(table, 4))).newest == table.within(HOUR)
    assert len(table.calls) <= bound(25, 4)


async def test_a_total_of_the_whole_table_is_noticed_by_the_probe_and_not_waited_for() -> None:
    table = Table(spread(25), total=lambda _: {"total": "250000"})
    stream = actions_of(table, 4)
    await stream.probe()
    assert (await read(stream)).newest == table.within(HOUR)
    assert len(table.calls) - 1 <= bound(25, 4)


async def test_rows_that_the_server_counts_and_never_shows_are_no_complete_window() -> None:
    table = Table(spread(25), total=lambda rows: {"total": rows and rows + 1})
    with pytest.raises(TransientError, match="kept shifting"):
        await read(actions_of(table, 4))


# --- pages that lead nowhere


@pytest.mark.parametrize("batch", [1, 2, 3, 10])
@pytest.mark.parametrize("broken", [False, True])
async def test_f43_a_server_that_ignores_the_offset_is_no_endless_loop(batch: int, *, broken: bool) -> None:
    table = Table(spread(10), ignores_offset=True)
    if broken:
        table.rows[0].body = b'{"id":NaN}'
    got = await read(actions_of(table, batch))
    assert got.newest == table.within(HOUR)
    assert len(table.calls) < 60


async def test_f43_a_server_that_repeats_one_page_for_ever_is_given_up_with_nothing_covered() -> None:
    table = Table(spread(3), ignores_offset=True, total=lambda _: {"total": "1000000"})
    with pytest.raises(TransientError):
        await read(actions_of(table, 3))
    assert len(table.calls) < 60


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
@pytest.mark.parametrize("body", [b"{}", b'{"id":NaN}'])
async def test_broken_rows_that_look_the_same_are_not_waited_for(body: bytes, batch: int) -> None:
    table = Table(spread(6))
    for n in (0, 2, 3):
        table.rows[n].body = body
    got = await read(actions_of(table, batch))
    assert got.newest == table.within(HOUR)
    assert {b.body for b in got.broken} == {body}


async def test_a_broken_row_is_told_once_a_window_however_often_it_is_read() -> None:
    table = Table(spread(6), shuffled=Random(3))
    table.rows[1].body, table.rows[4].body = b'{"id":NaN}', b"{}"
    got = await read(actions_of(table, 2))
    assert sorted(b.body for b in got.broken) == [b'{"id":NaN}', b"{}"]


# --- shifts, one by one


def once(change: Any, at: int = 1) -> Any:
    def between(table: Table) -> None:
        if len(table.calls) == at:
            change(table)

    return between


def grow(table: Table, at: int = 0, to: int | None = None) -> Row:
    row = table.rows.pop(at)
    grown = Row(row.id, row.created, row.outpoint + 10)
    table.rows.insert(len(table.rows) if to is None else to, grown)
    return grown


CHANGES = {
    "a row grows and moves to the end": grow,
    "a row is inserted in front": lambda table: table.rows.insert(0, Row(100, MIDDLE)),
    "a row is inserted at the end": lambda table: table.rows.append(Row(100, MIDDLE)),
    "rows are deleted in front": lambda table: table.rows.__delitem__(slice(0, 2)),
    "the anchor is deleted": lambda table: table.rows.pop(1),
    "the anchor grows and a row before it is deleted": lambda table: (grow(table, 1), table.rows.pop(0)),
    "one is deleted, one comes from the end into its place": lambda table: (table.rows.pop(0), grow(table, -1, 0)),
    "one is deleted, one grows and one comes late": lambda table: (
        table.rows.pop(0),
        grow(table, 0),
        table.rows.insert(7, Row(100, MIDDLE)),
    ),
    "as many are deleted in front as are inserted at the end": lambda table: (
        table.rows.__delitem__(slice(0, 2)),
        table.rows.extend([Row(100, MIDDLE), Row(101, MIDDLE)]),
    ),
    "everything is turned round": lambda table: table.rows.reverse(),
}


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("what", CHANGES)
async def test_rows_that_shift_between_two_pages_are_not_lost(what: str, at: int, batch: int) -> None:
    table = Table(spread(9), between=once(CHANGES[what], at))
    before = table.within(HOUR)
    got = await read(actions_of(table, batch))
    after = table.within(HOUR)
    assert {subject for subject in before if subject in after} <= set(got.newest)


async def test_an_anchor_that_grew_is_not_taken_for_the_place_it_stood_in() -> None:
    change = CHANGES["the anchor grows and a row before it is deleted"]
    table = Table(spread(3), between=once(change), total=lambda _: {})
    assert (await read(actions_of(table, 2))).newest == {"1": 0, "2": 10, "3": 0}


def test_a_row_that_was_deleted_does_not_stand_in_for_one_that_was_missed() -> None:
    reading = Reading(2)
    a, b, d = ((name, "state") for name in "abd")
    for pages in ([([a, b], 4), ([d], 3)], [([d, b], 3), ([d, b], 3)]):
        reading.begin()
        for rows, total in pages:
            reading.add(rows, [], total)
        assert not reading.whole


async def test_an_undisturbed_last_page_needs_no_second_pass() -> None:
    table = Table(spread(3), between=once(grow))
    assert (await read(actions_of(table, 10))).newest.keys() == {"1", "2", "3"}
    assert len(table.calls) == 2


async def test_rows_that_move_before_every_page_are_read_in_larger_pages_at_last() -> None:
    table = Table(spread(200), between=grow)
    got = await read(actions_of(table, 10))
    assert got.newest.keys() == {str(n + 1) for n in range(200)}
    assert len(table.calls) < 3 * bound(200, 10)


async def test_larger_pages_are_given_up_when_an_answer_gets_too_large() -> None:
    table = Table(spread(200), shuffled=Random(1))
    answer = table.answer

    def limited(query: Any) -> bytes:
        if int(query["limit"]) > 60:
            raise TooLargeError("too large")
        return answer(query)

    table.answer = limited  # type: ignore[method-assign]
    stream = actions_of(table, 50)
    assert (await read(stream)).newest == table.within(HOUR)
    with pytest.raises(TooLargeError):
        await read(actions_of(table, 61))


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
async def test_q61_another_order_on_every_request_loses_nothing(batch: int) -> None:
    for seed in range(10):
        table = Table(spread(60), shuffled=Random(seed))
        assert (await read(actions_of(table, batch))).newest == table.within(HOUR)


# --- any shifts


created = st.sampled_from(
    [HOUR.start, HOUR.start, MIDDLE, MIDDLE, HOUR.end, HOUR.start - minutes(1), HOUR.start + minutes(0.0001)]
)
tables = st.lists(created, max_size=14).map(lambda times: [Row(n + 1, time) for n, time in enumerate(times)])
place = st.integers(0, 20)
growths = st.lists(st.tuples(st.just("grow"), place, st.none()), max_size=3)
jumps = st.lists(st.tuples(st.just("grow"), place, place), max_size=3)
inserts = st.lists(st.tuples(st.just("insert"), place, created), max_size=3)
deletions = st.lists(st.tuples(st.just("delete"), place, st.none()), max_size=3)


def gap(*parts: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(*parts).map(lambda lists: [event for part in lists for event in part]).flatmap(st.permutations)


def change(rows: list[Row], ids: Iterator[int], what: str, where: int, more: Any) -> None:
    if what == "insert":
        rows.insert(where % (len(rows) + 1), Row(next(ids), more))
    elif rows:
        row = rows.pop(where % len(rows))
        if what == "grow":
            rows.insert(len(rows) if more is None else more % (len(rows) + 1), Row(row.id, row.created, row.outpoint + 10))


def judge(mode: str, rows: list[Row], batch: int, cap: int, gaps: list[list[Any]], seed: int | None = None) -> None:
    """Read a window while `gaps` happen, one after each answer: what stood in it from first to last is delivered."""
    left, ids = iter(gaps), count(1000)

    def between(table: Table) -> None:
        for event in next(left, []):
            change(table.rows, ids, *event)

    table = Table(rows, cap=cap, between=between, shuffled=None if seed is None else Random(seed))
    before = table.within(HOUR)
    got = asyncio.run(read(actions_of(table, batch, mode=mode)))
    after = table.within(HOUR)
    for subject in before.keys() & after.keys():
        assert before[subject] <= got.newest[subject] <= after[subject]
    assert all(HOUR.start <= e.time < HOUR.end for e in got.events)
    assert len({e.id for e in got.events}) == len(got.events)


modes = st.sampled_from(["window", "day", "tail"])
batches, caps = st.sampled_from([1, 2, 3, 5, 1000]), st.sampled_from([0, 0, 2, 3])


@settings(max_examples=400)
@given(modes, tables, batches, caps, st.lists(gap(growths, inserts) | gap(growths, deletions), max_size=7))
def test_q61_rows_that_grow_to_the_end_come_late_or_are_deleted_never_hide_another(
    mode: str, rows: list[Row], batch: int, cap: int, gaps: list[list[Any]]
) -> None:
    judge(mode, rows, batch, cap, gaps)


@settings(max_examples=400)
@given(modes, tables, batches, caps, st.lists(gap(jumps, inserts), max_size=7))
def test_q61_rows_that_move_anywhere_or_come_late_never_hide_another(
    mode: str, rows: list[Row], batch: int, cap: int, gaps: list[list[Any]]
) -> None:
    judge(mode, rows, batch, cap, gaps)


@settings(max_examples=200)
@given(modes, tables, batches, st.lists(gap(jumps, inserts), max_size=7), st.integers(0, 2**32))
def test_q61_rows_in_another_order_on_every_request_never_hide_another(
    mode: str, rows: list[Row], batch: int, gaps: list[list[Any]], seed: int
) -> None:
    judge(mode, rows, batch, 0, gaps, seed)


async def test_the_proof_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that takes every pass for whole loses a row."""
    monkeypatch.setattr(Reading, "whole", True)
    table = Table(spread(9), between=once(CHANGES["rows are deleted in front"]))
    got = await read(actions_of(table, 2))
    assert table.within(HOUR).keys() - got.newest.keys() == {"3"}


@given(st.lists(st.lists(st.integers(-5000, 5000) | st.integers(), max_size=30), max_size=5))
def test_bits_count_as_a_set_does(pages: list[list[int]]) -> None:
    bits, numbers = Bits(), set[int]()
    for page in pages:
        bits.update(map(str, page))
        numbers.update(page)
        assert len(bits) == len(numbers)
    bits.clear()
    assert len(bits) == 0


def test_the_rows_of_a_whole_table_are_remembered_in_little_memory() -> None:
    tracemalloc.start()
    try:
        reading = Reading(1000, whole=True)
        reading.begin()
        for first in range(0, 100_000, 10_000):
            reading.add([(str(n), "state") for n in range(first, first + 10_000)], [], 100_000)
        assert reading.counted
        assert tracemalloc.get_traced_memory()[0] < 2**20
    finally:
        tracemalloc.stop()
