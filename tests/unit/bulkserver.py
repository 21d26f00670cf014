"""An Elasticsearch that says what it is told: for what a real one cannot be made to answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from consumers.records.opencast import UserAction
from consumers.sinks import open_sink
from consumers.sinks.elasticsearch import ElasticsearchSink
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_templates import pieces
from tests.unit.webserver import Server, serving

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}


class Document(NamedTuple):
    """One of a bulk as it was sent."""

    action: dict[str, Any]
    body: dict[str, Any]


class Script:
    """Takes every document and has our template, but for what a test says. `judge` gives each document's item."""

    def __init__(self) -> None:
        self.bulks: list[list[Document]] = []
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.template_version: int | None = pieces(UserAction)[-1].version
        self.judge: Callable[[Document], dict[str, Any]] = lambda _: {"status": 201}
        self.whole: Callable[[bytes], web.Response | None] = lambda _: None
        """An answer to the whole request, before any document is looked at."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(f"{request.method} {request.raw_path}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if (answer := self.whole(body)) is not None:
            return answer
        if request.path == "/_bulk":
            return self._bulk(body)
        if self.template_version is None:
            return answer_of({"error": "not found"}, status=404)
        return answer_of({"index_templates": [{"name": "x", "index_template": {"version": self.template_version}}]})

    def _bulk(self, body: bytes) -> web.Response:
        lines = [msgspec.json.decode(line) for line in body.removesuffix(b"\n").split(b"\n")]
        documents = [Document(action["index"], line) for action, line in zip(lines[::2], lines[1::2], strict=True)]
        self.bulks.append(documents)
        items = [self.judge(one) for one in documents]
        return answer_of({"errors": any("error" in one for one in items), "items": [{"index": one} for one in items]})

    @property
    def ids(self) -> list[list[str]]:
        return [[one.action["_id"] for one in bulk] for bulk in self.bulks]


def answer_of(value: Any, *, status: int = 200, **headers: str) -> web.Response:
    kind = "application/vnd.elasticsearch+json"
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=kind, headers={**PRODUCT, **headers})


def refused(status: int, type_: str, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"status": status, "error": {"type": type_, "reason": reason, **more}}


def only(number: int, item: dict[str, Any]) -> Callable[[Document], dict[str, Any]]:
    """The judgement that gives `item` to one document and takes all others."""
    return lambda document: item if document.action["_id"] == str(number) else {"status": 201}


class Scripted(NamedTuple):
    sink: ElasticsearchSink
    script: Script
    server: Server


@asynccontextmanager
async def scripted(**settings: Any) -> AsyncIterator[Scripted]:
    """The sink, and the server it writes to."""
    script = Script()
    async with serving(script) as server, open_scripted(str(server.url), **settings) as sink:
        yield Scripted(sink, script, server)


@asynccontextmanager
async def open_scripted(url: str, **settings: Any) -> AsyncIterator[ElasticsearchSink]:
    async with open_sink("elasticsearch", ElasticsearchSettings(url=url, **settings)) as sink:
        assert isinstance(sink, ElasticsearchSink)
        yield sink
