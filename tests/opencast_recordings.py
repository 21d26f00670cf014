"""A scripted Opencast of a few recordings, on loopback: what its harvest interface, its search and its workflows say."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web

from harvester.coverage import EPOCH, Interval
from harvester.retry import Retry
from harvester.sources.opencast import open_opencast
from harvester.sources.opencast_recordings import Recordings
from tests.opencast_table import QUICK, settings

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
DAY = Interval(NOW - timedelta(days=1), NOW)


def ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def hit(mpid: str, modified: datetime, **fields: Any) -> dict[str, Any]:
    """As from release 16 on."""
    package = {"id": mpid, "title": f"Title of {mpid}", "start": "2026-01-01T00:00:00Z"}
    return {"mediapackage": package, "modified": modified.isoformat().replace("+00:00", "Z"), "type": "Episode", **fields}


@dataclass
class Server:
    """What it answers; may be changed while it serves."""

    items: list[dict[str, Any]] = field(default_factory=list)
    """Of the feed, with `updated` in ms."""
    hits: dict[str, dict[str, Any]] = field(default_factory=dict)
    workflows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    feed: int = 200
    search: int = 200
    raw: dict[str, bytes] = field(default_factory=dict)
    """Path, with or without a query → what is answered there instead."""
    calls: Counter[str] = field(default_factory=Counter)

    def add(self, mpid: str, modified: datetime) -> None:
        """A recording, in the feed and in search."""
        self.items.append({"id": mpid, "kind": "event", "updated": ms(modified)})
        self.hits[mpid] = hit(mpid, modified)

    def take_back(self, mpid: str, at: datetime) -> None:
        """Delete it."""
        self.items = [item for item in self.items if item["id"] != mpid]
        self.items.append({"id": mpid, "kind": "event-deleted", "updated": ms(at)})
        self.hits.pop(mpid, None)

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.calls[path] += 1
        if (body := self.raw.get(request.path_qs, self.raw.get(path))) is not None:
            return _json(body)
        if path == "/tobira/harvest":
            return self._page(int(request.query["since"]), int(request.query["preferredAmount"]))
        if path == "/search/episode.json":
            return self._search(request.query)
        mpid = request.match_info["mpid"]
        return _json(msgspec.json.encode({"workflows": {"workflow": self.workflows.get(mpid, [])}}))

    def _page(self, since: int, amount: int) -> web.Response:
        if self.feed != 200:
            return web.Response(status=self.feed)
        items = sorted((i for i in self.items if i["updated"] >= since), key=lambda item: int(item["updated"]))
        more = len(items) > amount
        until = items[amount]["updated"] if more else ms(NOW)
        page = [item for item in items[:amount] if item["updated"] <= until]
        return _json(msgspec.json.encode({"includesItemsUntil": min(until, ms(ago(3))), "hasMore": more, "items": page}))

    def _search(self, query: Any) -> web.Response:
        if self.search != 200:
            return web.Response(status=self.search)
        found = [each for mpid, each in self.hits.items() if query.get("id") in (None, mpid)]
        if "sort" in query:
            found.sort(key=lambda each: str(each["modified"]), reverse=True)
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
        page = found[offset : offset + limit]
        return _json(msgspec.json.encode({"offset": offset, "limit": limit, "total": len(found), "result": page}))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers={"Date": f"{NOW:%a, %d %b %Y %H:%M:%S GMT}"})


@asynccontextmanager
async def serving(
    server: Server, *, told: list[tuple[str, str]] | None = None, workflows: bool = False, retry: Retry = QUICK, **switches: Any
) -> AsyncIterator[Recordings]:
    """The stream that reads it; `told` gets to know where changes are told, and why."""
    app = web.Application()
    for path in ("/tobira/harvest", "/search/episode.json", "/workflow/mediaPackage/{mpid}/instances.json"):
        app.router.add_get(path, server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        found = settings(url, login="basic", streams="episodes", admin_url=url if workflows else "", **switches)
        hear = (lambda *words: told.append(words)) if told is not None else None
        async with open_opencast(found, retry=retry, on_mode=hear) as source:
            [stream] = await source.streams()
            assert isinstance(stream, Recordings)
            yield stream
    finally:
        await runner.cleanup()
