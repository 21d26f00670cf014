"""Opencast's user actions as a table of a few rows that a test moves about: behind a pure client, or behind a real server."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

from aiohttp import web
from yarl import URL

from harvester.answers import Answer
from harvester.coverage import Interval
from harvester.event import Event
from harvester.http import HttpClient
from harvester.protocols import Broken, Page, Stream
from harvester.retry import Retry
from harvester.sources.opencast import Opencast, OpencastSettings, UserActions, open_opencast

HOUR = Interval(datetime(2026, 11, 3, 11, tzinfo=UTC), datetime(2026, 11, 3, 12, tzinfo=UTC))
NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
ACTIONS = "/usertracking/actions.json"
UTC_ZONE = ZoneInfo("UTC")
QUICK = Retry(attempts=2, scale=0)


def record(number: int, created: str = "2026-11-03T11:20:00Z", **fields: Any) -> bytes:
    """A row as the API gives it."""
    row = {"id": number, "mediapackageId": "74b6c02f", "sessionId": {"sessionId": "node01", "userIp": "203.0.113.7"}}
    row |= {"inpoint": 0, "outpoint": 0, "length": 0, "type": "FOOTPRINT", "isPlaying": True, "created": created}
    return json.dumps(row | fields, separators=(",", ":")).encode()


@dataclass
class Row:
    """One row: when it was created, and how far it has grown, or the bytes that stand in its place."""

    id: int
    created: datetime
    outpoint: int = 0
    body: bytes | None = None
    naive: bool = False

    def encoded(self, zone: ZoneInfo) -> bytes:
        local = self.created.astimezone(zone)
        text = (local.replace(tzinfo=None) if self.naive else local).isoformat()
        return record(self.id, text, outpoint=self.outpoint) if self.body is None else self.body


@dataclass
class Table:
    """The table and its server. `between` is called after each answer, and may do anything to it."""

    rows: list[Row] = field(default_factory=list)
    zone: ZoneInfo = UTC_ZONE
    fold: int = 1
    """Which of the two hours the server takes a repeated hour for."""
    cap: int = 0
    ignores_offset: bool = False
    ignores_window: bool = False
    ignores_day: bool = False
    shuffled: Random | None = None
    total: Callable[[int], Mapping[str, Any]] = lambda rows: {"total": str(rows)}
    between: Callable[["Table"], object] = lambda table: None
    now: datetime = NOW
    calls: list[dict[str, str]] = field(default_factory=list)

    def answer(self, query: Mapping[str, str]) -> bytes:
        self.calls.append(dict(query))
        start, end = self._asked(query)
        found = [row for row in self.rows if start <= row.created <= end]
        if self.shuffled is not None:
            self.shuffled.shuffle(found)
        offset = 0 if self.ignores_offset else int(query["offset"])
        limit = int(query["limit"])
        page = found[offset : offset + min(limit, self.cap or limit)]
        head = json.dumps({**self.total(len(found)), "offset": query["offset"], "limit": query["limit"]})[:-1].encode()
        rows = [row.encoded(self.zone) for row in page]
        body = b"" if not rows else b',"action":' + (rows[0] if len(rows) == 1 else b"[%b]" % b",".join(rows))
        self.between(self)
        return b'{"actions":' + head + body + b"}}"

    def _asked(self, query: Mapping[str, str]) -> tuple[datetime, datetime]:
        """Both inclusive. A day has the seconds of the server's now at both ends."""
        if "start" in query and not self.ignores_window:
            return self._instant(query["start"]), self._instant(query["end"])
        if "day" in query and not self.ignores_day:
            seconds = self.now - self.now.replace(second=0, microsecond=0)
            return self._instant(f"{query['day']}000000") + seconds, self._instant(f"{query['day']}235900") + seconds
        return datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    def _instant(self, text: str) -> datetime:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=self.zone, fold=self.fold).astimezone(UTC)

    def within(self, window: Interval) -> dict[str, int]:
        """The truth: outpoint by subject of every row that an event can be made of."""
        return {str(r.id): r.outpoint for r in self.rows if r.body is None and window.start <= r.created < window.end}


class _Client:
    """As HttpClient, without a wire."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.clock = self

    def now(self) -> datetime:
        return self._table.now

    async def get(self, path: str, *, check: Callable[[Answer, str], object], **query: str) -> Answer:
        assert path == ACTIONS
        answer = Answer(200, self._table.answer(query), {}, URL(), 0, 0)
        check(answer, "opencast")
        return answer


def settings(url: str = "localhost", **switches: Any) -> OpencastSettings:
    return OpencastSettings.model_validate({"url": url, "user": "harvester", "password": "sandbox", "wait": 0, **switches})


def actions_of(table: Table, batch: int = 1000, *, zone: ZoneInfo | None = None, **switches: Any) -> UserActions:
    """The stream that reads this table; by window, unless a mode is set or it is told to probe. `zone`: what it believes in."""
    client = cast("HttpClient", _Client(table))
    return UserActions(client, settings(batch_size=batch, **switches), zone or table.zone, "opencast")


class Got(NamedTuple):
    events: Sequence[Event]
    broken: Sequence[Broken]
    pages: Sequence[Page]

    @property
    def newest(self) -> dict[str, int]:
        """The newest version by subject."""
        return {e.subject: e.version for e in sorted(self.events, key=lambda e: e.version)}


async def read(stream: Stream, window: Interval = HOUR, notes: bytes = b"") -> Got:
    pages = [page async for page in stream.fetch(window, notes)]
    return Got([e for p in pages for e in p.events], [b for p in pages for b in p.broken], pages)


def spread(amount: int, window: Interval = HOUR) -> list[Row]:
    """Rows with ids from 1 on, evenly over the window."""
    return [Row(n + 1, window.start + (window.end - window.start) * n / amount) for n in range(amount)]


Reply = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def served(reply: Table | Reply, zone: str = "UTC", **switches: Any) -> AsyncIterator[Opencast]:
    """A source that reads from a real server on loopback, which answers by the table or the script."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if isinstance(reply, Table):
            headers = {"Date": f"{reply.now:%a, %d %b %Y %H:%M:%S GMT}"}
            return web.Response(body=reply.answer(request.query), content_type="application/json", headers=headers)
        return reply(request)

    app = web.Application()
    app.router.add_get(ACTIONS, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with opened(url, zone=zone, **switches) as source:
            yield source
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(url: str, *, zone: str = "UTC", retry: Retry = QUICK, **switches: Any) -> AsyncIterator[Opencast]:
    """A source that never really waits."""
    async with open_opencast(settings(url, **{"login": "basic", **switches}), zone=zone, retry=retry) as source:
        yield source


def minutes(amount: float) -> timedelta:
    return timedelta(minutes=amount)
