"""The canary: when the pull requests of each repository changed last, asked for once for all streams of all repositories."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from harvester.coverage import EPOCH, Interval, Timing
from harvester.retry import OutageError
from harvester.sources.github_calls import Calls
from harvester.sources.github_details import PageInfo
from harvester.sources.github_lists import cut
from harvester.sources.github_mode import Mode, NoNodeError, refused
from harvester.sources.github_refusals import DeniedError, GoneError, TooHeavyError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import moment

_QUERY = (
    "query($login:String!,$first:Int!,$after:String){organization(login:$login){repositories(first:$first,after:$after){"
    "pageInfo{hasNextPage endCursor} nodes{id databaseId name owner{login} "
    "pullRequests(first:1,orderBy:{field:UPDATED_AT,direction:DESC}){nodes{updatedAt}}}}} rateLimit{cost remaining resetAt}}"
)
_WHOLE, _LEAST = 100, 10


class _Changed(msgspec.Struct):
    updated: str = msgspec.field(name="updatedAt")


class _Pulls(msgspec.Struct):
    nodes: list[_Changed | None]


class _Owner(msgspec.Struct):
    login: str


class _Node(msgspec.Struct):
    id: int = msgspec.field(name="databaseId")
    name: str
    owner: _Owner
    pulls: _Pulls = msgspec.field(name="pullRequests")


class _Repositories(msgspec.Struct):
    page: PageInfo = msgspec.field(name="pageInfo")
    nodes: list[msgspec.Raw]


class _Organisation(msgspec.Struct):
    repositories: _Repositories


class Canary:
    """When each repository changed last. Young windows of clean ones cost no call; old ones are read for real, for what this
    cannot see, such as edits of comments.
    """

    def __init__(self, calls: Calls, mode: Mode, orgs: Sequence[str], pause: timedelta, monotonic: Callable[[], float]) -> None:
        self._calls = calls
        self._mode = mode
        self._orgs = orgs
        self._pause = pause.total_seconds()
        self._monotonic = monotonic
        self._asked = float("-inf")
        self._changed: dict[int, datetime] = {}
        self._each: dict[int, tuple[float, datetime | None]] = {}
        self._names: Callable[[int, str, str], None] = lambda *_: None
        self._lock = asyncio.Lock()

    def on_name(self, told: Callable[[int, str, str], None]) -> None:
        """`told` hears of each repository's id what it is called now: its owner and name."""
        self._names = told

    async def clean(self, repository: Repository, window: Interval, timing: Timing) -> bool:
        """Whether nothing of the repository's pull requests changed since a young window began. May be as old as a poll's pause,
        which the overlap holds. Raises TransientError.
        """
        if window.start <= self._calls.now() - timing.settle:
            return False
        changed = await self._changed_at(repository)
        return changed is not None and changed < window.start.replace(microsecond=0)

    async def _changed_at(self, repository: Repository) -> datetime | None:
        """EPOCH: it has none; None: not known."""
        if self._mode.graphql:
            async with self._lock:
                if self._monotonic() - self._asked >= self._pause:
                    await self._look()
        if self._mode.graphql:
            return self._changed.get(repository.id)
        return await self._of_one(repository)

    async def _look(self) -> None:
        asked, found = self._monotonic(), dict[int, datetime]()
        try:
            for org in self._orgs:
                with suppress(NoNodeError):  # then its repositories are not known, and are read
                    found |= await self._organisation(org)
        except (DeniedError, GoneError) as error:
            if not self._mode.leaves(error):
                raise
            return
        self._mode.works()
        self._asked, self._changed = asked, found

    async def _organisation(self, org: str) -> Mapping[int, datetime]:
        found: dict[int, datetime] = {}
        size, after = _WHOLE, None
        while True:
            variables = {"login": org, "first": size, "after": after}
            try:
                reply = await self._calls.query(_QUERY, variables, 1, shrinks=size > _LEAST)
                raw = bytes(reply.data.get("organization", b"null"))
                if raw == b"null":
                    raise refused(reply.errors, f"the organisation {org}")
            except TooHeavyError as error:
                if size == _LEAST:
                    raise OutageError(str(error)) from error
                size = max(_LEAST, size // 2)
                continue
            try:
                told = msgspec.json.decode(raw, type=_Organisation).repositories
            except (ValueError, RecursionError) as error:
                raise OutageError(f"github: the answer is no list of repositories: {error}") from error
            for row in told.nodes:
                if (node := _decoded(row)) is not None:
                    found[node.id] = max((moment(p.updated) or EPOCH for p in node.pulls.nodes if p), default=EPOCH)
                    self._names(node.id, node.owner.login, node.name)
            if not told.page.more:
                return found
            after = told.page.end

    async def _of_one(self, repository: Repository) -> datetime | None:
        """By REST: what changed last, on condition, so that it costs nothing while that is the same."""
        asked, changed = self._each.get(repository.id, (float("-inf"), None))
        if self._monotonic() - asked < self._pause:
            return changed
        asked, place = self._monotonic(), "/repos/{owner}/{repo}/issues"
        query = {"sort": "updated", "direction": "desc", "state": "all", "per_page": 1}
        try:
            answer = await self._calls.kept(f"{repository.path}/issues", place, query)
        except GoneError:
            return None
        rows = cut(answer, self._calls.at(answer)).rows
        changed = rows[0].updated if rows else EPOCH
        self._each[repository.id] = asked, changed
        return changed


def _decoded(row: msgspec.Raw) -> _Node | None:
    """What is told of a repository; None when it is not to be understood: then it is not known, and read."""
    try:
        return msgspec.json.decode(row, type=_Node)
    except (ValueError, RecursionError):
        return None
