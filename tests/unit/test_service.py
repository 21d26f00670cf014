"""The process: one task's death stops no other, a signal drains, a second one ends it at once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from harvester import service
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.service import sleep_until, supervise, unless, until_signal
from harvester.states import Component


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause of the supervisor, none of which is slept."""
    seen: list[float] = []

    async def pause(stop: asyncio.Event, seconds: float) -> None:
        seen.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(service, "sleep_until", pause)
    return seen


def raising(*errors: BaseException) -> Callable[[], Awaitable[None]]:
    """Work that ends by each of these in turn, and then well."""
    left = list(errors)

    async def work() -> None:
        if left:
            raise left.pop(0)

    return work


# Supervision


async def test_f52_a_task_that_dies_is_started_anew_after_growing_pauses(waits: list[float]) -> None:
    await supervise("one", raising(*[ValueError("a mistake")] * 9), asyncio.Event())
    assert len(waits) == 9
    steps = [min(2.0**n, 60) for n in range(9)]
    assert all(step / 2 <= wait <= step for wait, step in zip(waits, steps, strict=True))


async def test_f52_one_task_that_dies_again_and_again_stops_no_other(waits: list[float]) -> None:
    stop, turns = asyncio.Event(), 0

    async def dies() -> None:
        raise ValueError("again")

    async def works() -> None:
        nonlocal turns
        while turns < 50:
            turns += 1
            await asyncio.sleep(0)
        stop.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(supervise("dies", dies, stop))
        group.create_task(supervise("works", works, stop))
    assert (turns, len(waits) > 2) == (50, True)


async def test_a_wait_that_was_asked_for_is_never_cut_short(waits: list[float]) -> None:
    errors = [TransientError("429", retry_after=told) for told in (30, 0, None, 10**9)]
    await supervise("one", raising(*errors), asyncio.Event())
    assert waits[0] == 30
    assert all(wait >= 0.5 for wait in waits)
    assert waits[3] == 900


async def test_what_only_a_person_can_mend_is_tried_seldom(waits: list[float]) -> None:
    await supervise("one", raising(PermanentError("401")), asyncio.Event())
    assert waits == [300]


@pytest.mark.parametrize("error", [ConfigError("a", "b"), RefusedError("another queue")])
@pytest.mark.parametrize("deep", [0, 1, 2])
async def test_what_must_end_the_process_goes_up_out_of_task_groups_too(
    waits: list[float], error: ConfigError | RefusedError, deep: int
) -> None:
    raised: Exception = error
    for _ in range(deep):
        raised = ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("beside"), raised])
    with pytest.raises(type(error) if deep == 0 else ExceptionGroup) as found:
        await supervise("one", raising(raised), asyncio.Event())
    last: BaseException = found.value
    while isinstance(last, BaseExceptionGroup):
        (last,) = last.exceptions
    assert last is error
    assert waits == []


async def test_a_group_without_such_an_error_is_started_anew(waits: list[float]) -> None:
    await supervise("one", raising(ExceptionGroup("g", [TransientError("busy")])), asyncio.Event())
    assert len(waits) == 1


