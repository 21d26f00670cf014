"""Reading a server by day and by tail: midnights, live polls at the table's end, and a server that becomes another one."""

import asyncio
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.coverage import Interval, Intervals
from harvester.errors import PermanentError, TransientError
from harvester.sources import opencast
from harvester.sources.opencast import UserActions
from tests.opencast_table import HOUR, NOW, Row, Table, actions_of, minutes, read, served, spread

VIENNA = ZoneInfo("Europe/Vienna")
MIDNIGHT = datetime(2026, 11, 3, tzinfo=VIENNA)
MS = timedelta(milliseconds=1)
OVERLAP = timedelta(minutes=3)


def around_midnight() -> list[Row]:
    moments = [-1, 0, 1, 59_999, 60_000, -59_999, -60_000, -60_001, 60_001, 3_600_000, -3_600_000]
    return [Row(n + 1, MIDNIGHT + ms * MS) for n, ms in enumerate(moments)]


def stock(rows: list[Row], **switches: Any) -> Table:
    return Table(rows, ignores_window=True, **switches)


# --- midnights


@pytest.mark.parametrize("second", [0, 0.001, 1, 30, 59, 59.999])
@pytest.mark.parametrize("width", [timedelta(hours=48), timedelta(hours=1)], ids=str)
async def test_no_row_around_midnight_is_lost_whatever_the_second_of_the_request(second: float, width: timedelta) -> None:
    table = stock(around_midnight(), zone=VIENNA, now=NOW + timedelta(seconds=second))
    start = MIDNIGHT - timedelta(hours=24)
    stream = actions_of(table, mode="day")
    found = [e.subject for n in range(timedelta(hours=48) // width) for e in (await read(stream, step(start, n, width))).events]
    assert sorted(found, key=int) == [str(row.id) for row in table.rows]


def step(start: datetime, n: int, width: timedelta) -> Interval:
    return Interval(start + n * width, start + (n + 1) * width)


async def test_the_proof_of_midnights_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencast, "seams", lambda *_: Intervals())
    table = stock(around_midnight(), zone=VIENNA, now=NOW + timedelta(seconds=30))
    got = await read(actions_of(table, mode="day"), Interval(MIDNIGHT - minutes(60), MIDNIGHT + minutes(61)))
    assert len(got.events) < len(table.rows)


async def test_midnights_that_were_at_rest_are_read_from_the_whole_table_once() -> None:
    table = stock(around_midnight(), zone=VIENNA)
    stream = actions_of(table, mode="day")
    for n in range(20):
        await read(stream, step(MIDNIGHT - timedelta(days=10), n, timedelta(hours=12)))
    assert sum("day" not in call for call in table.calls) <= 2


async def test_a_midnight_that_is_not_at_rest_is_read_again() -> None:
    table = stock(around_midnight(), zone=VIENNA, now=(MIDNIGHT + minutes(5)).astimezone(NOW.tzinfo))
    stream = actions_of(table, mode="day")
    window = Interval(MIDNIGHT - timedelta(hours=12), MIDNIGHT + minutes(2))
    first = await read(stream, window)
    table.rows.append(Row(100, MIDNIGHT))
    assert (await read(stream, window)).newest.keys() - first.newest.keys() == {"100"}


async def test_a_day_of_the_server_is_paged_once_for_a_day_of_ours_in_its_zone() -> None:
    table = stock(spread(240, Interval(NOW - timedelta(hours=42), NOW - timedelta(hours=18))))
    got = await read(actions_of(table, 10, mode="day"), Interval(NOW - timedelta(hours=42), NOW - timedelta(hours=18)))
    assert len(got.events) == 240
    assert next(call["limit"] for call in table.calls if call.get("day") == "20261102") == "100"


# --- live polls


class Live:
    """Polls as the loop makes them."""

    def __init__(self, table: Table, mode: str, batch: int = 40) -> None:
        self.table = table
        self.stream = actions_of(table, batch, mode=mode)
        self.edge = table.now - minutes(10)
        self.notes = b""

    async def poll(self) -> dict[str, int]:
        window = Interval(self.edge - OVERLAP, self.table.now)
        got = await read(self.stream, window, self.notes)
        assert got.newest == self.table.within(window)
        self.edge = window.end
        notes = [page.notes for page in got.pages if page.notes is not None]
        self.notes = notes[-1] if notes else self.notes
        return got.newest


@pytest.mark.parametrize("mode", ["day", "tail"])
async def test_a_live_poll_costs_one_call_while_rows_are_added_at_the_end(mode: str) -> None:
    table = stock(spread(500, Interval(NOW - timedelta(hours=10), NOW)))
    live = Live(table, mode)
    await live.poll()
    for n in range(30):
        table.now += minutes(2)
        table.rows.append(Row(1000 + n, table.now - minutes(1)))
        table.calls.clear()
        await live.poll()
        assert len(table.calls) == 1, n


@pytest.mark.parametrize("mode", ["day", "tail"])
async def test_a_row_that_was_added_elsewhere_is_found_by_the_same_poll(mode: str) -> None:
    table = stock(spread(500, Interval(NOW - timedelta(hours=10), NOW)))
    live = Live(table, mode)
    await live.poll()
    table.now += minutes(2)
    table.rows.insert(3, Row(1000, table.now - minutes(1)))
    assert "1000" in await live.poll()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["day", "tail"]), st.integers(0, 2**32), st.sampled_from([3, 10, 1000]))
