"""How much GitHub says there is: what a harvest is compared with. Nothing here is read into the queue."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from harvester.errors import PermanentError
from harvester.http import Answer
from harvester.retry import UnusableError
from harvester.sources.github_calls import Calls
from harvester.sources.github_mode import Mode, refused
from harvester.sources.github_refusals import DeniedError, GoneError
from harvester.sources.github_repositories import Organisations
from harvester.sources.github_repository import Repository

_QUERY = (
    "query($login:String!,$after:String){organization(login:$login){repositories(first:100,after:$after){"
    "pageInfo{hasNextPage endCursor} nodes{databaseId pullRequests(first:1){totalCount}}}} rateLimit{cost remaining resetAt}}"
)
_LAST = re.compile(r'[?&]page=(\d+)[^>]*>;\s*rel="last"')


class Total(NamedTuple):
    """A repository, and how many pull requests it has; None where that is refused."""

    repository: Repository
    pull_requests: int | None


class _Count(msgspec.Struct):
    total: int = msgspec.field(name="totalCount")


class _Node(msgspec.Struct):
    id: int = msgspec.field(name="databaseId")
    pulls: _Count = msgspec.field(name="pullRequests")


class _Info(msgspec.Struct):
    more: bool = msgspec.field(name="hasNextPage")
    end: str | None = msgspec.field(default=None, name="endCursor")


class _Repositories(msgspec.Struct):
    page: _Info = msgspec.field(name="pageInfo")
    nodes: list[_Node | None]


class _Organisation(msgspec.Struct):
    repositories: _Repositories


class _Pull(msgspec.Struct):
    number: int
    updated_at: datetime


class Totals:
    """Asks for totals: by GraphQL for a hundred repositories at once, by REST for one."""

    def __init__(self, calls: Calls, mode: Mode, organisations: Organisations, orgs: Sequence[str]) -> None:
        self._calls = calls
        self._mode = mode
        self._organisations = organisations
        self._orgs = orgs

    async def repositories(self) -> Sequence[Total]:
        """Those that are read and listed now. Raises PermanentError, with what to check."""
        listing = await self._organisations.listing()
        counted = await self._counted()
        found = []
        for repository, _ in listing.found:
            known = counted.get(repository.id)
            found.append(Total(repository, await self._of_one(repository) if known is None else known))
        return found

    async def changed(self, repository: Repository, since: datetime | None) -> Mapping[int, datetime]:
        """Number → time of change of the pull requests that changed since; all of them for None. A call a hundred."""
        found: dict[int, datetime] = {}
        query = {"state": "all", "sort": "updated", "direction": "desc"}
        async for answer in self._pages(f"{repository.path}/pulls", query):
            rows = _decoded(answer)
            found.update((row.number, row.updated_at) for row in rows if since is None or row.updated_at >= since)
            if since is not None and rows and rows[-1].updated_at < since:
                break
        return found

    async def review_comments(self, repository: Repository, since: datetime | None) -> int | None:
        """How many remarks on lines it has that changed since; None where that is refused."""
        bound = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}"} if since else {}
        return await self._last(f"{repository.path}/pulls/comments", "/repos/{owner}/{repo}/pulls/comments", **bound)

    async def _counted(self) -> Mapping[int, int]:
        found: dict[int, int] = {}
        if not self._mode.graphql:
            return found
        try:
            for org in self._orgs:
                async for page in self._graphql(org):
                    found |= {node.id: node.pulls.total for node in page if node is not None}
        except (DeniedError, GoneError) as error:
            if not self._mode.leaves(error):
                raise
        return found

    async def _graphql(self, org: str) -> AsyncIterator[list[_Node | None]]:
        after: str | None = None
        while True:
            reply = await self._calls.query(_QUERY, {"login": org, "after": after}, 1)
            raw = bytes(reply.data.get("organization", b"null"))
            if raw == b"null":
                raise refused(reply.errors, f"the organisation {org}")
            try:
                told = msgspec.json.decode(raw, type=_Organisation).repositories
            except msgspec.MsgspecError as error:
                raise UnusableError(f"github: the answer is no list of repositories: {error}") from error
            yield told.nodes
            if not told.page.more:
                return
            after = told.page.end

    async def _of_one(self, repository: Repository) -> int | None:
        return await self._last(f"{repository.path}/pulls", "/repos/{owner}/{repo}/pulls", state="all")

    async def _last(self, path: str, endpoint: str, **query: str) -> int | None:
        """The number of the last page of a list whose pages have one item each."""
        try:
            answer = await self._calls.get(path, endpoint, {**query, "per_page": 1})
        except PermanentError:
            return None
        last = _LAST.search(answer.headers.get("Link", ""))
        return int(last[1]) if last else len(msgspec.json.decode(answer.body, type=list[msgspec.Raw]))

    async def _pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Answer]:
        async for answer in self._calls.pages(path, "/repos/{owner}/{repo}/pulls", query):
            yield answer


def _decoded(answer: Answer) -> list[_Pull]:
    try:
        return msgspec.json.decode(answer.body, type=list[_Pull])
    except msgspec.MsgspecError as error:
        raise UnusableError(f"github: the answer is no list of pull requests: {error}") from error