async def test_cancellation_is_never_swallowed(waits: list[float]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await supervise("one", raising(asyncio.CancelledError()), asyncio.Event())
    assert waits == []


async def test_after_a_stop_nothing_is_started_anew() -> None:
    stop = asyncio.Event()

    async def dies() -> None:
        stop.set()
        raise TransientError("down", retry_after=600)

    async with asyncio.timeout(30):
        await supervise("one", dies, stop)
    await supervise("one", raising(ValueError("never run")), stop)


async def test_a_task_that_lasted_begins_again_with_short_pauses(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    left = [*[0.0] * 7, 3600.0]

    async def dies_after_a_while() -> None:
        nonlocal now
        if left:
            now += left.pop(0)
            raise ValueError("died")

    monkeypatch.setattr(loop, "time", lambda: now)
    await supervise("one", dies_after_a_while, asyncio.Event())
    assert waits[6] >= 30
    assert waits[7] <= 1


async def test_a_sleep_ends_with_the_stop() -> None:
    stop = asyncio.Event()
    await sleep_until(stop, 0.001)
    sleeping = asyncio.create_task(sleep_until(stop, 3600))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(30):
        await sleeping


@pytest.mark.parametrize("turns", range(8))
async def test_a_sleep_that_is_cancelled_together_with_the_stop_is_cancelled(turns: int) -> None:
    stop = asyncio.Event()
    sleeping = asyncio.create_task(sleep_until(stop, 3600))
    for _ in range(5):
        await asyncio.sleep(0)
    stop.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    asked = sleeping.cancel()  # False: it had ended
    await asyncio.gather(sleeping, return_exceptions=True)
    assert sleeping.cancelled() == asked


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_f50_the_first_signal_lets_the_work_finish(number: signal.Signals) -> None:
    finished = []

    async def work(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stop.wait()
        await asyncio.sleep(0.01)
        finished.append(True)

    await until_signal(work, drain=60)
    assert finished == [True]


async def test_f50_what_is_not_finished_when_the_drain_ends_is_cancelled() -> None:
    ended: list[str] = []

    async def work(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with asyncio.timeout(30):
        await until_signal(work, drain=0.05)
    assert ended == ["cancelled"]


async def test_an_error_of_the_work_goes_up() -> None:
    async def work(stop: asyncio.Event) -> None:
        raise RefusedError("another queue")

    with pytest.raises(RefusedError):
        await until_signal(work, drain=1)


async def test_a_cancellation_without_a_signal_goes_up() -> None:
    async def work(stop: asyncio.Event) -> None:
        await stop.wait()

    running = asyncio.create_task(until_signal(work, drain=1))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


_CHILD = """
import asyncio, sys
from harvester.errors import HarvesterError
from harvester.service import run_once, until_signal

async def tell(stop):
    await stop.wait()
    print("asked to stop", flush=True)

async def stuck(*stops):
    telling = [asyncio.create_task(tell(stop)) for stop in stops]
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("asked to stop", flush=True)
            if sys.argv[2:] != ["stubborn"]:
                raise

if sys.argv[1] == "once":
    try:
        run_once(stuck())
    except HarvesterError as cut:
        print(cut)
        sys.exit(cut.exit_code)
asyncio.run(until_signal(stuck, drain=60))
"""


def _child(*arguments: str) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert _line(child) == "ready"
    return child


def _line(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def _ended(child: "subprocess.Popen[str]") -> Any:
    try:
        return child.wait(10)
    finally:
        child.kill()
        child.communicate()


def test_f50_a_signal_ends_a_one_shot_with_130_and_a_word() -> None:
    child = _child("once")
    child.send_signal(signal.SIGINT)
    assert _line(child) == "asked to stop"
    assert _line(child) == "interrupted"
    assert _ended(child) == 130


@pytest.mark.parametrize("kind", ["once", "daemon"])
def test_f50_a_second_signal_ends_the_process_at_once(kind: str) -> None:
    child = _child(kind, "stubborn")
    child.send_signal(signal.SIGTERM)
    assert _line(child) == "asked to stop"
    child.send_signal(signal.SIGTERM)
    assert child.stderr is not None
    assert any("ended at once by a second signal" in line for line in child.stderr), "somebody may wonder what became of it"
    assert _ended(child) == 130


async def test_f52_a_fault_of_the_settings_after_a_healthy_time_stops_that_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_START", 0.0)
    monkeypatch.setattr(service, "_PERMANENT_PAUSE", 0.0)
    stop, runs = asyncio.Event(), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        if runs == 1:
            raise ConfigError("the file is damaged")

    await service.supervise("sink", work, stop)
    assert runs == 2


# Components


async def test_f52_the_component_is_told_of_each_death(waits: list[float]) -> None:
    component = Component("one", "stream")
    seen: list[str] = []

    async def work() -> None:
        seen.append(component.standing().state)
        if len(seen) <= 5:
            raise ValueError("a mistake")
        component.worked()

    await supervise("one", work, asyncio.Event(), component=component)
    assert seen == ["starting", *["waiting"] * 4, "degraded"]
    assert component.standing().state == "degraded"


async def test_an_outage_in_a_group_is_an_outage_and_a_mistake_beside_it_a_death(waits: list[float]) -> None:
    component = Component("one", "source")
    outage = ExceptionGroup("g", [ExceptionGroup("h", [TransientError("busy")]), TransientError("away")])
    await supervise("one", raising(*[outage] * 6), asyncio.Event(), component=component)
    assert component.standing().deaths == 0
    await supervise(
        "one", raising(ExceptionGroup("g", [TransientError("busy"), ValueError("m")])), asyncio.Event(), component=component
    )
    assert component.standing().deaths == 1


async def test_what_was_begun_again_ends_no_process(waits: list[float]) -> None:
    component = Component("one", "stream")
    await supervise("one", raising(RefusedError("held by another")), asyncio.Event(), component=component, may_end=False)
    assert waits == [300]
    assert component.standing().state == "stopped"


async def test_work_that_is_halted_is_cancelled_at_once_or_when_its_drain_is_over() -> None:
    ended: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def drains() -> None:
        await halt.wait()
        await asyncio.sleep(0.01)
        ended.append("drained")

    halt = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, halt.set)
    async with asyncio.timeout(30):
        await unless(halt, drains, drain=20)
        await unless(halt, stubborn, drain=0.01)
        await unless(halt, stubborn)
    assert ended == ["drained", "cancelled", "cancelled"]


async def test_what_halted_work_ends_by_goes_up() -> None:
    with pytest.raises(TransientError):
        await unless(asyncio.Event(), raising(TransientError("away")))


async def test_work_that_is_cancelled_from_within_is_started_anew_and_does_not_end_in_silence(waits: list[float]) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise asyncio.CancelledError

    async with asyncio.timeout(30):
        await supervise("one", partial(unless, asyncio.Event(), work), asyncio.Event())
    assert runs == 3
    assert len(waits) == 2
