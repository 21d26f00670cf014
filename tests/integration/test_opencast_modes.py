"""A whole life in each way of reading Opencast, with faults of every kind: what arrived is what is true, at a known price."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harvester.errors import PermanentError
from harvester.sandbox.serve import serve
from harvester.sandbox.settings import SandboxSettings
from tests.fakes import Clock
from tests.harvesting import newest
from tests.lives import NOW, Life, Verdict, born, judge, life, switched
from tests.taps import Stores, conserve, open_stores

START = NOW - timedelta(days=2)
MISLEADING = {"401": 0.01, "403": 0.01, "404": 0.01, "date-ahead": 0.01, "date-behind": 0.01}
FAULTS = {"all": 0.2, **MISLEADING, "nan": 0.002, "not-utf8": 0.002, "deep": 0.002, "no-created": 0.002, "pretty": 0.002}
SERVERS: dict[str, dict[str, Any]] = {"window": {}, "day": {"patched": False}, "tail": {"patched": False, "day": False}}


def world(**switches: Any) -> SandboxSettings:
    """Some five thousand actions, most of them history, in a zone whose midnight is not that of UTC."""
    usual: dict[str, Any] = {"now": NOW, "speed": 0, "retry_after": 0, "slow": 0, "actions_per_day": 1_500}
    usual |= {"timezone": "America/New_York", "history": NOW - START}
    return SandboxSettings(**{**usual, **switches})


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(tmp_path, Clock(NOW + timedelta(days=30))) as found:
        yield found


async def verdict(here: Life) -> Verdict:
    await conserve(here.stores.queue)
    held = {int(subject): version for subject, version in (await newest(here.stores.queue)).items()}
    return await judge(here, held, START)


@pytest.mark.parametrize(
    ("mode", "order"),
    [
        ("window", "moved"),
        ("day", "moved"),
        ("day", "id"),
        ("day", "restless"),
        ("tail", "moved"),
        ("tail", "id"),
        ("tail", "restless"),
    ],
)
async def test_a_life_full_of_faults_loses_doubles_and_ages_nothing(stores: Stores, mode: str, order: str) -> None:
    async with life(stores, world(faults=FAULTS, order=order, **SERVERS[mode]), batch_size=100) as here:
        assert here.stream.mode == mode
        await here.polls(START, 30, f"{mode} {order}")
        faults = here.running.stats.snapshot().faults
        await here.rest(START)
        found = await verdict(here)
        assert found == Verdict(found.true, 0, 0, 0, 0)
        assert found.true > 3_500
        assert not here.coverage.gaps()
        assert len(faults) > 5


@pytest.mark.parametrize("kind", ["empty", "shifted", *MISLEADING])
@pytest.mark.parametrize("mode", SERVERS)
async def test_each_way_to_mislead_is_met_and_loses_nothing(stores: Stores, mode: str, kind: str) -> None:
    rate = 0.1 if mode == "window" else 0.4  # by window a poll of two days takes a hundred calls, else a few
    small = world(faults={kind: rate}, actions_per_day=300, **SERVERS[mode])
    async with life(stores, small, batch_size=40) as here:
        await here.polls(START, 12, mode)
        assert here.running.stats.snapshot().faults[kind] > 0
        await here.rest(START)
        found = await verdict(here)
        assert found == Verdict(found.true, 0, 0, 0, 0)


@pytest.mark.parametrize("kind", ["401", "403", "404"])
@pytest.mark.parametrize("mode", SERVERS)
async def test_q55_a_refusal_covers_nothing_is_not_repeated_and_says_what_to_do(stores: Stores, mode: str, kind: str) -> None:
    words = {"401": "HARVESTER_OPENCAST_LOGIN=basic", "403": "ROLE_ADMIN", "404": "opencast-plugin-usertracking"}[kind]
    async with life(stores, world(actions_per_day=300, fault_burst=1000, **SERVERS[mode])) as here:
        await here.poll(START)
        before = here.coverage
        here.running.sandbox.set_faults({kind: 1.0})
        here.pass_time(timedelta(minutes=2))
        here.calls()
        with pytest.raises(PermanentError, match=words):
            await here.poll_once(START)
        assert here.calls() == 1
        assert here.coverage == before


@pytest.mark.parametrize("cap", [1, 30])
@pytest.mark.parametrize("mode", SERVERS)
async def test_a_server_that_caps_its_pages_costs_calls_and_no_rows(stores: Stores, mode: str, cap: int) -> None:
    async with life(stores, world(actions_per_day=30 * cap, limit_cap=cap, **SERVERS[mode]), batch_size=100) as here:
        await here.polls(START, 8, mode)
        await here.rest(START)
        found = await verdict(here)
        assert found == Verdict(found.true, 0, 0, 0, 0)


async def test_upgrades_that_take_the_patch_and_then_day_away_lose_nothing(stores: Stores) -> None:
    async with life(stores, world(faults={"all": 0.1}), batch_size=100) as here:
        for switches in ({}, {"patched": False}, {"day": False}):
            switched(here, **switches)
            await here.polls(START, 10, str(switches))
        await here.rest(START)
        told = [text.partition("read in ")[2].partition(" mode")[0] for text in here.failures if "from now on" in text]
        assert told == ["day", "tail"]
        found = await verdict(here)
        assert found == Verdict(found.true, 0, 0, 0, 0)


@pytest.mark.parametrize("mode", ["day", "tail"])
async def test_another_process_goes_on_at_the_tables_end_with_what_was_noted(stores: Stores, mode: str) -> None:
    async with serve(world(late=False, order="id", **SERVERS[mode])) as running:
        async with born(stores, running) as first:
            await first.polls(NOW - timedelta(minutes=10), 3, mode)
        async with born(stores, running) as second:
            second.calls()
            await second.poll(START)
            assert second.calls() == 1


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
async def test_day_mode_costs_at_most_twice_the_calls_of_window_mode(tmp_path: Path, timezone: str) -> None:
    calls = {}
    for mode, server in SERVERS.items():
        (tmp_path / mode).mkdir()
        async with (
            open_stores(tmp_path / mode, Clock(NOW + timedelta(days=30))) as stores,
            life(stores, world(timezone=timezone, **server)) as here,
        ):
            here.calls()
            await here.poll(START)
            history = here.calls()
            for _ in range(30):
                here.pass_time(timedelta(minutes=2))
                await here.poll(START)
            live = here.calls()
            await here.rest(START)
            calls[mode] = history, live, here.calls()
    assert all(day <= 2 * window for day, window in zip(calls["day"], calls["window"], strict=True)), calls
