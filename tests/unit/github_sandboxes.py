"""A client as plain as can be, to look at what a simulated GitHub serves."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec

from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.github_threads import Thread
from harvester.sandbox.github_world import Repository
from harvester.sandbox.serve import RunningGitHub, serve
from tests.unit.sandboxes import Got

NOON = datetime(2026, 11, 12, 12, tzinfo=UTC)  # a Thursday
RENAMED, DELETED, WITHOUT_ISSUES, EMPTY, COMING = 7, 9, 3, 5, 4
"""The numbers of repositories that are traps."""


def in_repository(selection: str, variables: str = "") -> str:
    """A query of what a repository has; its node id is the variable `id`."""
    return f"query ($id: ID!{variables}) {{ node(id: $id) {{ ... on Repository {{ {selection} }} }} }}"


class GitHubClient:
    def __init__(self, running: RunningGitHub, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.session = session
        self.token = "sandbox-token"

    async def get(self, path: str, headers: dict[str, str] | None = None, /, **query: str | int) -> Got:
        """`path` may be a whole address, as links have it."""
        url = path if path.startswith("http") else self.running.url + path
        given = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        async with self.session.get(url, params=query, headers=given, allow_redirects=False) as response:
            return Got(response.status, response.headers, await response.read())

    async def post(self, path: str, body: object, token: str | None = None) -> Got:
        given = {"Authorization": f"Bearer {token or self.token}"}
        async with self.session.post(self.running.url + path, data=msgspec.json.encode(body), headers=given) as response:
            return Got(response.status, response.headers, await response.read())

    async def graphql(self, query: str, **variables: Any) -> Got:
        return await self.post("/graphql", {"query": query, "variables": variables})

    async def rows(self, path: str, **query: str | int) -> list[Any]:
        """All rows, page by page."""
        return [row for page in await self.pages(path, **{"per_page": 100, **query}) for row in page.json]

    async def pages(self, path: str, **query: str | int) -> list[Got]:
        """All pages, as the links lead."""
        found = [await self.get(path, **query)]
        while link := re.search(r'<([^>]+)>; rel="next"', found[-1].headers.get("Link", "")):
            found.append(await self.get(link[1]))
        assert {page.status for page in found} == {200}
        return found

    async def control(self, path: str, order: object = None) -> Any:
        return (await self.post(path, {} if order is None else order)).json

    def advance(self, **by: float) -> None:
        self.running.clock.advance(timedelta(**by))

    @property
    def now(self) -> int:
        return self.running.sandbox.moment()

    def repository(self, index: int = 0) -> Repository:
        return self.running.sandbox.world.repositories[index]

    def path(self, index: int = 0) -> str:
        return f"/repositories/{self.repository(index).id}"

    def named(self, index: int = 0, at: int | None = None) -> str:
        return f"/repos/acme/{self.repository(index).name(self.now if at is None else at)}"

    def threads(self, index: int = 0) -> list[Thread]:
        return self.running.sandbox.world.threads(self.repository(index), self.now)

    def pulls(self, index: int = 0) -> list[Thread]:
        return [thread for thread in self.threads(index) if thread.pull]


@asynccontextmanager
async def github(**switches: Any) -> AsyncIterator[GitHubClient]:
    """A simulated GitHub whose clock stands still at NOON and whose limits only count, unless switched otherwise; a client."""
    given = {"now": NOON, "speed": 0, "retry_after": 0, "slow": 0, "limits": "counted", **switches}
    async with serve(GitHubSandboxSettings(**given)) as running, aiohttp.ClientSession() as session:
        yield GitHubClient(running, session)
