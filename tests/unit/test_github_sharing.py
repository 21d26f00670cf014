"""GitHub's limits with a budget that processes share: one question a request, and reading goes on while the budget is away."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import format_datetime

import pytest
import structlog.testing

from harvester.budget import GRANTED, Account, Message, News, Terms, Verdict
from harvester.errors import TransientError
from harvester.sources.github_limits import PER_MINUTE, Limits, NotYetError, Slots
from harvester.sources.github_login import credential
from harvester.sources.github_pacing import REAL_TIME, Pacing
from harvester.sources.github_sharing import Sharing
from tests.github_organisation import NOW, TOKEN, Clock, Organisation

TERMS = Terms(hourly=2400, reserve=100, minute=PER_MINUTE, flying=4)


class Store:
    """A budget in memory, that can be away; it counts how often it was asked."""

    def __init__(self, pacing: Pacing) -> None:
        self.pacing = pacing
        self.account = Account()
        self.away = False
        self.messages: list[Message] = []
        self._news = asyncio.Event()

    async def asked(self, amount: int) -> None:
        """Returns when it was asked so often."""
        async with asyncio.timeout(5):
            while len(self.messages) < amount:
                self._news.clear()
                await self._news.wait()

    async def ask(self, _: str, message: Message) -> Verdict:
        self.messages.append(message)
        self._news.set()
        if self.away:
            raise TransientError("nobody answers")
        return self.account.ask(message, self.pacing.monotonic())

    async def accounts(self) -> Mapping[str, Account]:
        return {"key": self.account}


@asynccontextmanager
async def limits_of(store: Store, terms: Terms = TERMS) -> AsyncIterator[Limits]:
    sharing = Sharing("key", store, terms, store.pacing)
    try:
        yield Limits(terms, sharing, pacing=store.pacing)
    finally:
        await sharing.close()


async def sent(limits: Limits, slots: Slots, amount: int = 1) -> None:
    for _ in range(amount):
        await limits.turn("core", 1, slots)
        slots.free()


async def test_a_request_takes_one_round_trip_and_the_news_of_those_before_it_along() -> None:
    store = Store(REAL_TIME)
    async with limits_of(store) as limits:
        for _ in range(20):
            await sent(limits, Slots(4))
            limits.spent("core", -1)
        assert len(store.messages) == 20
    assert len(store.messages) == 21, "and what no request took along is told at the end"
    assert store.account.of("core").used == 0


async def test_what_one_process_is_told_holds_for_another() -> None:
    clock, slots = Clock(Organisation()), Slots(4)
    store = Store(clock.pacing)
    async with limits_of(store) as one, limits_of(store) as other:
        one.secondary(300)
        headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4000", "Date": format_datetime(NOW, usegmt=True)}
        one.heard("core", {**headers, "X-RateLimit-Reset": f"{NOW.timestamp() + 600:.0f}"})
        await store.asked(1)
        asked = len(store.messages)
        for _ in range(3):
            with pytest.raises(NotYetError) as raised:
                await other.turn("core", 1, slots)
        assert raised.value.seconds == pytest.approx(300)
        assert len(store.messages) - asked == 1, "what it was told once is not asked for again"
        clock.pass_by(301)
        await sent(other, slots)
        assert store.account.of("core").left == 3999


async def test_while_the_budget_is_away_reading_goes_on_at_a_quarter_of_the_hour() -> None:
    clock, slots = Clock(Organisation()), Slots(4)
    store = Store(clock.pacing)
    async with limits_of(store) as limits:
        await sent(limits, slots, 3)
        store.away = True
        began, moments = clock.seconds, list[float]()
        while clock.seconds - began < 620:
            try:
                await sent(limits, slots)
                moments.append(clock.seconds)
            except NotYetError as error:
                clock.pass_by(error.seconds)
        assert 80 <= len(moments) <= 110, "a tenth of a minute's 2,400 / 240, ten minutes long"
        store.away = False
        clock.pass_by(10)
        await sent(limits, slots)
    assert store.account.of("core").used == 3 + len(moments) + 1, "what was spent meanwhile is told afterwards"


async def test_while_the_budget_is_away_nothing_goes_faster_than_the_headers_allow() -> None:
    clock, slots = Clock(Organisation()), Slots(4)
    store = Store(clock.pacing)
    async with limits_of(store) as limits:
        store.away = True
        headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "101", "Date": format_datetime(NOW, usegmt=True)}
        limits.heard("core", {**headers, "X-RateLimit-Reset": f"{NOW.timestamp() + 600:.0f}"})
        await sent(limits, slots, 2)
        with pytest.raises(NotYetError, match="99 of 5,000"):
            await sent(limits, slots)


async def test_that_the_budget_is_away_is_told_once() -> None:
    clock, slots = Clock(Organisation()), Slots(4)
    store = Store(clock.pacing)
    with structlog.testing.capture_logs() as logs:
        async with limits_of(store) as limits:
            store.away = True
            for _ in range(4):
                await sent(limits, slots)
                clock.pass_by(6)
            assert len(store.messages) == 4, "and it is asked again each five seconds"
            store.away = False
            await sent(limits, slots)
    assert [(entry["log_level"], entry["event"].split()[3:6]) for entry in logs] == [
        ("warning", ["is", "away;", "reading"]),
        ("info", ["there", "again"]),
    ]


async def test_requests_in_flight_are_told_and_taken_back() -> None:
    store, slots = Store(REAL_TIME), Slots(4)
    async with limits_of(store) as one, limits_of(store) as other:
        for _ in range(4):
            await one.turn("core", 1, slots)
        waiting = asyncio.create_task(other.turn("core", 1, Slots(4)))
        await store.asked(8)
        assert not waiting.done()
        slots.free()
        async with asyncio.timeout(5):
            await waiting
        assert sum(count for count, _ in store.account.flying.values()) == 4


def test_the_name_of_a_credential_tells_nothing_of_it() -> None:
    name = credential("https://api.github.com", TOKEN)
    assert name.startswith("github-")
    assert TOKEN not in name
    assert name == credential("https://api.github.com", TOKEN)
    assert len({name, credential("https://api.github.com", "other"), credential("https://host", TOKEN)}) == 3


class _Slow:
    """A budget that answers when it may."""

    def __init__(self) -> None:
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        self.news: list[News] = []

    async def ask(self, key: str, message: Message) -> Verdict:
        self.asked.set()
        await self.may.wait()
        self.news += message.news
        return GRANTED

    async def accounts(self) -> Mapping[str, Account]:
        return {}


async def test_a_cancelled_question_does_not_lose_the_news_it_took_along() -> None:
    budget = _Slow()
    sharing = Sharing("key", budget, Terms(hourly=4500, reserve=100, minute=800, flying=10))
    sharing.note(News(resource="core", spent=7, blocked=60.0))
    asking = asyncio.create_task(sharing.ask("core", 1))
    await budget.asked.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    budget.may.set()
    await sharing.close()
    assert [one.spent for one in budget.news] == [7]
    assert all(one.blocked > 50 for one in budget.news)
