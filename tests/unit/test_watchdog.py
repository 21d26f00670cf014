"""The watchdog: a loop that stands still is seen, measured and named; a process that stood still is told apart."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import capture_logs

from harvester import health, measures
from harvester.endpoints import serve
from harvester.health import Health
from harvester.states import States
from harvester.watchdog import ALARM, STEP, Watchdog, watching
from tests.taps import until


def lag() -> float:
    found = measures.REGISTRY.get_sample_value("harvester_loop_lag_seconds")
    assert found is not None
    return found


def block_until(condition: Callable[[], object], seconds: float = 60) -> bool:
    """Block this thread, and so its event loop, until something is true."""
    deadline = time.monotonic() + seconds
    while not (found := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def told(logs: list[MutableMapping[str, Any]], words: str) -> list[MutableMapping[str, Any]]:
    return [line for line in logs if f"the event loop {words}" in line["event"]]


async def test_f53_a_loop_that_stands_still_is_logged_with_the_line_it_stands_at() -> None:
    with capture_logs() as logs:
        async with watching():
            await asyncio.sleep(0)
            assert block_until(lambda: told(logs, "stands still"))
            assert lag() > ALARM
            await until(lambda: told(logs, "turns again"), 60)
    (stall,), (end,) = told(logs, "stands still"), told(logs, "turns again")
    assert any(frame.endswith(" block_until") for frame in stall["stack"])
    assert end["seconds"] >= ALARM


def test_f06_a_process_that_was_suspended_is_not_called_a_stalled_loop() -> None:
    now = 100.0
    dog = Watchdog(clock=lambda: now)
    with capture_logs() as logs:
        for _ in range(3):
            now += STEP
            dog.turned()
            dog.look()
        now += 60.0
        dog.look()
        assert dog.age == 0
        now += STEP
        dog.turned()
        dog.look()
    assert [(line["event"].partition(":")[0], line["seconds"]) for line in logs] == [("the whole process stood still", 59.8)]
    assert lag() == 0


def test_f53_a_stall_is_told_once_and_grows_while_it_lasts() -> None:
    now = 100.0
    dog = Watchdog(clock=lambda: now)
    seen = []
    with capture_logs() as logs:
        for _ in range(40):
            now += STEP
            dog.look()
            seen.append(lag())
        dog.turned()
        now += STEP
        dog.look()
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(40 * STEP - STEP)
    assert [line["event"] for line in logs] == ["the event loop stands still", "the event loop turns again"]
    assert lag() == 0


def asked(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_f53_while_the_loop_stands_still_livez_fails_and_the_metrics_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEAD", 1.5)
    with ThreadPoolExecutor(1) as other:
        async with watching() as dog:
            of = Health(States(), dog, asyncio.Event())
            of.begun = True
            async with serve("0", of.routes()) as address:
                loop = asyncio.get_running_loop()
                assert await loop.run_in_executor(other, asked, address, "/livez") == (200, "ok\n")
                assert block_until(lambda: dog.age > 1.5)
                status, words = other.submit(asked, address, "/livez").result(30)
                assert (status, "has not turned" in words) == (503, True)
                status, words = other.submit(asked, address, "/readyz").result(30)
                assert (status, '"stalled"' in words) == (503, True)
                status, words = other.submit(asked, address, "/metrics").result(30)
                assert (status, "harvester_loop_lag_seconds" in words) == (200, True)
                await until(lambda: dog.age < 1, 60)
                assert of.livez().status == 200
