"""The contract of rate budgets: whoever keeps the account of a credential, all who share it are told the same."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from harvester.budget import Account, Budget, Heard, Message, News, Plan, Terms, Verdict
from harvester.budgets import beside, file, known, open_budget
from harvester.errors import ConfigError, TransientError
from tests.contracts.stores import digest
from tests.servers.fixtures import Servers

Opener = Callable[[], AbstractAsyncContextManager[Budget]]
TERMS = Terms(hourly=20, reserve=5, minute=1000, flying=4)
BACKFILL = msgspec.structs.replace(TERMS, keeps=0.25)
RESET = 1_900_000_000


@pytest.fixture(params=["file", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Opener:
    """Opens the test's budgets, as often as one likes."""
    folder = f"file://{tmp_path}/budgets"
    url = folder if request.param == "file" else f"{servers.get('redis').url}/0?prefix={digest(tmp_path)}"
    return lambda: open_budget(url)


def asks(who: str = "a", flying: int = 0, terms: Terms = TERMS, **more: object) -> Message:
    return Message(**{"who": who, "flying": flying, "terms": terms, "resource": "core", "cost": 1, **more})  # type: ignore[arg-type]


def says(who: str = "a", *news: News, flying: int = 0, plan: Plan | None = None) -> Message:
    return Message(who=who, flying=flying, terms=TERMS, news=news, plan=plan)


def left(amount: int, reset: int = RESET, seconds: float = 900.0, limit: int = 5000) -> News:
    return News(resource="core", heard=Heard(limit, amount, reset, seconds))


async def whys(budget: Budget, *messages: Message) -> list[str]:
    return [(await budget.ask("key", message)).why for message in messages]


async def test_b65_the_hour_is_counted_over_all_processes(opened: Opener) -> None:
    async with opened() as one, opened() as other:
        for _ in range(10):
            assert await whys(one, asks("a")) == [""]
            assert await whys(other, asks("b")) == [""]
        verdict = await one.ask("key", asks("a"))
        assert verdict.why == "hour"
        assert verdict.used == 20
        assert 3500 < verdict.seconds <= 3630
        assert await whys(one, asks("a", resource="graphql")) == [""]
        assert (await one.ask("another", asks("a"))).why == ""


async def test_what_a_request_did_not_cost_is_given_back(opened: Opener) -> None:
    async with opened() as budget:
        for _ in range(20):
            await budget.ask("key", asks())
        assert await whys(budget, asks(news=[News(resource="core", spent=-1)]), asks()) == ["", "hour"]


async def test_b64_b67_what_the_vendor_leaves_is_known_to_all_and_counted_down(opened: Opener) -> None:
    async with opened() as one, opened() as other:
        await one.ask("key", says("a", left(6)))
        assert await whys(other, asks("b"), asks("b")) == ["", ""]
        verdict = await one.ask("key", asks("a"))
        assert (verdict.why, verdict.left, verdict.limit) == ("left", 4, 5000)
        assert 890 < verdict.seconds <= 900


async def test_b67_of_one_period_the_least_is_believed_and_a_new_one_begins_anew(opened: Opener) -> None:
    async with opened() as budget:
        for news, told in ((left(50), 50), (left(51), 50), (left(4), 4), (left(4000, RESET + 3600), 4000), (left(1), 4000)):
            await budget.ask("key", says("a", news))
            account = (await budget.accounts())["key"]
            assert account.of("core").left == told


async def test_behind_the_reset_it_goes_on(opened: Opener) -> None:
    async with opened() as budget:
        await budget.ask("key", says("a", left(0, seconds=0.2)))
        assert await whys(budget, asks()) == ["left"]
        await _granted(budget, asks())


async def test_b66_a_wait_that_one_was_asked_for_holds_for_all(opened: Opener) -> None:
    async with opened() as one, opened() as other:
        await one.ask("key", says("a", News(resource="core", blocked=0.3)))
        verdict = await other.ask("key", asks("b"))
        assert verdict.why == "told"
        assert 0 < verdict.seconds <= 0.3
        await _granted(other, asks("b"))


async def test_requests_of_a_minute_are_counted_over_both_resources_and_all_processes(opened: Opener) -> None:
    few = msgspec.structs.replace(TERMS, minute=3)
    async with opened() as one, opened() as other:
        assert await whys(one, asks("a", terms=few), asks("a", terms=few, resource="graphql")) == ["", ""]
        assert await whys(other, asks("b", terms=few)) == [""]
        verdict = await other.ask("key", asks("b", terms=few))
        assert verdict.why == "minute"
        assert 55 < verdict.seconds <= 64


async def test_b38_requests_in_flight_are_counted_over_all_processes(opened: Opener) -> None:
    async with opened() as one, opened() as other:
        assert await whys(one, asks("a", 0), asks("a", 1), asks("a", 2)) == ["", "", ""]
        assert await whys(other, asks("b", 0), asks("b", 1)) == ["", "flying"]
        await one.ask("key", says("a", flying=1))
        assert await whys(other, asks("b", 1)) == [""]


async def test_requests_in_flight_of_a_killed_process_are_forgotten(tmp_path: Path) -> None:
    moment = 1000.0
    async with file.open_budget(f"file://{tmp_path}", now=lambda: moment) as budget:
        assert await whys(budget, *(asks("a", flying) for flying in range(4)), asks("b")) == ["", "", "", "", "flying"]
        moment += 6
        assert await whys(budget, asks("b")) == [""]