def test_live_polls_find_every_row_in_its_newest_state_wherever_it_lies(mode: str, seed: int, batch: int) -> None:
    asyncio.run(_polls(mode, Random(seed), batch))


async def _polls(mode: str, dice: Random, batch: int) -> None:
    table = stock(spread(60, Interval(NOW - timedelta(hours=2), NOW)), zone=VIENNA)
    table.now = datetime(2026, 11, 3, 22, 40, tzinfo=NOW.tzinfo)  # on the way to midnight in Vienna
    live, number = Live(table, mode, batch), 1000
    for _ in range(6):
        table.now += timedelta(seconds=dice.choice((7, 120, 600, 1800)))
        for _ in range(dice.randrange(4)):
            number += 1
            row = Row(number, table.now - timedelta(seconds=dice.choice((1, 30, 170, 900))))
            table.rows.insert(dice.choice((len(table.rows), dice.randrange(len(table.rows)))), row)
        for _ in range(dice.randrange(3)):
            row = table.rows.pop(dice.randrange(len(table.rows)))
            to = dice.choice((len(table.rows), dice.randrange(len(table.rows))))
            table.rows.insert(to, Row(row.id, row.created, row.outpoint + 10))
        await live.poll()


@pytest.mark.parametrize("mode", ["day", "tail"])
async def test_what_is_to_be_final_is_never_read_from_the_end_alone(mode: str) -> None:
    table = stock(spread(500, Interval(NOW - timedelta(hours=10), NOW)))
    live = Live(table, mode)
    await live.poll()
    table.rows[0] = Row(1000, NOW + minutes(1))  # one is deleted and one put in its place: the count does not tell
    table.now += timedelta(hours=7)
    window = Interval(NOW + timedelta(seconds=30), table.now)
    assert (await read(live.stream, window, live.notes)).newest == {"1000": 0}


# --- which mode


