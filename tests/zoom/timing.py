"""Time that passes only where somebody waits: sixty days of limits, pauses and midnights take minutes."""

import asyncio
from datetime import timedelta
from random import Random

from aiohttp import web
from aiohttp.typedefs import Handler

from harvester.sources.zoom_limits import Pacing

_WAY = 0.02
"""Seconds that a request or an answer is on its way, at most: as short as makes the limits of a second bite."""


class Hours:
    """Seconds that both sides go by. Every wait of the harvester and every way over the network moves them on."""

    def __init__(self, seed: str) -> None:
        self._now = 0.0
        self._dice = Random(seed)
        self.waited = 0.0
        """Seconds that the harvester waited, for limits and between tries."""

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.waited += max(0.0, seconds)
        self._now += max(0.0, seconds)
        await asyncio.sleep(0)

    def leap(self, by: timedelta) -> None:
        """Nobody asks anything meanwhile."""
        self._now += by.total_seconds()

    @property
    def pacing(self) -> Pacing:
        """What the source waits by."""
        return Pacing(self.now, self.sleep)

    def on_the_way(self) -> None:
        """A request or an answer goes over the network."""
        self._now += self._dice.uniform(0.001, _WAY)

    @web.middleware
    async def network(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Outermost at the vendor: what arrives was sent a moment ago."""
        self.on_the_way()
        try:
            return await handler(request)
        finally:
            self.on_the_way()
