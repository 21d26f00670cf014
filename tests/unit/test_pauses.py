"""Pauses: durable, seen by every process, and no quick change of mind is lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.coverages import open_coverages
from harvester.errors import TransientError
from harvester.pauses import Pause, Switchboard, followed, pause, paused, resume, switched, why_paused
from harvester.protocols import CoverageStore
from harvester.states import States
from tests.taps import until

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
ANN = Pause(NOW, "ann@host")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CoverageStore]:
    async with open_coverages(f"file://{tmp_path}/coverage") as found:
        yield found


async def turns(amount: int = 20) -> None:
    for _ in range(amount):
        await asyncio.sleep(0)


async def test_what_is_paused_outlives_the_process_and_says_since_when_and_by_whom(tmp_path: Path, store: CoverageStore) -> None:
    assert await paused(store) == {}
    await pause(store, "opencast", "ann@host")
    await pause(store, "duckdb", "ben@host")
    async with open_coverages(f"file://{tmp_path}/coverage") as other:
        found = await paused(other)
        assert {name: one.by for name, one in found.items()} == {"opencast": "ann@host", "duckdb": "ben@host"}
        assert abs((datetime.now(UTC) - found["opencast"].since).total_seconds()) < 60
        await resume(other, "opencast")
    assert set(await paused(store)) == {"duckdb"}


def test_a_stream_rests_with_its_source_and_no_source_with_its_stream() -> None:
    assert why_paused({"opencast": ANN}, "opencast/useractions") == ANN
    assert why_paused({"opencast/useractions": ANN}, "opencast") is None
    assert why_paused({"open": ANN}, "opencast/useractions") is None


def test_until_the_pauses_are_known_nothing_works() -> None:
    board = Switchboard()
    switch = board.switch("duckdb")
    assert not switch.go.is_set()
    board.apply({})
    assert switch.go.is_set()
    assert not switch.halt.is_set()
    board.apply({"duckdb": ANN})
    assert switch.halt.is_set()
    assert not switch.go.is_set()
    assert board.switch("opencast").go.is_set()


def test_a_stop_halts_all_and_lets_what_waits_end() -> None:
    board = Switchboard()
    early, late = board.switch("a"), None
    board.apply({"a": ANN})
    board.stop()
    late = board.switch("b")
    for switch in (early, late):
        assert switch.go.is_set()
        assert switch.halt.is_set()


async def test_a_component_rests_while_it_is_paused_and_goes_on_after() -> None:
    board, states, runs = Switchboard(), States(), 0
    component, switch = states.component("duckdb", "sink"), board.switch("duckdb")

    async def run() -> None:
        nonlocal runs
        runs += 1
        component.worked()
        await switch.halt.wait()

    task = asyncio.create_task(switched(switch, states, run))
    await turns()
    assert (runs, component.standing().state) == (0, "starting")
    board.apply({"duckdb": ANN})
    await turns()
    assert (runs, component.standing().state) == (0, "paused")
    assert component.standing().reason == "paused since 2026-01-10T12:00:00Z by ann@host"
    board.apply({})
    await turns()
    assert (runs, component.standing().state) == (1, "running")
    board.apply({"duckdb": ANN})
    await turns()
    assert component.standing().state == "paused"
    board.stop()
    await asyncio.wait_for(task, 30)
    assert runs == 1


async def test_a_pause_that_is_over_before_the_work_has_ended_starts_it_again() -> None:
    board, states, runs, ending = Switchboard(), States(), 0, asyncio.Event()
    switch = board.switch("duckdb")

    async def run() -> None:
        nonlocal runs
        runs += 1
        await switch.halt.wait()
        await ending.wait()  # it drains, and meanwhile somebody resumes

    board.apply({})
    task = asyncio.create_task(switched(switch, states, run))
    await turns()
    board.apply({"duckdb": ANN})
    await turns()
    board.apply({})
    ending.set()
    await turns()
    assert runs == 2
    board.stop()
    await asyncio.wait_for(task, 30)


async def test_work_that_ends_by_itself_is_not_begun_again() -> None:
    board, runs = Switchboard(), 0
    board.apply({})

    async def run() -> None:
        nonlocal runs
        runs += 1

    await asyncio.wait_for(switched(board.switch("duckdb"), States(), run), 30)
    assert runs == 1


class Failing:
    """A store that is away while `away`; else the one behind it."""

    def __init__(self, store: CoverageStore) -> None:
        self._store = store
        self.away = False
        self.error: Exception = TransientError("the store is away")
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        self.asked += 1
        if self.away:
            raise self.error
        return getattr(self._store, name)


async def test_f13_while_it_is_not_known_what_is_paused_nothing_begins_and_says_why(store: CoverageStore) -> None:
    failing, stop, states, runs = Failing(store), asyncio.Event(), States(), 0
    failing.away = True
    component = states.component("duckdb", "sink")

    async def run() -> None:
        nonlocal runs
        runs += 1
        component.running()
        await board.switch("duckdb").halt.wait()

    async with followed(failing, stop, every=0.001) as board:  # type: ignore[arg-type]
        task = asyncio.create_task(switched(board.switch("duckdb"), states, run))
        await until(lambda: component.standing().state == "waiting", 30)
        assert "not known yet: the store is away" in component.standing().reason
        assert runs == 0
        failing.away = False
        await until(lambda: component.standing().state == "running", 30)
        stop.set()
        await asyncio.wait_for(task, 30)
    assert runs == 1


async def test_f13_what_cannot_be_read_stays_as_it_was(store: CoverageStore) -> None:
    failing, stop = Failing(store), asyncio.Event()
    await pause(store, "duckdb", "ann@host")
    async with followed(failing, stop, every=0.001) as board, asyncio.timeout(30):  # type: ignore[arg-type]
        switch = board.switch("duckdb")
        await switch.halt.wait()
        failing.away = True
        await resume(store, "duckdb")
        asked = failing.asked
        await until(lambda: failing.asked >= asked + 3, 30)
        assert switch.halt.is_set()
        failing.away = False
        await switch.go.wait()
        assert not switch.halt.is_set()
        stop.set()
        await switch.halt.wait()


async def test_following_what_is_paused_is_begun_anew_after_what_nobody_foresaw(store: CoverageStore) -> None:
    failing, stop = Failing(store), asyncio.Event()
    failing.away, failing.error = True, ValueError("a mistake")
    async with followed(failing, stop, every=0.001) as board, asyncio.timeout(30):  # type: ignore[arg-type]
        await until(lambda: failing.asked, 30)
        failing.away = False
        await board.switch("duckdb").go.wait()
