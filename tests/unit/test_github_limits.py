"""GitHub's limits: every way to be told to wait is waited out, and what is allowed is never exceeded."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from aiohttp import web
from multidict import CIMultiDict

from harvester.budget import Terms
from harvester.retry import Retry, Wait
from harvester.sources.github_calls import renewed
from harvester.sources.github_limits import PER_MINUTE, Limits, NotYetError, Resource, Slots
from harvester.sources.github_settings import PER_HOUR
from tests.github_organisation import (
    DAY,
    NOW,
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


def limits_of(clock: Clock, hourly: int = 4500, reserve: int = 100) -> Limits:
    return Limits(Terms(hourly=hourly, reserve=reserve, minute=PER_MINUTE, flying=10), pacing=clock.pacing)


async def patient(limits: Limits, clock: Clock, slots: Slots, resource: Resource = "core") -> str:
    """Take a turn as those do who ask: what says "not yet" is waited for, and looked at again. Why it was, at last."""
    why = ""
    while True:
        try:
            await limits.turn(resource, 1, slots)
        except NotYetError as error:
            why = str(error)
            await clock.sleep(error.seconds)
        else:
            return why


# --- what the headers say, and our own count


def test_b62_b63_the_usual_limit_and_the_five_thousand_that_github_allows_are_known() -> None:
    assert (settings().hourly_limit, settings().reserve, PER_HOUR) == (4500, 100, 5000)


async def test_b65_the_own_count_of_the_running_hour_holds_whatever_the_headers_allow() -> None:
    clock = Clock(Organisation())
    limits = limits_of(clock, hourly=10)
    for _ in range(10):
        await patient(limits, clock, Slots(1))
    limits.heard("core", {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4990", "X-RateLimit-Reset": "1893456000"})
    began = clock.seconds
    why = await patient(limits, clock, Slots(1))
    assert 3600 <= clock.seconds - began <= 3640
    assert "HARVESTER_GITHUB_HOURLY_LIMIT" in why
    assert await patient(limits, clock, Slots(1), "graphql") == "", "a bucket of its own"


async def test_b64_with_fewer_left_than_the_reserve_it_waits_for_the_reset() -> None:
    organisation = Organisation()
    clock = Clock(organisation)
    limits = limits_of(clock)
    reset = organisation.now + timedelta(minutes=20)
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "100", "X-RateLimit-Reset": f"{reset.timestamp():.0f}"}
    headers["Date"] = format_datetime(organisation.now, usegmt=True)
    limits.heard("core", headers)
    assert await patient(limits, clock, Slots(1)) == ""
    why = await patient(limits, clock, Slots(1))
    assert reset < organisation.now < reset + timedelta(seconds=10)
    assert "99 of 5,000" in why


@pytest.mark.parametrize(("headers", "left"), [
    ({"X-RateLimit-Remaining": "42"}, 42),
    ({"X-RateLimit-Used": "4958"}, 42),
    ({"X-RateLimit-Remaining": "none"}, None),
])  # fmt: skip
def test_b67_what_is_left_follows_the_headers(headers: dict[str, str], left: int | None) -> None:
    limits = limits_of(Clock())
    limits.heard("core", {"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": "1893456000", **headers})
    assert limits.bucket("core").left == left


def test_b67_answers_that_overtake_each_other_never_raise_what_is_left() -> None:
    limits = limits_of(Clock())

    def left(told: str, reset: str) -> int | None:
        headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": reset, "X-RateLimit-Remaining": told}
        limits.heard("core", headers)
        return limits.bucket("core").left

    assert [left(told, "1893456000") for told in ("50", "51", "49", "52")] == [50, 50, 49, 49]
    assert left("4999", "1893459600") == 4999
    assert left("40", "1893456000") == 4999


async def test_b67_the_buckets_of_requests_and_points_are_told_apart() -> None:
    organisation = one_pull()
    organisation.headers["X-RateLimit-Reset"] = "1893456000"
    async with served(organisation) as source:
        organisation.reply = lambda r, _: setattr(
            organisation, "headers",
            {**organisation.headers, "X-RateLimit-Remaining": "77" if r.path == "/graphql" else "4321"},
        )  # fmt: skip
        await read(await stream_of(source))
        limits = source._calls._logins[0].limits
    assert (limits.bucket("graphql").left, limits.bucket("core").left) == (77, 4320)


async def test_of_many_that_wait_for_a_reset_so_many_go_before_it_is_known_what_is_left_as_there_are_workers() -> None:
    slots, clock = Slots(3), Clock(Organisation())
    limits = limits_of(clock)
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "Date": format_datetime(NOW, usegmt=True)}
    limits.heard("core", {**headers, "X-RateLimit-Reset": f"{NOW.timestamp() + 60:.0f}"})
    gate, sent = asyncio.Event(), list[float]()

    async def one() -> None:
        await patient(limits, clock, slots)
        sent.append(clock.seconds)
        await gate.wait()
        slots.free()

    asking = [asyncio.create_task(one()) for _ in range(50)]
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(sent) == 3
    limits.heard("core", {**headers, "X-RateLimit-Remaining": "40", "X-RateLimit-Reset": f"{NOW.timestamp() + 3660:.0f}"})
    gate.set()
    for _ in range(100):
        await asyncio.sleep(0)
    assert clock.slept[-1] > 3000, "others have spent too much: the next hour is waited for"
    for task in asking:
        task.cancel()


async def test_points_a_minute_stay_below_what_github_punishes() -> None:
    clock = Clock(Organisation())
    limits, slots = limits_of(clock, hourly=10_000), Slots(1)
    sent = []
    for _ in range(PER_MINUTE + 10):
        await patient(limits, clock, slots)
        slots.free()
        sent.append(clock.seconds)
    assert sent[PER_MINUTE - 1] == sent[0]
    assert sent[PER_MINUTE] - sent[0] >= 60


async def test_points_a_minute_hold_for_those_who_waited_together_too() -> None:
    slots, clock = Slots(10), Clock(Organisation())
    limits = limits_of(clock)
    limits.block("core", 600)
    sent = list[float]()

    async def one() -> None:
        await patient(limits, clock, slots)
        sent.append(clock.seconds)
        slots.free()

    await asyncio.gather(*(one() for _ in range(PER_MINUTE + 300)))
    assert sent[0] >= 1600
    assert max(sum(start <= moment < start + 60 for moment in sent) for start in set(sent)) <= PER_MINUTE


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
    began, met = organisation.now, list[tuple[str, datetime]]()

    def reply(request: web.BaseRequest, _: str) -> web.Response | None:
        met.append((request.path, organisation.now))
        return refusal(403, SECONDARY, Retry_After="300") if len(met) == 2 else None

    async with served(organisation, PATIENT, pacing=clock.pacing) as source:
        streams = {stream.name: stream for stream in await source.streams()}
        organisation.reply = reply
        await source._calls.query("{viewer{login}}", {"id": "N_1"}, 1)
        await read(streams["issue_comments/1"])
        await read(streams["pulls/1"])
    assert [moment for _, moment in met[:2]] == [began, began]
    late = {path for path, moment in met[2:] if moment >= began + timedelta(seconds=300)}
    assert {"/graphql", "/repos/acme/widgets/issues", "/repos/acme/widgets/issues/comments"} <= late
    assert not [path for path, moment in met[2:] if moment < began + timedelta(seconds=300)]


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


async def test_after_a_wait_it_is_chosen_again_who_goes() -> None:
    organisation = one_pull()
    clock = Clock(organisation)
    async with served(organisation, PATIENT, pacing=clock.pacing, token="one,two") as source:
        one, two = (login.limits for login in source._calls._logins)
        one.block("core", 60)
        two.block("core", 100)
        usual, began = clock.sleep, clock.seconds

        async def sleep(seconds: float) -> None:
            one.block("core", 900)  # meanwhile another stream is told so
            await usual(seconds)

        source._calls._pacing = clock.pacing._replace(sleep=sleep)
        await source.streams()
    assert organisation.tokens == ["two"]
    assert clock.seconds - began == pytest.approx(100, abs=1)


async def test_several_requests_that_meet_one_refused_token_go_on_with_another() -> None:
    organisation = Organisation([Repo(n, f"r{n}", [Pull(1, at(5))]) for n in range(1, 6)])
    usual, met, both = organisation.answer, list[str](), asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token == "two" or not organisation.count("/orgs"):
            return await usual(request)
        met.append(token)
        if len(met) == 3:
            both.set()
        async with asyncio.timeout(10):
            await both.wait()
        return refusal(401, "Bad credentials")

    organisation.answer = answer  # type: ignore[method-assign]
    async with served(organisation, token="one,two,three") as source:
        streams = [s for s in await source.streams() if s.name.startswith("pulls/")]
        got = await asyncio.gather(*(read(stream) for stream in streams))
    assert sum(len(numbers(one)) for one in got) == 5
    assert len(met) >= 3


async def test_validators_hold_for_one_token_each() -> None:
    organisation, sent = one_pull(), list[tuple[str, str]]()

    def reply(request: web.BaseRequest, _: str) -> web.Response | None:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        tag = f'"tag-of-{token}"'
        sent.append((token, condition := request.headers.get("If-None-Match", "")))
        if condition == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.json_response([repo.listed() for repo in organisation.repos], headers={"ETag": tag})

    organisation.reply = reply
    async with served(organisation, token="one,two") as source:
        for _ in range(4):
            assert len(await source.streams()) == 5
    assert sent == [("one", ""), ("two", ""), ("one", '"tag-of-one"'), ("one", '"tag-of-one"')]


@pytest.mark.parametrize("name", ["x-ratelimit-remaining", "X-RateLimit-Remaining"])
def test_what_is_told_with_what_did_not_change_counts_however_its_names_are_written(name: str) -> None:
    found = renewed(CIMultiDict({"Link": "<a>", "X-Ratelimit-Remaining": "4999"}), CIMultiDict({name: "777"}))
    assert (found.get("X-RateLimit-Remaining"), found.get("link")) == ("777", "<a>")


async def test_what_did_not_change_costs_nothing_of_the_hour() -> None:
    organisation = one_pull()
    async with served(organisation) as source:
        for _ in range(5):
            assert len(await source.streams()) == 5
        bucket = source._calls._logins[0].limits.bucket("core")
    assert len(organisation.calls) == 5
    assert bucket.used == 1


def test_the_clock_of_the_tests_is_that_of_the_day() -> None:
    assert datetime(2026, 11, 1, tzinfo=UTC) == DAY.start
