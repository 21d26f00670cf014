"""A client as plain as can be, to look at what a sandbox serves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
import msgspec

from harvester.sandbox.opencast import ACTIONS, EPISODES
from harvester.sandbox.serve import Running, serve
from harvester.sandbox.settings import SandboxSettings

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)  # a Tuesday
HOUR_BEFORE = {"start": "20261103110000", "end": "20261103115959"}
TEN, ELEVEN = datetime(2026, 11, 2, 10, tzinfo=UTC), datetime(2026, 11, 2, 11, tzinfo=UTC)
OLD_HOUR = {"start": "20261102100000", "end": "20261102105959"}


class Got(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client(NamedTuple):
    running: Running
    session: aiohttp.ClientSession

    async def get(self, path: str, headers: dict[str, str] | None = None, /, **query: str | int) -> Got:
        url = self.running.url + path
        async with self.session.get(url, params=query, headers=headers, allow_redirects=False) as response:
            return Got(response.status, response.headers, await response.read())

    async def post(self, path: str, order: object = None) -> Got:
        body = b"" if order is None else msgspec.json.encode(order)
        async with self.session.post(self.running.url + path, data=body) as response:
            return Got(response.status, response.headers, await response.read())

    async def actions(self, **query: str | int) -> list[Any]:
        """The rows of one answer, whatever their number."""
        found = (await self.get(ACTIONS, **query)).json["actions"].get("action", [])
        return found if isinstance(found, list) else [found]

    async def paged(self, limit: int, **query: str | int) -> list[Any]:
        """All rows, page by page until the first empty one."""
        rows: list[Any] = []
        while page := await self.actions(limit=limit, offset=len(rows), **query):
            rows += page
        return rows

    async def episode(self, mpid: str) -> Any:
        return (await self.get(EPISODES, id=mpid)).json


@asynccontextmanager
async def sandbox(**switches: Any) -> AsyncIterator[Client]:
    """A sandbox whose clock stands still at NOON, unless switched otherwise, and a client."""
    settings = SandboxSettings(**{"now": NOON, "speed": 0, "retry_after": 0, "slow": 0, **switches})
    async with serve(settings) as running, aiohttp.ClientSession() as session:
        yield Client(running, session)
