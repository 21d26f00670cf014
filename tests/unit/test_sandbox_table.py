"""The sandbox's table is a function of its settings and its clock."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from harvester.errors import ConfigError
from harvester.sandbox.actions import IDS_PER_HOUR
from harvester.sandbox.clock import SandboxClock, local_instant, milliseconds
from harvester.sandbox.opencast import ACTIONS, OpencastSandbox
from harvester.sandbox.settings import REST, SandboxSettings
from tests.unit.sandboxes import HOUR_BEFORE, NOON, OLD_HOUR, sandbox

NEW_YORK = ZoneInfo("America/New_York")
BUSY = {"actions_per_day": 20_000}


async def test_equal_settings_serve_equal_bytes() -> None:
    bodies = []
    for seed in ("one", "one", "other"):
        async with sandbox(seed=seed) as client:
            bodies.append((await client.get(ACTIONS, limit=1000, **HOUR_BEFORE)).body)
    assert bodies[0] == bodies[1] != bodies[2]


async def test_an_hour_is_the_same_whatever_was_asked_before() -> None:
    async with sandbox() as client:
        await client.paged(100, start="20261001000000", end="20261003000000")
        after = await client.paged(100, **OLD_HOUR)
    async with sandbox() as client:
        assert await client.paged(7, **OLD_HOUR) == after


async def test_ids_are_unique_and_grow_with_created() -> None:
    async with sandbox(order="id") as client:
        rows = await client.paged(500, start="20261028000000", end="20261029235959")
    ids = [row["id"] for row in rows]
    created = [datetime.fromisoformat(row["created"]) for row in rows]
    assert ids == sorted(set(ids))
    assert created == sorted(created)


async def test_a_week_has_its_days_and_hours_and_the_amount_that_was_asked_for() -> None:
    settings = SandboxSettings(now=NOON, speed=0, actions_per_day=1000)
    true = OpencastSandbox(settings).truth(NOON - timedelta(days=14), NOON - timedelta(days=7))
    assert true.count == pytest.approx(7000, rel=0.1)
    hours = [action.created.hour for action in true.actions.values()]
    assert sum(10 <= hour < 12 for hour in hours) > 10 * sum(2 <= hour < 4 for hour in hours)
    days = [action.created.weekday() for action in true.actions.values()]
    assert days.count(1) > 2 * days.count(5)


async def test_bounds_are_whole_seconds_and_inclusive() -> None:
    async with sandbox(**BUSY, order="id") as client:
        rows = await client.paged(1000, start="20261102100000", end="20261102100100")
        second = await client.paged(1000, start="20261102100100", end="20261102100100")
        around = await client.paged(1000, **OLD_HOUR)
    edge = datetime(2026, 11, 2, 10, 1, tzinfo=UTC)
    times = [datetime.fromisoformat(row["created"]) for row in around]
    assert len(rows) == sum(moment <= edge for moment in times)
    assert len(second) == times.count(edge)


def test_a_repeated_hour_is_read_as_the_later_one_and_a_skipped_hour_as_the_next() -> None:
    assert local_instant("20261101013000", NEW_YORK) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)  # standard time
    assert local_instant("20261101003000", NEW_YORK) == datetime(2026, 11, 1, 4, 30, tzinfo=UTC)
    assert local_instant("20260308023000", NEW_YORK) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    for wrong in ("2026110101300", "20261301013000", "2026-1101013000", "２０２６１１０１０１３０００"):
        with pytest.raises(ValueError):
            local_instant(wrong, NEW_YORK)


async def test_a_stock_server_ignores_start_and_end_and_pages_the_whole_table() -> None:
    async with sandbox(patched=False, history=timedelta(days=2), actions_per_day=300) as client:
        rows = await client.paged(100, **OLD_HOUR)
        assert {row["id"] for row in rows} == set(client.running.truth().actions)
        oldest = min(datetime.fromisoformat(row["created"]) for row in rows)
    assert oldest < NOON - timedelta(days=1, hours=12)


async def test_a_day_misses_the_seconds_that_the_requests_clock_has() -> None:
    async with sandbox(**BUSY, now=NOON + timedelta(seconds=20)) as client:
        rows = await client.paged(20_000, day="20261102")
    times = [datetime.fromisoformat(row["created"]) for row in rows]
    assert min(times) >= datetime(2026, 11, 2, 0, 0, 20, tzinfo=UTC)
    assert datetime(2026, 11, 2, 23, 58, tzinfo=UTC) < max(times) <= datetime(2026, 11, 2, 23, 59, 20, tzinfo=UTC)


async def test_f03_some_rows_appear_late_but_within_their_bound() -> None:
    async with sandbox(**BUSY) as client:
        before = {row["id"] for row in await client.paged(5000, **HOUR_BEFORE)}
        client.running.clock.advance(timedelta(minutes=10))
        later = {row["id"] for row in await client.paged(5000, **HOUR_BEFORE)}
        client.running.clock.advance(timedelta(hours=2))
        last = {row["id"] for row in await client.paged(5000, **HOUR_BEFORE)}
        client.running.clock.advance(timedelta(days=2))
        assert {row["id"] for row in await client.paged(5000, **HOUR_BEFORE)} == last
    assert before < later < last
    async with sandbox(**BUSY, late=False) as client:
        assert {row["id"] for row in await client.paged(5000, **HOUR_BEFORE)} == last


async def test_f03_footprints_grow_in_place_until_they_rest() -> None:
    async with sandbox(**BUSY, late=False) as client:
        states = []
        for _ in range(5):
            states.append({row["id"]: row for row in await client.paged(5000, **HOUR_BEFORE)})
            client.running.clock.advance(REST / 4)
        rests = await client.paged(5000, **HOUR_BEFORE)
        assert {row["id"]: row for row in rests} == states[4]
    changed = 0
    for older, newer in pairwise(states):
        for number, row in newer.items():
            same = {key: row[key] for key in row if key not in ("outpoint", "length")}
            assert same == {key: older[number][key] for key in same}
            assert row["outpoint"] >= older[number]["outpoint"]
            changed += row["outpoint"] > older[number]["outpoint"]
            assert row == older[number] or row["type"] == "FOOTPRINT"
    assert changed > 20


async def test_rows_that_grow_move_to_the_end_and_shift_the_others() -> None:
    async with sandbox(**BUSY, late=False) as client:
        before = [row["id"] for row in await client.paged(5000, **HOUR_BEFORE)]
        client.running.clock.advance(timedelta(minutes=5))
        after = {row["id"]: nth for nth, row in enumerate(await client.paged(5000, **HOUR_BEFORE))}
        grown = [row["id"] for row in await client.paged(5000, **HOUR_BEFORE)][-5:]
    assert set(before) == set(after)
    assert before != sorted(before, key=after.__getitem__)
    assert min(before.index(number) for number in grown) < len(before) - 5


@pytest.mark.parametrize("order", ["shuffled", "restless"])
async def test_shuffled_rows_keep_their_places_and_restless_ones_do_not(order: str) -> None:
    async with sandbox(order=order) as client:
        first = [row["id"] for row in await client.paged(10, **OLD_HOUR)]
        again = [row["id"] for row in await client.paged(10, **OLD_HOUR)]
        client.running.clock.advance(timedelta(seconds=1))
        later = [row["id"] for row in await client.paged(10, **OLD_HOUR)]
    assert first == again != sorted(first)
    assert (later == first) is (order == "shuffled")
    assert sorted(later) == sorted(first)


async def test_after_it_stopped_changing_nothing_is_created_but_the_rest_still_comes() -> None:
    async with sandbox(**BUSY) as client:
        answer = (await client.post("/sandbox/stop-changing")).json
        assert answer == {"stopped": "2026-11-03T12:00:00Z", "rests": "2026-11-03T15:00:00Z"}
        before = client.running.truth(NOON - timedelta(hours=3))
        assert not all(action.rests for action in before.actions.values())
        client.running.clock.set(NOON + REST)
        after = client.running.truth(NOON - timedelta(hours=3))
        assert set(before.actions) < set(after.actions)
        assert max(action.created for action in after.actions.values()) <= NOON
        assert all(action.rests for action in after.actions.values())
        client.running.clock.advance(timedelta(days=9))
        assert client.running.truth(NOON - timedelta(hours=3)).actions == after.actions
        assert await client.paged(100, start="20261103120001", end="20261112000000") == []


async def test_an_hour_of_three_thousand_rows_is_made_and_paged_quickly() -> None:
    box = OpencastSandbox(SandboxSettings(now=NOON, speed=0, actions_per_day=35_000))
    hour = milliseconds(NOON) // 3_600_000 - 26
    box._table.hour(hour - 24)  # what is made once a process
    took = []
    for day in (0, 3, 4):  # no weekend
        began = time.process_time()
        rows = box._table.hour(hour - 24 * day)
        took.append(time.process_time() - began)
        assert len(rows) > 2000
        assert rows[0].id == (hour - 24 * day) * IDS_PER_HOUR
    assert min(took) < 0.1  # a busy neighbour slows some of them


def test_the_clock_runs_with_its_speed_and_remembers_the_latest_instant_it_showed() -> None:
    ticks = [100.0]
    clock = SandboxClock(NOON, speed=60, ticker=lambda: ticks[0])
    ticks[0] += 2.5
    assert clock.now() == NOON + timedelta(seconds=150)
    clock.set(NOON - timedelta(days=1))
    assert clock.now() == NOON - timedelta(days=1)
    assert clock.latest == NOON + timedelta(seconds=150)
    ticks[0] += 1
    clock.advance(timedelta(hours=1))
    assert clock.now() == NOON - timedelta(days=1) + timedelta(hours=1, minutes=1)


async def test_f05_the_date_of_every_answer_is_the_sandboxs_clock() -> None:
    async with sandbox() as client:
        for path in (ACTIONS, "/search/episode.json", "/truth?end=2025-11-03T00:00Z", "/sandbox/clock", "/nowhere"):
            assert (await client.get(path)).headers["Date"] == "Tue, 03 Nov 2026 12:00:00 GMT"
        moved = await client.post("/sandbox/clock", {"advance_seconds": 61})
        assert moved.json == {"now": "2026-11-03T12:01:01Z"}
        assert moved.headers["Date"] == "Tue, 03 Nov 2026 12:01:01 GMT"
        await client.post("/sandbox/clock", {"now": "2026-12-24T18:00:00+01:00"})
        assert (await client.get("/sandbox/clock")).json == {"now": "2026-12-24T17:00:00Z"}
        assert (await client.post("/sandbox/clock", {"then": 1})).status == 400


def test_every_wrong_setting_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SandboxSettings(speed=-1, actions_per_day=10**9, timezone="Mars/Base", fault_burst=0, now=datetime(2026, 1, 1))  # noqa: DTZ001
    assert len(caught.value.faults) == 5
