"""A Zoom account of a few meetings that a test scripts: a real server on loopback, with every answer under the test's hand."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aiohttp import web

from harvester.coverage import Interval
from harvester.retry import Retry
from harvester.sources.zoom import Zoom, ZoomSettings, open_zoom
from tests.threaded import threaded
from tests.unit.webserver import serving

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
DAY = Interval(datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))
QUICK = Retry(attempts=2, scale=0)
Row = dict[str, Any]
Reply = Callable[[web.BaseRequest], web.Response | None]


def meeting(uuid: str, start: str = "2026-11-02T10:00:00Z", **fields: Any) -> Row:
    """A row of the dashboard's list."""
    row = {"uuid": uuid, "id": 93201235621, "topic": "Algebra", "host": "Ada", "start_time": start}
    return row | {"end_time": "2026-11-02T11:00:00Z", "duration": "01:00:00", "participants": 1} | fields


def stay(user: int | str = 16778240, join: str = "2026-11-02T10:01:00Z", **fields: Any) -> Row:
    """A row of the dashboard's participants."""
    row = {"id": "acc", "user_id": str(user), "user_name": "Ada", "email": "ada@university.example", "join_time": join}
    return row | {"leave_time": "2026-11-02T11:00:00Z", "status": "in_meeting"} | fields


def refusal(status: int, code: int, message: str, **headers: str) -> web.Response:
    """An error as Zoom words it."""
    return web.json_response(
        {"code": code, "message": message}, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


@dataclass
class Account:
    """What is there, what was asked, and what answers in the place of it all (`reply`, None: nothing does)."""

    meetings: list[Row] = field(default_factory=list)
    stays: dict[str, list[Row]] = field(default_factory=dict)
    reply: Reply = lambda _: None
    now: datetime = NOW
    page: int = 300
    expires_in: int = 3600
    secret: str = "secret"
    api_url: str | None = None
    more: dict[str, str] = field(default_factory=dict)
    """Headers that every answer has."""
    calls: list[str] = field(default_factory=list)
    tokens: int = 0
    authorizations: list[str] = field(default_factory=list)
    url: str = ""

    def paths(self, part: str = "") -> list[str]:
        """The paths that were asked for, without their queries."""
        return [found for call in self.calls if part in (found := call.partition("?")[0])]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.calls.append(request.raw_path)
        response = self.reply(request) or await self._usual(request)
        response.headers.update(self.more)
        response.headers["Date"] = f"{self.now:%a, %d %b %Y %H:%M:%S GMT}"
        return response

    async def _usual(self, request: web.BaseRequest) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if path == "/oauth/token":
            return await self._token(request)
        self.authorizations.append(request.headers.get("Authorization", ""))
        if path == "/v2/metrics/meetings":
            return self._page("meetings", self._listed(request.query), request.query)
        uuid = path.removeprefix("/v2/metrics/meetings/").removesuffix("/participants")
        if uuid not in self.stays:
            return refusal(404, 3001, "Meeting does not exist: .")
        return self._page("participants", self.stays[uuid], request.query)

    async def _token(self, request: web.BaseRequest) -> web.Response:
        form = await request.post()
        basic = base64.b64encode(f"client:{self.secret}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}" or form.get("account_id") != "account":
            return web.json_response({"reason": "Invalid client_id or client_secret", "error": "invalid_client"}, status=400)
        self.tokens += 1
        told = {"api_url": self.api_url} if self.api_url else {}
        return web.json_response(
            {"access_token": f"token-{self.tokens}", "token_type": "bearer", "expires_in": self.expires_in, **told}
        )

    def _listed(self, query: Mapping[str, str]) -> list[Row]:
        alone = query["type"] == "pastOne"
        found = [row for row in self.meetings if row.get("alone", False) is alone]
        return [
            row
            for row in found
            if query["from"] <= (row.get("start_time") or row.get("day") or query["from"])[:10] <= query["to"]
        ]

    def _page(self, key: str, rows: list[Row], query: Mapping[str, str]) -> web.Response:
        at = int(query.get("next_page_token", "0"))
        following = str(at + self.page) if at + self.page < len(rows) else ""
        body = {
            "page_size": self.page,
            "total_records": len(rows) + 7,
            "next_page_token": following,
            key: rows[at : at + self.page],
        }
        return web.Response(text=json.dumps(body), content_type="application/json")


@asynccontextmanager
async def served(account: Account, retry: Retry = QUICK, **switches: Any) -> AsyncIterator[Zoom]:
    """A source that reads this account, without ever really waiting."""
    hears = {name: switches.pop(name) for name in ("on_mode", "on_wait", "on_allowance", "on_request") if name in switches}
    async with serving(account.answer) as server:
        account.url = str(server.url).rstrip("/")
        async with open_zoom(settings(account.url, **switches), retry=retry, **hears) as source:
            yield source


def settings(url: str = "http://127.0.0.1", **switches: Any) -> ZoomSettings:
    given = {"account_id": "account", "client_id": "client", "client_secret": "secret"}
    return ZoomSettings.model_validate({**given, "url": f"{url}/v2", "oauth_url": f"{url}/oauth/token", **switches})


def hours(amount: float) -> timedelta:
    return timedelta(hours=amount)


@contextmanager
def beside(account: Account) -> Iterator[Account]:
    """Serve the account while the block runs, for commands that have a loop of their own."""
    with threaded(partial(serving, account.answer), "zoom") as server:
        account.url = str(server.url).rstrip("/")
        yield account


def environment(account: Account) -> dict[str, str]:
    """The settings of an installation that reads it."""
    given = {"ZOOM_ACCOUNT_ID": "account", "ZOOM_CLIENT_ID": "client", "ZOOM_CLIENT_SECRET": account.secret}
    return {**given, "HARVESTER_ZOOM_URL": f"{account.url}/v2", "HARVESTER_ZOOM_OAUTH_URL": f"{account.url}/oauth/token"}
