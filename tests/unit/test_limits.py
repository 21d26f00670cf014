import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import TransientError
from harvester.limits import Bound, Burst, Limit, Pace, Pages


class Clock:
    """Monotonic time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        until = self.time + seconds
        await asyncio.sleep(0)
        self.time = max(self.time, until)


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_bound_admits_what_fits_and_counts_it() -> None:
    bound = Bound(events=10, size=1000)
    await bound.acquire(4, 300)
    await bound.acquire(6, 600)
    assert (bound.events, bound.size, bound.full) == (10, 900, True)
    bound.release(4, 300)
    assert (bound.events, bound.size, bound.full) == (6, 600, False)


@pytest.mark.parametrize(("events", "size"), [(1, 1), (0, 101), (8, 0)])
async def test_a_bound_holds_in_events_and_in_bytes(events: int, size: int) -> None:
    bound = Bound(events=10, size=200)
    await bound.acquire(10 if size == 1 else 3, 100)
    late = asyncio.create_task(bound.acquire(events, size))
    await settled()
    assert not late.done()
    assert bound.full
    bound.release(10 if size == 1 else 3, 100)
    await late
    assert (bound.events, bound.size) == (events, size)


async def test_what_is_too_large_for_a_bound_goes_in_alone() -> None:
    bound = Bound(events=10, size=100)
    await bound.acquire(1, 50)
    giant = asyncio.create_task(bound.acquire(1, 5000))
    await settled()
    assert not giant.done()
    bound.release(1, 50)
    await giant
    small = asyncio.create_task(bound.acquire(1, 1))
    await settled()
    assert not small.done()
    bound.release(1, 5000)
    await small


async def test_a_small_one_never_overtakes_a_large_one_that_waits() -> None:
    bound = Bound(events=10, size=100)
    await bound.acquire(9, 10)
    order: list[str] = []

    async def enter(name: str, events: int) -> None:
        await bound.acquire(events, 1)
        order.append(name)

    tasks = [asyncio.create_task(enter("large", 8)), asyncio.create_task(enter("small", 1))]
    await settled()
    assert order == []
    bound.release(9, 10)
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


async def test_one_that_is_cancelled_while_it_waits_lets_the_next_in() -> None:
    bound = Bound(events=10, size=100)
    await bound.acquire(5, 10)
    large = asyncio.create_task(bound.acquire(10, 10))
    small = asyncio.create_task(bound.acquire(5, 10))
    await settled()
    large.cancel()
    await asyncio.wait([large, small], timeout=1)
    assert large.cancelled()
    assert small.done()
    assert (bound.events, bound.size) == (10, 20)


async def test_one_that_is_cancelled_in_the_breath_of_its_admission_leaves_no_trace() -> None:
    bound = Bound(events=1, size=100)
    await bound.acquire(1, 10)
    waiting = asyncio.create_task(bound.acquire(1, 10))
    await settled()
    bound.release(1, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (bound.events, bound.size, bound.full) == (0, 0, False)


async def test_several_cancelled_together_leave_no_trace() -> None:
    bound = Bound(events=1, size=100)
    await bound.acquire(1, 10)
    tasks = [asyncio.create_task(bound.acquire(1, 10)) for _ in range(5)]
    await settled()
    for task in tasks[1:4]:
        task.cancel()
    bound.release(1, 10)
    await tasks[0]
    bound.release(1, 10)
    await tasks[4]
    await asyncio.wait(tasks)
    bound.release(1, 10)
    assert (bound.events, bound.size, bound.full) == (0, 0, False)


@given(st.lists(st.tuples(st.integers(1, 15), st.integers(0, 150), st.booleans()), min_size=1, max_size=20))
def test_whatever_comes_and_is_cancelled_a_bound_is_kept_and_ends_empty(items: list[tuple[int, int, bool]]) -> None:
    async def play() -> None:
        bound = Bound(events=10, size=100)
        inside: list[tuple[int, int]] = []

        async def visit(events: int, size: int) -> None:
            await bound.acquire(events, size)
            inside.append((events, size))
            try:
                assert (bound.events <= 10 and bound.size <= 100) or len(inside) == 1
                await asyncio.sleep(0)
            finally:
                inside.remove((events, size))
                bound.release(events, size)

        tasks = [asyncio.create_task(visit(events, size)) for events, size, _ in items]
        await asyncio.sleep(0)
        for task, (_, _, cancelled) in zip(tasks, items, strict=True):
            if cancelled:
                task.cancel()
        _, stuck = await asyncio.wait(tasks, timeout=1)
        assert not stuck
        assert not [task for task in tasks if not task.cancelled() and task.exception()]
        assert (bound.events, bound.size, bound.full) == (0, 0, False)

    asyncio.run(play())


async def test_a_pace_lets_one_request_go_each_wait() -> None:
    clock = Clock()
    pace = Pace(timedelta(seconds=1.5), monotonic=clock, sleep=clock.sleep)
    went: list[float] = []
    for _ in range(4):
        await pace.turn()
        went.append(clock.time - 100)
    assert went == [0.0, 1.5, 3.0, 4.5]


async def test_a_pace_does_not_make_up_for_idle_time() -> None:
    clock = Clock()
    pace = Pace(timedelta(seconds=1), monotonic=clock, sleep=clock.sleep)
    await pace.turn()
    clock.time += 60
    went = []
    for _ in range(3):
        await pace.turn()
        went.append(clock.time - 160)
    assert went == [0.0, 1.0, 2.0]


async def test_a_pace_of_zero_never_waits() -> None:
    clock = Clock()
    pace = Pace(timedelta(0), monotonic=clock, sleep=clock.sleep)
    for _ in range(100):
        await pace.turn()
    assert clock.time == 100.0


@given(n=st.integers(1, 6), eighths=st.lists(st.integers(0, 24), min_size=1, max_size=40))
def test_no_window_ever_holds_more_than_a_burst(n: int, eighths: list[int]) -> None:
    async def play() -> list[float]:
        clock = Clock()
        burst: Limit = Burst(n, timedelta(seconds=2), monotonic=clock, sleep=clock.sleep)
        went = []
        for pause in eighths:  # eighths of a second, which floats hold exactly
            clock.time += pause / 8
            await burst.turn()
            went.append(clock.time)
        return went

    went = asyncio.run(play())
    assert all(later - earlier >= 2 for earlier, later in zip(went, went[n:], strict=False))


async def test_a_burst_goes_at_once_and_the_next_one_waits_for_the_window() -> None:
    clock = Clock()
    burst = Burst(45, timedelta(seconds=2), monotonic=clock, sleep=clock.sleep)
    for _ in range(45):
        await burst.turn()
    assert clock.time == 100.0
    await burst.turn()
    assert clock.time == 102.0


async def test_many_tasks_share_one_burst() -> None:
    clock = Clock()
    burst = Burst(5, timedelta(seconds=2), monotonic=clock, sleep=clock.sleep)
    went: list[float] = []

    async def ask() -> None:
        await burst.turn()
        went.append(clock.time)

    await asyncio.gather(*[ask() for _ in range(17)])
    went.sort()
    assert all(later - earlier >= 2 for earlier, later in zip(went, went[5:], strict=False))


def test_f43_a_token_that_comes_again_is_a_loop() -> None:
    pages = Pages("zoom: meetings")
    pages.turned("A", 30)
    pages.turned("B", 30)
    with pytest.raises(TransientError, match=r"zoom: meetings: paging loops, 'A' came again after 2 pages"):
        pages.turned("A", 30)


def test_f43_an_offset_that_does_not_move_is_a_loop() -> None:
    pages = Pages("opencast")
    pages.turned(100, 100)
    with pytest.raises(TransientError, match="loops"):
        pages.turned(100, 0)


def test_f43_a_thousand_empty_pages_with_a_next_one_end_it() -> None:
    pages = Pages("slack")
    for n in range(999):
        pages.turned(f"t{n}", 0)
    with pytest.raises(TransientError, match="1000 empty pages"):
        pages.turned("t999", 0)


def test_f43_empty_pages_between_full_ones_are_honest() -> None:
    pages = Pages("slack", max_empty=3)
    for n in range(100):
        pages.turned(n, 1 if n % 3 == 0 else 0)
