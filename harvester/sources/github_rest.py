"""A pull request by REST alone: on servers and for tokens without GraphQL, and for the one that GraphQL cannot give."""

from itertools import count

import msgspec

from harvester.errors import InvalidEventError
from harvester.retry import UnusableError
from harvester.sources.github_calls import Calls
from harvester.sources.github_details import Pull, rest_pull
from harvester.sources.github_refusals import GoneError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import checked_row, commit_row, rows_of

MOST_COMMITS = 250
"""So many commits of a pull request are listed; the others are told by a comparison."""
_WHOLE = 100
_PULL = "/repos/{owner}/{repo}/pulls/{number}"


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

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def pull(self, repository: Repository, number: int) -> Pull:
        """One with its children. Raises GoneError, DeniedError, TransientError, InvalidEventError."""
        path = f"{repository.path}/pulls/{number}"
        answer = await self._calls.get(path, _PULL)
        detail = checked_row(answer.body)
        commits = await self._listed(path, "commits")
        if len(commits) >= MOST_COMMITS:
            commits = await self._whole(repository, detail, commits)
        reviews = await self._listed(path, "reviews")
        return rest_pull(detail, commits, reviews, self._calls.at(answer))

    async def missing(self, repository: Repository, number: int, known: set[str]) -> list[bytes]:
        """The commits of a pull request that are not among the known ones."""
        detail = checked_row((await self._calls.get(f"{repository.path}/pulls/{number}", _PULL)).body)
        return [c for c in await self._whole(repository, detail, []) if _name(c) not in known]

    async def _listed(self, path: str, what: str) -> list[bytes]:
        rows: list[bytes] = []
        async for answer in self._calls.pages(f"{path}/{what}", f"{_PULL}/{what}"):
            found = rows_of(answer.body)
            if found.refused:
                raise InvalidEventError(f"{what} that cannot be read: {found.refused[0].why}")
            rows += found.rows
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
            answer = await self._calls.get(path, "/repos/{owner}/{repo}/compare/{basehead}", query)
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


def _name(commit: bytes) -> str:
    try:
        return commit_row.decode(commit).name
    except (ValueError, RecursionError):
        return ""
