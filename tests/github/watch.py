"""What each life of a harvester asks GitHub for, stream by stream, and what of it an earlier life had been told already."""

import json
import re
import threading
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

TOKENS = tuple(f"life-{number}" for number in range(1000))
PAGE, BATCH = 100, 25
"""Rows of a list, and pull requests of a query, that are one page."""
_LIST = re.compile(r"^/repos/[^/]+/([^/]+)/(issues|pulls|pulls/comments|issues/comments)$")
_ALIAS = re.compile(r"\bp(\d+):pullRequest")
_ANSWERED = 200


class Again(NamedTuple):
    """The most that one life was told again of one stream."""

    rows: int
    details: int

    def a_page(self, ties: int) -> bool:
        """Whether that is no more than one page. What changed in one second is read together: with a page come `ties` at most."""
        return self.rows <= PAGE + ties and self.details <= BATCH + ties


class Watch:
    """Stands in front of a simulated GitHub. Another thread may read what it counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._life = 0
        self._seen: dict[tuple[str, str], int] = {}
        """Stream and row → the life that was told of it first."""
        self._again: dict[str, dict[tuple[int, str], set[str]]] = {"rows": {}, "details": {}}
        self.requests = 0
        self.starting = 0
        """Of these, for the list of repositories and the canary: each life asks for them."""
        self.answered = 0
        """Answers of this life that told something new."""

    def born(self) -> str:
        """Another life begins: the token that it is known by, for what a dead one has asked for may still be on its way."""
        with self._lock:
            self._life += 1
            self.answered = 0
            return TOKENS[self._life]

    @property
    def again(self) -> Again:
        return Again(*(max(map(len, names.values()), default=0) for names in self._again.values()))

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        response = await handler(request)
        if request.path.startswith(("/sandbox", "/truth")):
            return response
        with self._lock:
            self._count(request, body, response)
        return response

    def _count(self, request: web.Request, body: bytes, response: web.StreamResponse) -> None:
        self.requests += 1
        life = int(request.headers["Authorization"].rpartition("-")[2])
        answer = bytes(response.body or b"") if isinstance(response, web.Response) else b""  # type: ignore[arg-type]
        if found := _LIST.match(request.path):
            if response.status == _ANSWERED:
                part = "pulls" if found[2] in ("issues", "pulls") else found[2]
                self._told(life, "rows", f"{part} {found[1]}", [f"{row['id']} {row['updated_at']}" for row in json.loads(answer)])
        elif request.path.endswith("/graphql"):
            asked: dict[str, Any] = json.loads(body)
            numbers = _ALIAS.findall(asked["query"])
            if "organization(" in asked["query"]:
                self.starting += 1
            elif numbers and response.status == _ANSWERED:
                self._told(life, "details", asked["variables"]["id"], numbers)
        elif request.path.startswith("/orgs/"):
            self.starting += 1

    def _told(self, life: int, kind: str, stream: str, names: list[str]) -> None:
        first = [self._seen.setdefault((stream, name), life) for name in names]
        again = {name for name, one in zip(names, first, strict=True) if one < life}
        self._again[kind].setdefault((life, stream), set()).update(again)
        self.answered += life == self._life and (not first or life in first)
