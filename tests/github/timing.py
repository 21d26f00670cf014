"""Time that passes only where somebody waits: months of limits, pauses and resets take minutes."""

import asyncio
from datetime import timedelta
from random import Random

from aiohttp import web
from aiohttp.typedefs import Handler

from harvester.sources.github_pacing import Pacing

_WAY = 0.02
"""Seconds that a request or an answer is on its way, at most: as short as makes the limits of a minute bite."""


class Hours:
    """Seconds that both sides go by. Every wait of the harvester and every way over the network moves them on."""

    def __init__(self, seed: str) -> None:
        self._now = 0.0
        self._dice = Random(seed)

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Those who sleep at the same time sleep through the same seconds."""
        until = self._now + max(0.0, seconds)
        await asyncio.sleep(0)
        self._now = max(self._now, until)

    def leap(self, by: timedelta) -> None:
        """Nobody asks anything meanwhile."""
        self._now += by.total_seconds()

    @property
    def pacing(self) -> Pacing:
        """What the source waits by."""
        return Pacing(self.now, self.sleep)

    @web.middleware
    async def network(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Outermost at the vendor: what arrives was sent a moment ago."""
        self._now += self._dice.uniform(0.001, _WAY)
        try:
            return await handler(request)
        finally:
            self._now += self._dice.uniform(0.001, _WAY)
