"""What one credential's limits share with other processes: a question for each request, and what became of those before it.

News go along with the next request; only what no request takes along is told by itself.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

import structlog

from harvester.budget import Backfill, Budget, Heard, Message, News, Terms, Verdict
from harvester.errors import HarvesterError
from harvester.sources.github_pacing import REAL_TIME, Pacing

_log = structlog.get_logger(__name__)
_ASK_AGAIN = 5.0
"""Seconds between two tries of a store that is away."""
_TELL_LATER = 0.2
"""Seconds that news wait for a request that takes them along."""
_BEAT = 1.5
"""Seconds after which requests in flight, and how far a backfill is, are told again."""


class _Kept(NamedTuple):
    """Of one resource, what is not told yet; moments by our seconds."""

    spent: int = 0
    heard: Heard | None = None
    heard_at: float = 0.0
    blocked: float = float("-inf")


class Sharing:
    """One credential of one process, before the budget of all. How far a `backfill` is is told along."""

    def __init__(
        self, key: str, budget: Budget, terms: Terms, pacing: Pacing = REAL_TIME, backfill: Backfill | None = None
    ) -> None:
        self.key = key
        self.flying = 0
        """Requests in flight."""
        self._backfill = backfill
        self._budget = budget
        self._terms = terms
        self._pacing = pacing
        self._who = uuid4().hex[:12]
        self._kept: dict[str, _Kept] = {}
        self._away, self._warned = float("-inf"), False
        self._turns = asyncio.Lock()
        self._telling: asyncio.Task[None] | None = None

    async def ask(self, resource: str, cost: int) -> Verdict | None:
        """Whether a request may go, by the word of all; None: nobody knows, the store is away."""
        async with self._turns:
            if self._now() < self._away:
                return None
            return await self._say(resource, cost)

    def note(self, news: News) -> None:
        """To be told with the next request, or soon."""
        kept, heard, now = self._kept.get(news.resource, _Kept()), news.heard, self._now()
        if heard is not None and (kept.heard is None or heard.reset > kept.heard.reset or _less(heard, kept.heard)):
            kept = kept._replace(heard=heard, heard_at=now)
        blocked = max(kept.blocked, now + news.blocked) if news.blocked else kept.blocked
        self._kept[news.resource] = kept._replace(spent=kept.spent + news.spent, blocked=blocked)
        self.later()

    def later(self) -> None:
        """Something changed that others should know soon."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Tell what is not told yet. Nothing is in flight any more."""
        if self._telling is None:
            return
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        self.flying = 0
        await self._say()

    async def _tell(self) -> None:
        seconds = _TELL_LATER
        while True:
            await asyncio.sleep(seconds)
            async with self._turns:
                await self._say()
            if not (self.flying or self._kept or self._backfill):
                return
            seconds = _ASK_AGAIN if self._warned else _TELL_LATER if self._kept else _BEAT

    async def _say(self, resource: str = "", cost: int = 0) -> Verdict | None:
        kept, self._kept = self._kept, {}
        message = Message(
            who=self._who,
            flying=self.flying,
            terms=self._terms,
            resource=resource,
            cost=cost,
            news=self._news(kept),
            plan=self._backfill.plan if self._backfill else None,
        )
        try:
            verdict = await self._budget.ask(self.key, message)
        except HarvesterError as error:
            self._take_back(kept)
            self._is_away(error)
            return None
        except asyncio.CancelledError:
            # Whether the store took it is not known. Told twice it only makes careful; what is given back is given once at most.
            self._take_back({name: one._replace(spent=max(0, one.spent)) for name, one in kept.items()})
            raise
        if self._warned:
            _log.info("the budget is there again", source="github", credential=self.key)
        self._away, self._warned = float("-inf"), False
        return verdict

    def _news(self, kept: dict[str, _Kept]) -> Sequence[News]:
        """What was kept, as of now."""
        now, found = self._now(), []
        for name, one in kept.items():
            heard = one.heard
            if heard is not None:
                heard = Heard(heard.limit, heard.left, heard.reset, heard.seconds - (now - one.heard_at))
            found.append(News(resource=name, spent=one.spent, heard=heard, blocked=max(0.0, one.blocked - now)))
        return found

    def _take_back(self, kept: dict[str, _Kept]) -> None:
        later, self._kept = self._kept, kept
        for name, one in later.items():
            before = kept.get(name, _Kept())
            newer = one if one.heard is not None else before
            blocked = max(before.blocked, one.blocked)
            self._kept[name] = _Kept(before.spent + one.spent, newer.heard, newer.heard_at, blocked)

    def _is_away(self, error: HarvesterError) -> None:
        self._away = self._now() + _ASK_AGAIN
        if not self._warned:
            what = "the rate budget is away; reading goes on slowly, as if others spent as much as this process"
            _log.warning(what, source="github", credential=self.key, error=str(error))
        self._warned = True

    def _now(self) -> float:
        return self._pacing.monotonic()


def _less(one: Heard, other: Heard) -> bool:
    return one.reset == other.reset and one.left is not None and (other.left is None or one.left < other.left)
