"""GitHub's limits: every way to be told to wait is waited out, and what is allowed is never exceeded."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from aiohttp import web

from harvester.retry import Retry, Wait
from harvester.sources.github_limits import PER_MINUTE, Limits, Slots
from harvester.sources.github_settings import PER_HOUR
from tests.github_organisation import (
    DAY,
    NOW,
    TOKEN,
    Clock,
    Organisation,
    Pull,
    Repo,
    at,
    numbers,
    read,
    refusal,
    served,
    settings,
    stream_of,
)

PATIENT = Retry(attempts=2, scale=1)
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again"


def one_pull() -> Organisation:
    return Organisation([Repo(pulls=[Pull(1, at(5))])])


def limits_of(clock: Clock, hourly: int = 4500, reserve: int = 100) -> tuple[Limits, list[Wait]]:
    told: list[Wait] = []
    return Limits(hourly, reserve, told.append, pacing=clock.pacing), told


# --- what the headers say, and our own count


def test_b62_b63_the_usual_limit_and_the_five_thousand_that_github_allows_are_known() -> None:
    assert (settings().hourly_limit, settings().reserve, PER_HOUR) == (4500, 100, 5000)


async def test_b65_the_own_count_of_the_running_hour_holds_whatever_the_headers_allow() -> None:
    organisation = Organisation()
    clock = Clock(organisation)
    limits, told = limits_of(clock, hourly=10)
    for _ in range(10):
        await limits.turn("core", 1, Slots(1))
    limits.buckets["core"].heard(
        {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4990", "X-RateLimit-Reset": "1893456000"}
    )
    began = clock.seconds
    await limits.turn("core", 1, Slots(1))
    assert clock.seconds - began == pytest.approx(3600, abs=5)
    assert "HARVESTER_GITHUB_HOURLY_LIMIT" in told[0].text
    await limits.turn("graphql", 1, Slots(1))  # a bucket of its own
    assert clock.seconds - began == pytest.approx(3600, abs=5)


async def test_b64_with_fewer_left_than_the_reserve_it_waits_for_the_reset() -> None:
    organisation = Organisation()
    clock = Clock(organisation)
    limits, told = limits_of(clock)
    reset = organisation.now + timedelta(minutes=20)
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "100", "X-RateLimit-Reset": f"{reset.timestamp():.0f}"}
    headers["Date"] = format_datetime(organisation.now, usegmt=True)
    limits.buckets["core"].heard(headers)
    await limits.turn("core", 1, Slots(1))
    assert not clock.slept
    await limits.turn("core", 1, Slots(1))
    assert reset < organisation.now < reset + timedelta(seconds=10)
    assert "99 of 5,000" in told[0].text


@pytest.mark.parametrize(("headers", "left"), [
    ({"X-RateLimit-Remaining": "42"}, 42),
    ({"X-RateLimit-Used": "4958"}, 42),
    ({"X-RateLimit-Remaining": "none"}, None),
])  # fmt: skip
def test_b67_what_is_left_follows_the_headers(headers: dict[str, str], left: int | None) -> None:
    bucket = limits_of(Clock())[0].buckets["core"]
    bucket.heard({"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": "1893456000", **headers})
    assert bucket.remaining == left


def test_b67_answers_that_overtake_each_other_never_raise_what_is_left() -> None:
    bucket = limits_of(Clock())[0].buckets["core"]
    for left in ("50", "51", "49", "52"):
        bucket.heard({"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": "1893456000", "X-RateLimit-Remaining": left})
    assert bucket.remaining == 49
    bucket.heard({"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": "1893459600", "X-RateLimit-Remaining": "4999"})
    assert bucket.remaining == 4999
    bucket.heard({"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": "1893456000", "X-RateLimit-Remaining": "40"})
    assert bucket.remaining == 4999


async def test_b67_the_buckets_of_requests_and_points_are_told_apart() -> None:
    organisation = one_pull()
    organisation.headers["X-RateLimit-Reset"] = "1893456000"
    async with served(organisation) as source:
        organisation.reply = lambda r, _: setattr(
            organisation, "headers",
            {**organisation.headers, "X-RateLimit-Remaining": "77" if r.path == "/graphql" else "4321"},
        )  # fmt: skip
        await read(await stream_of(source))
        buckets = source._calls._logins[0].limits.buckets
    assert (buckets["graphql"].remaining, buckets["core"].remaining) == (77, 4320)


async def test_of_many_that_wait_for_a_reset_so_many_go_before_it_is_known_what_is_left_as_there_are_workers() -> None:
    organisation, slots = Organisation(), Slots(3)
    clock = Clock(organisation)
    limits, _ = limits_of(clock)
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "Date": format_datetime(NOW, usegmt=True)}
    limits.buckets["core"].heard({**headers, "X-RateLimit-Reset": f"{NOW.timestamp() + 60:.0f}"})
    asking = [asyncio.create_task(limits.turn("core", 1, slots)) for _ in range(50)]
    for _ in range(1000):
        await asyncio.sleep(0)
    assert sum(task.done() for task in asking) == 3
    limits.buckets["core"].heard({**headers, "X-RateLimit-Remaining": "40", "X-RateLimit-Reset": f"{NOW.timestamp() + 3660:.0f}"})
    slots.free()
    for _ in range(100):
        await asyncio.sleep(0)
    assert clock.slept[-1] > 3000, "others have spent too much: the next hour is waited for"
    for task in asking:
        task.cancel()


async def test_points_a_minute_stay_below_what_github_punishes() -> None:
    organisation = Organisation()
    clock = Clock(organisation)
    limits, _ = limits_of(clock, hourly=10_000)
    sent = []
    for _ in range(PER_MINUTE + 10):
        await limits.turn("core", 1, Slots(1))
        sent.append(clock.seconds)
    assert sent[PER_MINUTE - 1] == sent[0]
    assert sent[PER_MINUTE] - sent[0] >= 60


async def test_b6_b38_never_more_in_flight_than_workers_over_all_streams() -> None:
    organisation = Organisation([Repo(n, f"r{n}", [Pull(1, at(5))]) for n in range(1, 21)])
    usual = organisation.answer
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        organisation.in_flight += 1
        organisation.most_in_flight = max(organisation.most_in_flight, organisation.in_flight)
        if "/issues" in request.path:
            if organisation.in_flight == 4:
                arrived.set()
            await gate.wait()
        organisation.in_flight -= 1
        return await usual(request)

    organisation.answer = slow  # type: ignore[method-assign]
    async with served(organisation, max_workers=4) as source:
        streams = [s for s in await source.streams() if s.name.startswith("pulls/")]
        reading = asyncio.gather(*(read(stream) for stream in streams))
        async with asyncio.timeout(10):
            await arrived.wait()
        gate.set()
        assert sum(len(numbers(got)) for got in await reading) == 20
    assert organisation.most_in_flight == 4


# --- being told to wait


def _answers(when: datetime) -> dict[str, tuple[web.Response, float]]:
    reset = {"X_RateLimit_Remaining": "0", "X_RateLimit_Limit": "5000"}
    return {
        "429 in seconds": (refusal(429, SECONDARY, Retry_After="8"), 8),
        "429 as a date": (refusal(429, SECONDARY, Retry_After=format_datetime(when + timedelta(seconds=30), usegmt=True)), 30),
        "429 without": (refusal(429, "slow down"), 60),
        "403 in seconds": (refusal(403, SECONDARY, Retry_After="2000"), 2000),
        "403 secondary": (refusal(403, SECONDARY, X_RateLimit_Remaining="4000"), 60),
        "403 gh-limited-by": (refusal(403, "no", gh_limited_by="search-elapsed-time-shared-grouped"), 60),
        "403 primary": (
            refusal(403, "API rate limit exceeded", X_RateLimit_Reset=f"{when.timestamp() + 900:.0f}", **reset), 900
        ),
        "429 primary": (refusal(429, "", X_RateLimit_Reset=f"{when.timestamp() + 900:.0f}", **reset), 900),
        "graphql": (
            web.json_response({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]},
                              headers={"X-RateLimit-Reset": f"{when.timestamp() + 600:.0f}"}), 600,
        ),
        "graphql by another name": (web.json_response({"errors": [{"type": "RATE_LIMIT", "message": ""}]},
                                                      headers={"X-RateLimit-Reset": f"{when.timestamp() + 600:.0f}"}), 600),
        "graphql secondary": (web.json_response({"errors": [{"message": SECONDARY}]}), 60),
    }  # fmt: skip


@pytest.mark.parametrize("how", _answers(NOW))
async def test_b66_every_way_to_say_wait_is_waited_out_and_then_it_goes_on(how: str) -> None:
    organisation, told = one_pull(), list[Wait]()
    clock = Clock(organisation)
    answer, seconds = _answers(NOW)[how]
    met: list[datetime] = []

    def reply(request: web.BaseRequest, _: str) -> web.Response | None:
        wanted = "/graphql" if how.startswith("graphql") else "/issues"
        if not request.path.endswith(wanted):
            return None
        met.append(organisation.now)
        return answer if len(met) == 1 else None

    organisation.reply = reply
    async with served(organisation, PATIENT, pacing=clock.pacing, on_wait=told.append) as source:
        assert numbers(await read(await stream_of(source))) == [1]
    assert len(met) >= 2
    assert timedelta(seconds=seconds) <= met[1] - met[0] <= timedelta(seconds=seconds + 5)
    assert told[0].reason == "rate_limited"


async def test_secondary_limits_without_a_time_are_waited_out_twice_as_long_each_time() -> None:
    organisation = one_pull()
    clock = Clock(organisation)
    met: list[datetime] = []

    def reply(request: web.BaseRequest, _: str) -> web.Response | None:
        if not request.path.endswith("/issues"):
            return None
        met.append(organisation.now)
        return refusal(403, SECONDARY) if len(met) < 4 else None

    organisation.reply = reply
    async with served(organisation, PATIENT, pacing=clock.pacing) as source:
        await read(await stream_of(source))
    assert [(b - a).total_seconds() for a, b in pairwise(met)][:3] == [60, 120, 240]


async def test_a_secondary_limit_stops_every_stream_and_both_apis() -> None:
    organisation = one_pull()
    clock = Clock(organisation)
    async with served(organisation, PATIENT, pacing=clock.pacing) as source:
        limits = source._calls._logins[0].limits
        limits.secondary(120)
        assert limits.ready("core")[0] == limits.ready("graphql")[0] == 120


# --- several tokens


async def test_of_several_tokens_the_one_that_may_goes_on() -> None:
    organisation = one_pull()
    clock = Clock(organisation)
    organisation.reply = lambda r, _: (
        refusal(403, SECONDARY, Retry_After="900") if r.headers["Authorization"] == "Bearer one" else None
    )
    async with served(organisation, PATIENT, pacing=clock.pacing, token="one, two") as source:
        assert numbers(await read(await stream_of(source))) == [1]
    assert not clock.slept
    assert organisation.tokens.count("one") == 1


async def test_validators_hold_for_one_token_each() -> None:
    organisation = one_pull()
    async with served(organisation, token="one,two") as source:
        for _ in range(4):
            await source.streams()
    assert {*organisation.tokens} == {"one", "two"} or {*organisation.tokens} == {"one"}
    assert TOKEN not in organisation.tokens


async def test_what_did_not_change_costs_nothing_of_the_hour() -> None:
    organisation = one_pull()
    async with served(organisation) as source:
        for _ in range(5):
            assert len(await source.streams()) == 5
        bucket = source._calls._logins[0].limits.buckets["core"]
    assert len(organisation.calls) == 5
    assert bucket.used == 1


def test_the_clock_of_the_tests_is_that_of_the_day() -> None:
    assert datetime(2026, 11, 1, tzinfo=UTC) == DAY.start
