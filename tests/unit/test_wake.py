"""Early polls: each notice is followed by a poll, however many come, and no stream is polled all the time for them."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from harvester.wake import Wake
from tests.unit.test_visitors import Clock

PAUSE = 300.0


def made(clock: Callable[[], float]) -> Wake:
    return Wake(timedelta(seconds=PAUSE), monotonic=clock)


async def test_a_notice_calls_for_a_poll_one_pause_later_and_not_at_once() -> None:
    wake = made(clock := Clock())
    assert wake.due is None
    wake.notice()
    assert wake.due == 1000 + PAUSE
    clock.now += PAUSE
    wake.polling()
    assert wake.due is None


async def test_what_comes_while_a_poll_is_due_is_pooled_and_followed_by_one_more_poll() -> None:
    wake = made(clock := Clock())
    for _ in range(10_000):
        clock.now += 0.01
        wake.notice()
    first = wake.due
    assert first is not None
    assert abs(first - 1000.01 - PAUSE) < 0.001
    clock.now = first
    wake.polling()
    assert wake.due == first + PAUSE, "the newest is a hundred seconds younger than the first"
    clock.now = first + PAUSE
    wake.polling()
    assert wake.due is None


async def test_a_poll_that_comes_by_itself_serves_what_is_a_pause_old_and_puts_off_the_rest() -> None:
    wake = made(clock := Clock())
    wake.notice()
    clock.now += 200
    wake.polling()
    assert wake.due == 1200 + PAUSE
    clock.now += PAUSE
    wake.polling()
    assert wake.due is None


@given(st.lists(st.floats(0, 2000), max_size=60), st.lists(st.floats(0, 2000), max_size=5))
def test_every_notice_is_followed_by_a_poll_within_two_pauses_and_early_ones_are_a_pause_apart(
    notices: list[float], others: list[float]
) -> None:
    async def play() -> None:
        clock = Clock()
        wake, begun, early = made(clock), list[float](), list[float]()
        acts = [(at, 1) for at in others] + [(at, 0) for at in notices]
        for at, kind in sorted((1000 + at, kind) for at, kind in acts):
            while (due := wake.due) is not None and due <= at:
                clock.now = due
                assert not begun or due - begun[-1] >= PAUSE - 1e-6
                begun.append(due)
                early.append(due)
                wake.polling()
            clock.now = at
            if kind:
                begun.append(at)
                wake.polling()
            else:
                wake.notice()
        while (due := wake.due) is not None:
            clock.now = due
            begun.append(due)
            wake.polling()
        for at in notices:
            assert any(PAUSE - 1e-6 <= poll - 1000 - at <= 2 * PAUSE + 1e-6 for poll in begun)
        assert len(early) <= len(notices)

    asyncio.run(play())


async def test_who_sleeps_is_woken_by_a_notice_of_another_thread() -> None:
    wake, halt = Wake(timedelta(milliseconds=1)), asyncio.Event()
    sleeping = asyncio.create_task(wake.sleep(halt, time.monotonic() + 60))
    await asyncio.sleep(0)
    await asyncio.to_thread(_burst, wake)
    assert await asyncio.wait_for(sleeping, 10)


def _burst(wake: Wake) -> None:
    def many() -> None:
        for _ in range(1000):
            wake.notice()

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def test_a_burst_leaves_one_call_to_the_loop_however_long_that_stands_still() -> None:
    wake = Wake(timedelta(seconds=60))
    calls: list[object] = []
    asyncio.get_running_loop().call_soon_threadsafe = calls.append  # type: ignore[method-assign,assignment]
    _burst(wake)
    assert len(calls) == 1


async def test_who_sleeps_wakes_at_his_usual_time_and_at_once_when_he_is_halted() -> None:
    wake, halt = Wake(timedelta(seconds=60)), asyncio.Event()
    wake.notice()
    assert not await wake.sleep(halt, time.monotonic() + 0.01), "the notice is for later"
    sleeping = asyncio.create_task(wake.sleep(halt, time.monotonic() + 60))
    await asyncio.sleep(0)
    halt.set()
    assert not await asyncio.wait_for(sleeping, 10)
