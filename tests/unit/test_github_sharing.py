"""What became of requests is told to the budget, also when whoever was to take it along is cancelled."""

import asyncio
from collections.abc import Mapping

from harvester.budget import GRANTED, Account, Message, News, Terms, Verdict
from harvester.sources.github_sharing import Sharing


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
