import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import PermanentError, TransientError
from harvester.retry import (
    DAEMON,
    ONE_SHOT,
    OutageError,
    RateLimitedError,
    Retry,
    UnusableError,
    Wait,
    reason_of,
    retrying,
    wait_after,
)


class Script:
    """An operation that fails as told, then succeeds; and a sleep that only writes down."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.slept: list[float] = []
        self.told: list[Wait] = []

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def run(self, policy: Retry, jitter: float = 1.0) -> str:
        return await retrying(self, policy, sleep=self.sleep, on_wait=self.told.append, jitter=lambda: jitter)


async def test_what_succeeds_is_called_once_and_waits_for_nothing() -> None:
    script = Script()
    assert await script.run(ONE_SHOT) == "done"
    assert (script.calls, script.slept) == (1, [])


async def test_a_one_shot_gives_an_outage_three_retries_and_then_the_error() -> None:
    script = Script(*[OutageError(f"down {n}") for n in range(9)])
    with pytest.raises(OutageError, match="down 3"):
        await script.run(ONE_SHOT)
    assert script.slept == [1, 2, 4]


async def test_a_daemon_outlasts_any_outage_with_waits_up_to_a_minute() -> None:
    script = Script(*[OutageError("down") for _ in range(2000)])
    assert await script.run(DAEMON) == "done"
    assert script.slept[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(script.slept[6:]) == {60}


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.999])
async def test_an_outage_is_waited_out_with_full_jitter(draw: float) -> None:
    script = Script(OutageError("down"), OutageError("down"))
    await script.run(DAEMON, jitter=draw)
    assert script.slept == [draw, 2 * draw]


async def test_f40_a_rate_limit_is_waited_out_without_end_even_by_a_one_shot() -> None:
    script = Script(*[RateLimitedError("429") for _ in range(5000)])
    assert await script.run(ONE_SHOT) == "done"
    assert script.slept[:3] == [5.0, 7.5, 11.25]
    assert script.slept[-1] == 300


@pytest.mark.parametrize(("told", "waited"), [(7.0, 7.0), (0.5, 0.5), (900.0, 900.0), (86400.0, 900.0), (float("inf"), 900.0)])
async def test_f40_a_told_wait_is_obeyed_to_the_second_up_to_fifteen_minutes(told: float, waited: float) -> None:
    script = Script(RateLimitedError("429", retry_after=told))
    await script.run(ONE_SHOT, jitter=0.0)
    assert script.slept == [waited]


async def test_being_told_to_wait_zero_seconds_is_no_licence_to_storm() -> None:
    script = Script(*[RateLimitedError("429", retry_after=0.0) for _ in range(2)])
    await script.run(ONE_SHOT)
    assert script.slept == [5.0, 7.5]


async def test_an_outage_that_names_a_wait_is_obeyed_but_still_counted() -> None:
    script = Script(*[OutageError("503", retry_after=20.0) for _ in range(9)])
    with pytest.raises(OutageError):
        await script.run(ONE_SHOT, jitter=0.0)
    assert script.slept == [20.0, 20.0, 20.0]


@pytest.mark.parametrize("policy", [ONE_SHOT, DAEMON])
async def test_an_unusable_answer_goes_to_the_caller_after_three_retries_a_second_apart(policy: Retry) -> None:
    script = Script(*[UnusableError("HTML") for _ in range(9)])
    with pytest.raises(UnusableError):
        await script.run(policy, jitter=0.0)
    assert script.slept == [1.0, 1.0, 1.0]


async def test_each_reason_is_counted_for_itself() -> None:
    mixed = [OutageError("a"), RateLimitedError("b"), UnusableError("c")]
    script = Script(*mixed, *mixed, *mixed)
    assert await script.run(ONE_SHOT) == "done"
    assert [(w.reason, w.attempt) for w in script.told] == [
        (reason, n) for n in (1, 2, 3) for reason in ("outage", "rate_limited", "unusable")
    ]


async def test_what_is_not_transient_is_not_repeated() -> None:
    script = Script(PermanentError("403"))
    with pytest.raises(PermanentError):
        await script.run(DAEMON)
    assert script.calls == 1


async def test_each_wait_is_told_before_it_begins() -> None:
    script = Script(OutageError("opencast: 503"))
    order: list[str] = []

    async def sleep(seconds: float) -> None:
        order.append(f"slept {seconds:g}")

    def told(wait: Wait) -> None:
        order.append(f"{wait.reason} {wait.attempt} {wait.seconds:g} {wait.text}")

    await retrying(script, DAEMON, sleep=sleep, on_wait=told, jitter=lambda: 0.5)
    assert order == ["outage 1 0.5 opencast: 503", "slept 0.5"]


async def test_a_scale_shrinks_every_wait() -> None:
    script = Script(OutageError("a"), RateLimitedError("b", retry_after=30.0), UnusableError("c"))
    await script.run(Retry(attempts=None, scale=0.01))
    assert script.slept == pytest.approx([0.01, 0.3, 0.01])


@pytest.mark.parametrize("error", [OutageError("down"), RateLimitedError("429", retry_after=900.0), UnusableError("HTML")])
async def test_a_wait_ends_at_once_when_we_are_stopped(error: TransientError) -> None:
    waiting = asyncio.Event()

    async def fails() -> None:
        raise error

    task = asyncio.create_task(retrying(fails, DAEMON, on_wait=lambda _: waiting.set(), jitter=lambda: 1.0))
    await waiting.wait()
    task.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_plain_transient_error_is_a_rate_limit_only_when_it_names_a_wait() -> None:
    assert reason_of(TransientError("locked")) == "outage"
    assert reason_of(TransientError("slow down", retry_after=3.0)) == "rate_limited"


@given(
    attempt=st.integers(1, 100_000),
    jitter=st.floats(0, 1, exclude_max=True),
    told=st.none() | st.floats(-1e9, 1e300),
    make=st.sampled_from([TransientError, OutageError, RateLimitedError, UnusableError]),
)
def test_no_wait_is_negative_or_longer_than_a_quarter_of_an_hour(
    attempt: int, jitter: float, told: float | None, make: Callable[..., TransientError]
) -> None:
    wait = wait_after(make("x", retry_after=told), attempt, DAEMON, jitter)
    assert wait is None or 0 <= wait.seconds <= 900


async def test_the_operations_type_is_kept() -> None:
    async def number() -> int:
        return 7

    operation: Callable[[], Awaitable[int]] = number
    assert await retrying(operation, ONE_SHOT) + 1 == 8