async def chosen(table: Table, **switches: Any) -> tuple[UserActions, list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []
    stream = actions_of(table, **switches)
    stream._on_mode = lambda mode, reason: heard.append((mode, reason))
    await stream.probe()
    return stream, heard


@pytest.mark.parametrize(
    ("table", "mode", "reason"),
    [
        (Table(spread(3)), "window", "it honours start and end"),
        (stock(spread(3)), "day", "it ignores start and end and honours day, as a stock Opencast does"),
        (stock(spread(3), ignores_day=True), "tail", "it ignores start and end, and day"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
async def test_q55_the_mode_is_what_the_server_knows_and_is_told_once_with_its_reason(
    table: Table, mode: str, reason: str
) -> None:
    stream, heard = await chosen(table)
    assert heard == [(mode, reason)]
    assert stream.mode == mode
    assert (await read(stream)).newest == table.within(HOUR)
    assert stream.timing.window == {"window": timedelta(hours=1), "day": timedelta(days=1), "tail": None}[mode]


@pytest.mark.parametrize("mode", ["window", "day", "tail"])
async def test_q55_a_mode_that_is_set_is_taken_when_the_server_knows_it(mode: str) -> None:
    stream, heard = await chosen(Table(spread(3)), mode=mode)
    assert (stream.mode, heard[0][0]) == (mode, mode)
    assert (await read(stream)).newest.keys() == {"1", "2", "3"}


@pytest.mark.parametrize(("mode", "words"), [("window", "ignores start and end"), ("day", "ignores day")])
async def test_q55_a_mode_that_is_set_and_not_known_stops_the_source_with_the_way_on(mode: str, words: str) -> None:
    with pytest.raises(PermanentError, match=f"{words}.*HARVESTER_OPENCAST_MODE={mode}.*auto"):
        await chosen(stock(spread(3), ignores_day=True), mode=mode)


async def test_an_empty_page_does_not_pass_for_a_window_that_is_honoured() -> None:
    table = stock(spread(3))
    answer, spoiled = table.answer, [True]

    def once_empty(query: Any) -> bytes:
        body = answer(query)
        return b'{"actions":{"total":"3"}}' if spoiled and spoiled.pop() else body

    table.answer = once_empty  # type: ignore[method-assign]
    assert (await chosen(table))[0].mode == "day"


async def test_a_zone_that_is_not_the_servers_stops_reading_by_day_and_names_the_settings() -> None:
    table = stock(spread(3), zone=VIENNA)
    with pytest.raises(PermanentError, match=r"HARVESTER_OPENCAST_TIMEZONE.*HARVESTER_OPENCAST_MODE=tail"):
        await chosen(table, zone=ZoneInfo("UTC"))
    stream, _ = await chosen(table, zone=ZoneInfo("UTC"), mode="tail")
    assert (await read(stream)).newest == table.within(HOUR)


# --- another server since an upgrade


async def test_a_clock_that_is_moved_to_another_zone_stops_a_day_before_any_of_it_counts_as_read() -> None:
    table = stock(spread(20, Interval(NOW - timedelta(hours=30), NOW - timedelta(hours=26))), zone=VIENNA)
    stream = actions_of(table, mode="day")
    table.zone = ZoneInfo("Europe/Lisbon")
    with pytest.raises(PermanentError, match="HARVESTER_OPENCAST_TIMEZONE"):
        await read(stream, Interval(NOW - timedelta(hours=32), NOW - timedelta(hours=24)))


async def test_a_patch_that_is_gone_in_mid_run_is_noticed_and_nothing_is_lost() -> None:
    table = Table([*spread(5), Row(6, HOUR.start - timedelta(days=400))])
    stream, heard = await chosen(table)
    assert stream.mode == "window"
    table.ignores_window = True
    with pytest.raises(TransientError, match="read in day mode from now on"):
        await read(stream)
    assert (await read(stream)).newest == table.within(HOUR)
    table.ignores_day = True
    with pytest.raises(TransientError, match="read in tail mode from now on"):
        await read(stream)
    assert (await read(stream)).newest == table.within(HOUR)
    assert [mode for mode, _ in heard] == ["window", "day", "tail"]


async def test_a_patch_that_is_gone_between_two_pages_is_noticed_too() -> None:
    def gone(table: Table) -> None:
        table.ignores_window = len(table.calls) > 2

    table = Table([Row(6, HOUR.start - timedelta(days=400)), *spread(5)], between=gone)
    stream, _ = await chosen(table, batch=2)
    with pytest.raises(TransientError, match="day mode"):
        await read(stream)


async def test_a_server_that_was_empty_when_it_was_asked_is_known_by_its_rows() -> None:
    table = stock([])
    stream, _ = await chosen(table)
    assert stream.mode == "window"
    table.rows += [*spread(5), Row(6, HOUR.start - timedelta(days=2))]
    with pytest.raises(TransientError, match="day mode"):
        await read(stream)


async def test_an_empty_page_of_the_whole_table_is_asked_for_again_and_begins_nothing_anew() -> None:
    table = stock(spread(300, Interval(NOW - timedelta(hours=10), NOW)), ignores_day=True)
    spoiled = ["100"]

    def reply(request: web.Request) -> web.Response:
        body = table.answer(request.query)
        if request.query["offset"] == "99" and spoiled:
            spoiled.clear()
            body = b'{"actions":{"total":"300","offset":"99","limit":"101"}}'
        return web.Response(body=body, content_type="application/json", headers={"Date": f"{NOW:%a, %d %b %Y %H:%M:%S GMT}"})

    async with served(reply, batch_size=10) as source:
        [stream] = await source.streams()
        table.calls.clear()
        assert (await read(stream)).newest == table.within(HOUR)
    assert [call["offset"] for call in table.calls] == ["0", "99", "99", "199", "299"]
