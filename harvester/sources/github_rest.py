"""A pull request by REST alone: on servers and for tokens without GraphQL, and for the one that GraphQL cannot give."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import NamedTuple

import msgspec

from harvester.errors import InvalidEventError, TransientError
from harvester.http import Answer, Pages, StatusError, TooLargeError
from harvester.retry import ONE_SHOT, OutageError, Retry, UnusableError, Wait, retrying
from harvester.sources.github_calls import NO_QUERY, Calls, Query, next_of
from harvester.sources.github_details import Pull, names_of, rest_pull
from harvester.sources.github_lists import cut
from harvester.sources.github_refusals import GoneError, TooHeavyError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import checked_row, rows_of

MOST_COMMITS = 250
"""So many commits of a pull request are listed; the others are told by a comparison."""
_WHOLE = 100
_PULL = "/repos/{owner}/{repo}/pulls/{number}"
_OTHERS = 3
"""So many others are tried before one is found guilty."""
REFUSED = (StatusError, TooLargeError, TransientError)
"""A request that GitHub does not answer, after the usual tries."""


class Patience(NamedTuple):
    """How the waits before another try are waited, and who hears of them."""

    retry: Retry
    sleep: Callable[[float], Awaitable[object]]
    on_wait: Callable[[Wait], None] | None = None


class _Ref(msgspec.Struct):
    sha: str


class _Sizes(msgspec.Struct):
    base: _Ref
    head: _Ref
    commits: int = 0


class _Compared(msgspec.Struct):
    commits: list[msgspec.Raw]
    total_commits: int = 0


_sizes = msgspec.json.Decoder(_Sizes)
_compared = msgspec.json.Decoder(_Compared)


class Rest:
    """Reads pull requests one by one: three requests each, at least."""

    def __init__(self, calls: Calls, patience: Patience) -> None:
        self._calls = calls
        self._patience = patience

    async def pull(self, repository: Repository, number: int) -> Pull:
        """One with its children. Raises one of REFUSED, or InvalidEventError; TransientError also when it stays too much for
        GitHub, which may be its own fault.
        """
        path = f"{repository.path}/pulls/{number}"
        answer = await self._get(path, _PULL)
        detail = checked_row(answer.body)
        commits = await self._listed(path, "commits")
        if len(commits) >= MOST_COMMITS:
            commits = await self._whole(repository, detail, commits)
        reviews = await self._listed(path, "reviews")
        return rest_pull(detail, commits, reviews, self._calls.at(answer))

    async def missing(self, repository: Repository, number: int, known: set[str]) -> list[bytes]:
        """The commits of a pull request that are not among the known ones."""
        detail = checked_row((await self._get(f"{repository.path}/pulls/{number}", _PULL)).body)
        return [c for c in await self._whole(repository, detail, []) if not names_of([c]) & known]

    async def others(self, repository: Repository, besides: int) -> bool:
        """Whether pull requests can be read at all, apart from one: then it is that one's fault when it cannot."""
        query = {"state": "all", "sort": "updated", "direction": "desc", "per_page": _OTHERS + 1}
        try:
            answer = await self._get(f"{repository.path}/pulls", "/repos/{owner}/{repo}/pulls", query)
            numbers = [row.key for row in cut(answer, self._calls.at(answer)).rows if row.key != besides]
        except REFUSED:
            return False
        for number in numbers[:_OTHERS]:
            with suppress(*REFUSED):
                await self.pull(repository, number)
                return True
        return not numbers

    async def _get(self, path: str, endpoint: str, query: Query = NO_QUERY) -> Answer:
        """As Calls.get, and OutageError when it stays too much for GitHub however often it is asked."""

        async def attempt() -> Answer | TransientError:
            try:
                return await self._calls.get(path, endpoint, query, shrinks=True)
            except TooHeavyError as error:
                raise OutageError(str(error)) from error
            except TransientError as error:  # the client was patient with it already
                return error

        retry, sleep, on_wait = self._patience
        found = await retrying(attempt, ONE_SHOT._replace(scale=retry.scale), sleep=sleep, on_wait=on_wait)
        if isinstance(found, TransientError):
            raise found
        return found

    async def _listed(self, path: str, what: str) -> list[bytes]:
        rows: list[bytes] = []
        turns, following, query = Pages("github"), f"{path}/{what}", {"per_page": _WHOLE}
        while following:
            answer = await self._get(following, f"{_PULL}/{what}", query)
            found = rows_of(answer.body)
            if found.refused:
                raise InvalidEventError(f"{what} that cannot be read: {found.refused[0].why}")
            rows += found.rows
            following, query = next_of(answer), {}
            turns.turned(following, 1)
        return rows

    async def _whole(self, repository: Repository, detail: bytes, commits: list[bytes]) -> list[bytes]:
        """All commits, by comparing head and base. What cannot be compared any more stays as it is."""
        try:
            sizes = _sizes.decode(detail)
        except (ValueError, RecursionError) as error:
            raise InvalidEventError(f"no pull request: {error}") from error
        if sizes.commits <= len(commits):
            return commits
        path = f"{repository.path}/compare/{sizes.base.sha}...{sizes.head.sha}"
        try:
            found = await self._compared(path)
        except GoneError:
            return commits
        return found if len(found) > len(commits) else commits

    async def _compared(self, path: str) -> list[bytes]:
        """The commits of a comparison, whose pages are told by their total and by no link."""
        found: list[bytes] = []
        for page in count(1):
            query = {"per_page": _WHOLE, "page": page}
            answer = await self._get(path, "/repos/{owner}/{repo}/compare/{basehead}", query)
            told = _comparison(answer.body)
            found += [bytes(one) for one in told.commits]
            if not told.commits or len(found) >= told.total_commits:
                break
        return found


def _comparison(body: bytes) -> _Compared:
    try:
        return _compared.decode(checked_row(body))
    except (ValueError, RecursionError, InvalidEventError) as error:
        raise UnusableError(f"github: the answer is no comparison: {error}") from error
