"""Lists by time of change, from the oldest on: the next request begins at the last time seen, so that nothing is lost when
things change, and move to the end, while the list is read.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from harvester.coverage import EPOCH
from harvester.errors import InvalidEventError, TransientError
from harvester.http import Answer
from harvester.limits import Pages
from harvester.protocols import Broken
from harvester.retry import UnusableError
from harvester.sources.github_calls import Calls, next_of
from harvester.sources.github_refusals import GoneError, TooHeavyError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import moment, rows_of

_WHOLE, _LEAST, _GROWS = 100, 10, 20
_SECOND = timedelta(seconds=1)
"""What GitHub's times are exact to."""
_NOTHING_BEFORE = EPOCH + timedelta(days=365 * 38)
"""GitHub is younger. An earlier `since` was seen to give an empty list: it is left out."""


class Row(NamedTuple):
    """A record of a list. `key` is its id, or the number of a pull request."""

    key: int
    updated: datetime
    body: bytes
    pull: bool


class Sheet(NamedTuple):
    """What was listed, in the order of change. All that changed before `upto` is in it or in those before it."""

    rows: Sequence[Row]
    broken: Sequence[Broken]
    upto: datetime
    read_at: datetime


class _Row(msgspec.Struct):
    id: int
    updated_at: str
    number: int | None = None
    pull_request: msgspec.Raw = msgspec.Raw(b"")


class _Page(NamedTuple):
    rows: list[Row]
    broken: list[Broken]
    following: str
    read_at: datetime


_row = msgspec.json.Decoder(_Row)


class Lists:
    """One list of one repository. How much it asks for at once halves when that is too much, and grows back."""

    def __init__(self, calls: Calls, repository: Repository, place: str, **query: str) -> None:
        self._calls = calls
        self._repository = repository
        self._place = place
        self._query = query
        self._size = _WHOLE

    async def changed(self, since: datetime, until: datetime) -> AsyncIterator[Sheet]:
        """All that changed in since <= t < until. Raises GoneError, DeniedError, TransientError."""
        last, known = since, set[tuple[int, datetime]]()
        while True:
            page, second = await self._ask(last), last.replace(microsecond=0)
            if page.following and (not page.rows or page.rows[-1].updated <= second):
                page, upto = await self._of_second(page, last), min(until, second + _SECOND)
            else:
                upto = min(until, page.rows[-1].updated) if page.following else until
            rows = [row for row in page.rows if since <= row.updated < until and (row.key, row.updated) not in known]
            yield Sheet(rows, page.broken, upto, page.read_at)
            if upto >= until:
                return
            last, known = upto, {(row.key, row.updated) for row in page.rows if row.updated == upto}

    async def _of_second(self, page: _Page, since: datetime) -> _Page:
        """All of one second, which more have than a page holds. Read until a reading finds nothing new: those that change
        meanwhile leave it, and others move up.
        """
        found: dict[tuple[int, datetime], Row] = {}
        broken: dict[bytes, Broken] = {}
        while True:
            before = len(found), len(broken)
            await self._read_on(page, since.replace(microsecond=0), found, broken)
            if (len(found), len(broken)) == before:
                return _Page(list(found.values()), list(broken.values()), "", page.read_at)
            page = await self._ask(since)

    async def _read_on(
        self, page: _Page, at: datetime, found: dict[tuple[int, datetime], Row], broken: dict[bytes, Broken]
    ) -> None:
        turns = Pages("github")
        while True:
            found |= {(row.key, row.updated): row for row in page.rows if row.updated <= at}
            broken |= {one.body: one for one in page.broken}
            if not page.following or (page.rows and page.rows[-1].updated > at):
                return
            turns.turned(page.following, len(page.rows))
            page = self._cut(await self._calls.get(page.following, self._endpoint))

    async def _ask(self, since: datetime) -> _Page:
        query = {**self._query, "sort": "updated", "direction": "asc", "since": since_of(since)}
        path = f"{self._repository.path}/{self._place}"
        while True:
            shrinks = self._size > _LEAST
            try:
                answer = await self._calls.get(path, self._endpoint, {**query, "per_page": self._size}, shrinks=shrinks)
            except TooHeavyError:
                self._size = max(_LEAST, self._size // 2)
                continue
            self._size = min(_WHOLE, self._size + _GROWS)
            return self._cut(answer)

    @property
    def _endpoint(self) -> str:
        return f"/repos/{{owner}}/{{repo}}/{self._place}"

    def _cut(self, answer: Answer) -> _Page:
        return cut(answer, self._calls.at(answer))

    async def all_pulls(self, since: datetime, until: datetime) -> AsyncIterator[Sheet]:
        """As `changed`, where issues are switched off: pull requests from the newest back to `since`, told when all are known."""
        found: dict[int, Row] = {}
        broken: list[Broken] = []
        query: Mapping[str, str] = {**self._query, "sort": "updated", "direction": "desc"}
        read_at = self._calls.now()
        async for answer in self._calls.pages(f"{self._repository.path}/pulls", "/repos/{owner}/{repo}/pulls", query):
            page = self._cut(answer)
            broken += page.broken
            # the first that is seen of one is its newest state
            found = {row.key: row._replace(pull=True) for row in reversed(page.rows)} | found
            if page.rows and page.rows[-1].updated < since:
                break
        rows = sorted((row for row in found.values() if since <= row.updated < until), key=lambda row: row.updated)
        yield Sheet(rows, broken, until, read_at)


async def pulls(lists: Lists, repository: Repository, since: datetime, until: datetime) -> AsyncIterator[Sheet]:
    """Pull requests that changed in since <= t < until, by the list of issues or, where these are off, by their own."""
    if not repository.has_pulls:
        return
    begun = False
    try:
        async for sheet in lists.changed(since, until):
            begun = True
            yield sheet._replace(rows=[row for row in sheet.rows if row.pull])
        return
    except GoneError:
        if begun:
            raise
    async for sheet in lists.all_pulls(since, until):
        yield sheet


def since_of(at: datetime) -> str | None:
    """The parameter `since` of what changed from then on; None: it is left out."""
    return None if at < _NOTHING_BEFORE else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def cut(answer: Answer, read_at: datetime) -> _Page:
    """A page in rows; TransientError when it is none."""
    try:
        records = rows_of(answer.body)
    except TransientError as error:
        raise UnusableError(str(error)) from error
    rows: list[Row] = []
    broken = [Broken(body, str(why), why.reason) for body, why in records.refused]
    for body in records.rows:
        try:
            rows.append(_read(body))
        except InvalidEventError as error:
            broken.append(Broken(body, str(error), error.reason))
    return _Page(rows, broken, next_of(answer), read_at)


def _read(body: bytes) -> Row:
    try:
        found = _row.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no record of a list: {error}") from error
    updated = moment(found.updated_at)
    if updated is None:
        raise InvalidEventError("a record of a list without the time of its change")
    key = found.id if found.number is None else found.number
    return Row(key, updated, body, bytes(found.pull_request) not in (b"", b"null"))
