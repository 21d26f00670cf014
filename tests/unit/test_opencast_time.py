"""Windows in the clock of a server that knows no zones: no instant is left out when it repeats or skips an hour."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.coverage import EPOCH, Interval, cut
from harvester.errors import PermanentError
from harvester.sources.opencast_rows import server_bounds, server_span, useraction_event
from tests.opencast_table import HOUR, NOW, Row, Table, actions_of, minutes, read, record, spread

# Where the wall clock goes back in 2026: the first instant that it shows for the second time, and by how much.
AUTUMN = {
    "America/New_York": (datetime(2026, 11, 1, 6, tzinfo=UTC), minutes(60)),
    "Europe/Vienna": (datetime(2026, 10, 25, 1, tzinfo=UTC), minutes(60)),
    "Australia/Lord_Howe": (datetime(2026, 4, 4, 15, tzinfo=UTC), minutes(30)),
}
SPRING = {
    "America/New_York": datetime(2026, 3, 8, 7, tzinfo=UTC),
    "Europe/Vienna": datetime(2026, 3, 29, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
}
both_folds = pytest.mark.parametrize("fold", [0, 1], ids=["taken for the first", "taken for the second"])


def as_server(text: str, zone: ZoneInfo, fold: int) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=zone, fold=fold).astimezone(UTC)


def time_of(created: str, zone: str = "UTC") -> datetime:
    return useraction_event(record(1, created), "opencast", NOW, ZoneInfo(zone)).time


# --- created


@pytest.mark.parametrize(
    ("created", "time"),
    [
        ("2017-10-06T09:03:02-04:00", datetime(2017, 10, 6, 13, 3, 2, tzinfo=UTC)),
        ("2017-10-06T09:03:02.5-04:00", datetime(2017, 10, 6, 13, 3, 2, 500000, tzinfo=UTC)),
        ("2017-10-06T09:03:02.123-04:00", datetime(2017, 10, 6, 13, 3, 2, 123000, tzinfo=UTC)),
        ("2017-10-06T13:03:02Z", datetime(2017, 10, 6, 13, 3, 2, tzinfo=UTC)),
        ("2017-10-06T18:33:02+05:30", datetime(2017, 10, 6, 13, 3, 2, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_created_with_offset_is_that_instant_whatever_the_zone(created: str, time: datetime, zone: str) -> None:
    assert time_of(created, zone) == time


def test_q59_a_created_without_offset_is_the_servers_local_time() -> None:
    assert time_of("2017-10-06T09:03:02", "America/New_York") == datetime(2017, 10, 6, 13, 3, 2, tzinfo=UTC)
    assert time_of("2017-12-06T09:03:02.25", "America/New_York") == datetime(2017, 12, 6, 14, 3, 2, 250000, tzinfo=UTC)


@pytest.mark.parametrize("zone", AUTUMN)
def test_q59_an_ambiguous_created_without_offset_is_always_the_same_instant(zone: str) -> None:
    second, back = AUTUMN[zone]
    naive = second.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat()
    assert time_of(naive, zone) == second - back


# --- bounds


def test_bounds_are_whole_seconds_around_the_window_and_both_inclusive() -> None:
    start = datetime(2026, 11, 3, 11, 0, 0, 400000, tzinfo=UTC)
    window = Interval(start, start + timedelta(seconds=2))
    assert server_bounds(window, ZoneInfo("UTC")) == ("20261103110000", "20261103110003")
    assert server_bounds(HOUR, ZoneInfo("UTC")) == ("20261103110000", "20261103120000")
    assert server_bounds(HOUR, ZoneInfo("Europe/Vienna")) == ("20261103120000", "20261103130000")


@pytest.mark.parametrize("zone", AUTUMN)
def test_no_bound_lies_in_a_time_that_the_clock_shows_twice(zone: str) -> None:
    second, back = AUTUMN[zone]
    for start in range(-180, 180, 5):
        for length in (1, 5, 60, 95):
            begin = second + minutes(start)
            window = Interval(begin, begin + minutes(length))
            for text, asked in zip(server_bounds(window, ZoneInfo(zone)), server_span(window, ZoneInfo(zone)), strict=True):
                assert as_server(text, ZoneInfo(zone), 0) == as_server(text, ZoneInfo(zone), 1) == asked
                assert not second - back <= asked < second + back


@given(
    st.sampled_from(
        [*AUTUMN, "UTC", "Asia/Kathmandu", "Africa/Monrovia", "Pacific/Apia", "Africa/Casablanca", "America/Caracas"]
    ),
    st.timedeltas(timedelta(days=365), timedelta(days=67 * 365)).map(lambda since: EPOCH + since),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=2)),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0, 1]),
)
def test_every_instant_of_any_window_lies_within_what_the_server_is_asked(
    name: str, start: datetime, length: timedelta, where: float, fold: int
) -> None:
    zone, window, instant = ZoneInfo(name), Interval(start, start + length), start + length * where
    first, last = (as_server(text, zone, fold) for text in server_bounds(window, zone))
    assert first <= instant <= last
    assert window.start - first < timedelta(hours=3, seconds=1)
    assert last - window.end < timedelta(hours=3, seconds=1)


# --- whole seconds


async def test_f02_equal_times_at_the_bounds_belong_to_one_window_each() -> None:
    ties = [HOUR.start - minutes(1), HOUR.start, HOUR.start + minutes(30), HOUR.end]
    table = Table([Row(n + 1, ties[n % 4]) for n in range(40)])
    stream = actions_of(table, batch=3)
    assert (await read(stream)).newest == {str(n + 1): 0 for n in range(40) if n % 4 in (1, 2)}
    assert (await read(stream, Interval(HOUR.end, HOUR.end + minutes(60)))).newest == {
        str(n + 1): 0 for n in range(40) if n % 4 == 3
    }


@given(
    st.lists(st.integers(0, 8), max_size=12),
    st.lists(st.integers(0, 8), min_size=2, max_size=5, unique=True).map(sorted),
    st.integers(1, 4),
)
def test_f02_any_ties_at_any_cuts_are_found_once_in_neighbouring_windows(
    quarters: list[int], cuts: list[int], batch: int
) -> None:
    def at(quarter: int) -> datetime:
        return HOUR.start + timedelta(milliseconds=250 * quarter)

    table = Table([Row(n + 1, at(quarter)) for n, quarter in enumerate(quarters)])
    stream = actions_of(table, batch)
    windows = [Interval(at(a), at(b)) for a, b in itertools.pairwise(cuts)]
    found = [e.subject for window in windows for e in asyncio.run(read(stream, window)).events]
    assert sorted(found) == sorted(table.within(Interval(at(cuts[0]), at(cuts[-1]))))


# --- the hour that comes twice, and the one that does not come


def autumn_table(zone: str, fold: int, *, naive: bool = False) -> tuple[Table, Interval]:
    """A row a minute for two hours around the change, and the grid of hours it is read in."""
    second, _ = AUTUMN[zone]
    span = Interval(second - minutes(120), second + minutes(120))
    rows = [Row(n + 1, span.start + minutes(n), naive=naive) for n in range(240)]
    return Table(rows, zone=ZoneInfo(zone), fold=fold, now=second + minutes(600)), span


@both_folds
@pytest.mark.parametrize("width", [7, 30, 60])
@pytest.mark.parametrize("zone", AUTUMN)
async def test_q59_every_action_of_both_hours_is_found_exactly_once(zone: str, fold: int, width: int) -> None:
    table, span = autumn_table(zone, fold)
    stream = actions_of(table)
    found = [e.subject for window in cut(span, minutes(width)) for e in (await read(stream, window)).events]
    assert sorted(found, key=int) == [str(n + 1) for n in range(240)]


@both_folds
@pytest.mark.parametrize("zone", AUTUMN)
async def test_q59_the_repeated_hour_is_asked_for_as_a_whole(zone: str, fold: int) -> None:
    second, back = AUTUMN[zone]
    table, _ = autumn_table(zone, fold)
    for begin in (second - back, second):
        table.calls.clear()
        window = Interval(begin, begin + back)
        got = await read(actions_of(table), window)
        assert got.newest == table.within(window)
        asked = [as_server(table.calls[0][name], ZoneInfo(zone), 0) for name in ("start", "end")]
        assert asked[0] < second - back
        assert asked[1] >= second + back


@both_folds
@pytest.mark.parametrize("zone", AUTUMN)
async def test_q59_actions_without_offset_in_both_hours_are_found_exactly_once(zone: str, fold: int) -> None:
    table, span = autumn_table(zone, fold, naive=True)
    stream = actions_of(table)
    found = [e.subject for window in cut(span, minutes(30)) for e in (await read(stream, window)).events]
    assert sorted(found, key=int) == [str(n + 1) for n in range(240)]


@pytest.mark.parametrize("zone", SPRING)
async def test_every_action_around_the_skipped_hour_is_found_exactly_once(zone: str) -> None:
    change = SPRING[zone]
    span = Interval(change - minutes(120), change + minutes(120))
    table = Table(spread(240, span), zone=ZoneInfo(zone), now=change + minutes(600))
    stream = actions_of(table)
    found = [e.subject for window in cut(span, minutes(20)) for e in (await read(stream, window)).events]
    assert sorted(found, key=int) == [str(n + 1) for n in range(240)]


# --- a zone that is set wrong


async def test_q59_rows_of_another_hour_stop_the_stream_and_name_the_setting() -> None:
    table = Table(spread(240, Interval(HOUR.start - minutes(120), HOUR.end + minutes(60))), zone=ZoneInfo("Europe/Vienna"))
    stream = actions_of(table, zone=ZoneInfo("UTC"))
    with pytest.raises(PermanentError, match=r"is not that of UTC.*HARVESTER_OPENCAST_TIMEZONE"):
        await read(stream)


async def test_q59_an_empty_window_of_a_clock_that_is_behind_stops_the_stream_too() -> None:
    live = Interval(NOW - minutes(3), NOW)
    table = Table(spread(600, Interval(NOW - minutes(600), NOW)), zone=ZoneInfo("America/New_York"))
    stream = actions_of(table, zone=ZoneInfo("UTC"))
    with pytest.raises(PermanentError, match="HARVESTER_OPENCAST_TIMEZONE"):
        await read(stream, live)


async def test_an_empty_window_is_doubted_at_most_once_an_hour() -> None:
    table = Table(spread(10))
    stream = actions_of(table)
    for _ in range(5):
        assert (await read(stream, Interval(NOW - minutes(3), NOW))).events == []
    assert len(table.calls) == 5 + 1
    table.now += minutes(61)
    await read(stream, Interval(NOW, table.now))
    assert len(table.calls) == 7 + 1


async def test_a_server_that_prints_another_offset_than_it_reads_is_no_fault() -> None:
    table = Table(spread(10), zone=ZoneInfo("America/New_York"))
    for row in table.rows:
        row.body = record(row.id, row.created.isoformat())
    stream = actions_of(table)
    assert (await read(stream, Interval(NOW - minutes(3), NOW))).events == []
    assert len((await read(stream)).events) == 10