async def test_backfills_leave_their_part_of_the_hour_to_live_reading(opened: Opener) -> None:
    async with opened() as budget:
        for _ in range(15):
            await budget.ask("key", asks("backfill", terms=BACKFILL))
        assert await whys(budget, asks("backfill", terms=BACKFILL)) == ["hour"]
        assert await whys(budget, *(asks("live") for _ in range(5))) == [""] * 5
        assert await whys(budget, asks("live")) == ["hour"]


async def test_backfills_leave_their_part_of_what_the_vendor_leaves(opened: Opener) -> None:
    async with opened() as budget:
        await budget.ask("key", says("live", left(1254)))
        assert await whys(budget, asks("backfill", terms=BACKFILL), asks("live")) == ["left", ""]


async def test_backfills_leave_room_in_flight_and_let_who_found_none_go_first(opened: Opener) -> None:
    async with opened() as budget:
        assert await whys(budget, *(asks("backfill", flying, BACKFILL) for flying in range(4))) == ["", "", "", "flying"]
        assert await whys(budget, asks("live"), asks("live", 1)) == ["", "flying"]
        await budget.ask("key", says("backfill", flying=0))
        assert await whys(budget, asks("backfill", 0, BACKFILL)) == ["flying"]
        assert await whys(budget, asks("live", 1)) == [""]


async def test_a_backfill_is_known_by_what_it_tells(opened: Opener) -> None:
    plan = Plan(name="github/pulls/1", done=0.25, ends=1.9e9)
    async with opened() as one, opened() as other:
        await one.ask("key", says("a", plan=plan))
        account = (await other.accounts())["key"]
        assert [found for found, _ in account.plans.values()] == [plan]
        assert account.hourly == 20


async def test_every_store_decides_as_an_account_does(opened: Opener) -> None:
    differ = ["not asked"]
    async with opened() as budget:
        # What is forgotten just between our look at the clock and the store's is told otherwise by the two: once, not thrice.
        while differ[-1] and len(differ) <= 3:
            differ.append(await _differs(budget, f"key{len(differ)}"))
    assert differ[-1] == "", differ


async def _differs(budget: Budget, key: str) -> str:
    """Ask both the same three hundred times: where they differ first, "" when they do not."""
    draw, account, seen = random.Random(7), Account(), set[str]()
    for number in range(300):
        message = _any(draw)
        should, told = account.ask(message, time.time()), await budget.ask(key, message)
        if _rounded(told) != _rounded(should) or told.seconds != pytest.approx(should.seconds, abs=3):
            return f"{number}: {told} instead of {should}"
        seen.add(told.why)
    there = (await budget.accounts())[key]
    assert seen == {"", "told", "hour", "left", "minute", "flying"}
    for name in ("core", "graphql"):
        assert (there.of(name).used, there.of(name).left) == (account.of(name).used, account.of(name).left)
    return ""


def _any(draw: random.Random) -> Message:
    """Of three processes, two resources, and limits that are all met within a few hundred."""
    resource, keeps = draw.choice(["core", "graphql"]), draw.choice([0, 0.2])
    terms = Terms(hourly=draw.choice([150, 5000]), reserve=5, minute=draw.choice([40, 1000]), flying=7, keeps=keeps)
    news: list[News] = []
    if draw.random() < 0.2:
        news.append(News(resource=resource, spent=draw.randint(-1, 5)))
    if draw.random() < 0.2:
        told = draw.choice([None, *range(0, 900, 50)])
        news.append(News(resource=resource, heard=Heard(draw.choice([None, 1000]), told, RESET + draw.randint(0, 20), 500.0)))
    if draw.random() < 0.02:
        news.append(News(resource="graphql", blocked=600.0))
    flying, cost = draw.randint(0, 3), draw.randint(1, 3)
    return Message(who=draw.choice("abc"), flying=flying, terms=terms, resource=resource, cost=cost, news=news)


def _rounded(verdict: Verdict) -> Verdict:
    return verdict._replace(seconds=0.0)


async def _granted(budget: Budget, message: Message) -> None:
    async with asyncio.timeout(5):
        verdict = await budget.ask("key", message)
        await asyncio.sleep(verdict.seconds)
        assert not (await budget.ask("key", message)).why


async def test_a_store_that_is_away_is_a_transient_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with AsyncExitStack() as stack:
        away = await stack.enter_async_context(open_budget("redis://127.0.0.1:1/0?timeout=0.2"))
        with pytest.raises(TransientError):
            await away.ask("key", asks())


async def test_a_torn_file_is_begun_anew(tmp_path: Path) -> None:
    async with open_budget(f"file://{tmp_path}") as budget:
        await budget.ask("key", asks())
        (tmp_path / "key.json").write_bytes(b'{"buckets":{"co')
        assert await whys(budget, asks()) == [""]


@pytest.mark.parametrize(("coverage", "budget"), [
    ("file://var/coverage", "file://var/coverage/budgets"),
    ("file:///srv/coverage?patience=3", "file:///srv/coverage/budgets"),
    ("redis://cache:6379/2?prefix=mine&lease=9", "redis://cache:6379/2?prefix=mine"),
    ("rediss://cache/0", "rediss://cache/0"),
    ("s3://bucket/prefix", ""),
])  # fmt: skip
def test_budgets_are_kept_beside_the_coverage(coverage: str, budget: str) -> None:
    assert beside(coverage) == budget


def test_an_unknown_store_is_named() -> None:
    with pytest.raises(ConfigError, match="kafka"):
        known("kafka://broker/x")
