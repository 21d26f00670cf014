"""A client as plain as can be, to look at what a simulated Zoom serves."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from harvester.sandbox.clock import moment_of
from harvester.sandbox.serve import RunningZoom, serve
from harvester.sandbox.zoom import TOKEN
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from harvester.sandbox.zoom_world import Meeting
from tests.unit.sandboxes import Got

Query = dict[str, str | int]

NOON = datetime(2026, 11, 12, 12, tzinfo=UTC)  # a Thursday
QUIET: Query = {"from": "2026-11-02", "to": "2026-11-03"}
"""Days that have come to rest."""
SPAN = (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC))
FREE = {"limits": "counted"}


def encoded(uuid: str, times: int = 2) -> str:
    return quote(quote(uuid, safe=""), safe="") if times == 2 else quote(uuid, safe="")


class ZoomClient:
    def __init__(self, running: RunningZoom, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.session = session
        self.token = ""

    async def sign_in(self, user: str = "sandbox-client:sandbox", **form: str) -> Got:
        """A token, kept for what follows."""
        form = {"grant_type": "account_credentials", "account_id": "sandbox-account", **form}
        basic = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
        async with self.session.post(self.running.url + TOKEN, data=form, headers=basic) as response:
            got = Got(response.status, response.headers, await response.read())
        if got.status == 200:
            self.token = got.json["access_token"]
        return got

    async def get(self, path: str, /, **query: str | int) -> Got:
        """The answer to a call under /v2, its path sent as it is."""
        if not self.token:
            await self.sign_in()
        url = URL(f"{self.running.url}/v2{path}", encoded=True).update_query(query)
        async with self.session.get(url, headers={"Authorization": f"Bearer {self.token}"}) as response:
            return Got(response.status, response.headers, await response.read())

    async def control(self, path: str, order: object = None) -> Any:
        body = b"" if order is None else msgspec.json.encode(order)
        async with self.session.post(self.running.url + path, data=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def rows(self, path: str, name: str, /, **query: str | int) -> list[Any]:
        """All rows, page by page to the last one."""
        found: list[Any] = []
        token = ""
        while True:
            answer = await self.get(path, **query, **({"next_page_token": token} if token else {}))
            assert answer.status == 200, answer.body
            found += answer.json[name]
            token = answer.json["next_page_token"]
            if not token:
                return found

    async def meetings(self, kind: str = "past", **query: str | int) -> list[Any]:
        given: Query = {"type": kind, "page_size": 300, **QUIET, **query}
        return await self.rows("/metrics/meetings", "meetings", **given)

    async def participants(self, uuid: str, **query: str | int) -> list[Any]:
        given: Query = {"type": "past", "page_size": 300, **query}
        return await self.rows(f"/metrics/meetings/{encoded(uuid)}/participants", "participants", **given)

    def at(self, ms: int) -> None:
        """Set the clock; the next call gets a new token."""
        self.running.clock.set(moment_of(ms))
        self.token = ""

    def advance(self, **by: float) -> None:
        self.running.clock.advance(timedelta(**by))

    def made(self, days: int = 30) -> list[Meeting]:
        """Every meeting of the last days, whatever is told of it."""
        account = self.running.sandbox.account
        today = self.running.sandbox.moment().now // 86_400_000
        return list(account.days(today - days, today))

    def past(self, days: int = 30) -> list[Meeting]:
        """Those of which the account tells by now, and more than their row can be had."""
        moment = self.running.sandbox.moment()
        return [meeting for meeting in self.made(days) if moment.past(meeting) and not meeting.deleted]


@asynccontextmanager
async def zoom(**switches: Any) -> AsyncIterator[ZoomClient]:
    """A simulated Zoom whose clock stands still at NOON and whose limits only count, unless switched otherwise, and a client."""
    settings = ZoomSandboxSettings(**{"now": NOON, "speed": 0, "retry_after": 0, "slow": 0, **FREE, **switches})
    async with serve(settings) as running, aiohttp.ClientSession() as session:
        yield ZoomClient(running, session)
