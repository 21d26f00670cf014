"""Both kinds of comments, by the time at which they changed: each is one list for the whole repository."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError
from harvester.event import Event
from harvester.protocols import Broken, Page
from harvester.sources.github_calls import Calls
from harvester.sources.github_canary import Canary
from harvester.sources.github_lists import Lists, Sheet, cut, since_of
from harvester.sources.github_progress import Covers, Seen
from harvester.sources.github_refusals import GoneError
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import checked_event, event_of

Kind = Literal["review_comments", "issue_comments"]
_PLACES: dict[Kind, str] = {"review_comments": "pulls/comments", "issue_comments": "issues/comments"}
_DAY = timedelta(days=1)
_NUMBER = re.compile(r"/(?:pulls|issues)/(\d{1,10})$")


class _Comment(msgspec.Struct):
    html_url: str = ""
    pull_request_url: str = ""
    issue_url: str = ""


_comment = msgspec.json.Decoder(_Comment)


class Comments:
    """Review comments, or issue comments as far as they are on pull requests."""

    def __init__(
        self, kind: Kind, calls: Calls, canary: Canary, repository: Repository, host: str, source: str, timing: Timing
    ) -> None:
        self._kind = kind
        self._calls = calls
        self._canary = canary
        self._repository = repository
        self._host = host
        self._source = source
        self._lists = Lists(calls, repository, _PLACES[kind])
        self._pulls = Lists(calls, repository, "issues", state="all")
        self.name = f"{kind}/{repository.id}"
        self.timing = timing

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """Those that changed in the window, from the first on. Each page covers what it holds."""
        if await self._canary.clean(self._repository, window, self.timing):
            yield Page([], covered=window)
            return
        seen, covers = Seen(notes), Covers(window)
        async for sheet in self._sheets(window):
            rows = seen.new(sheet.rows)
            events, broken = self._told(sheet._replace(rows=rows))
            seen.read(rows, sheet.read_at)
            told = seen.notes(window.end - self.timing.overlap) if sheet.upto >= window.end else None
            yield Page(events, broken, covers.until(sheet.upto), told)

    async def _sheets(self, window: Interval) -> AsyncIterator[Sheet]:
        begun = False
        try:
            async for sheet in self._lists.changed(window.start, window.end):
                begun = True
                yield sheet
            return
        except GoneError:
            if begun or self._kind == "review_comments":
                raise
        async for sheet in self._of_pulls(window):
            yield sheet

    async def _of_pulls(self, window: Interval) -> AsyncIterator[Sheet]:
        """Where issues are switched off and their comments with them: those of each pull request that changed since, for a new
        comment is a change. Sheets are in no order but the last, so that nothing is covered before it.
        """
        now = self._calls.now()
        if self._repository.has_pulls:
            async for sheet in self._pulls.all_pulls(window.start, max(window.end, now) + _DAY):
                for row in sheet.rows:
                    async for page in self._of_pull(row.key, window):
                        yield page
        yield Sheet([], [], window.end, now)

    async def _of_pull(self, number: int, window: Interval) -> AsyncIterator[Sheet]:
        path, place = f"{self._repository.path}/issues/{number}/comments", "/repos/{owner}/{repo}/issues/{number}/comments"
        try:
            async for answer in self._calls.pages(path, place, {"since": since_of(window.start)}):
                rows, broken, _, read_at = cut(answer, self._calls.at(answer))
                yield Sheet([row for row in rows if window.start <= row.updated < window.end], broken, window.start, read_at)
        except GoneError:  # with its pull request, since that was listed
            return

    def _told(self, sheet: Sheet) -> tuple[list[Event], list[Broken]]:
        events, broken = list[Event](), list(sheet.broken)
        head = self._repository.head(self._host, "rest")
        for row in sheet.rows:
            try:
                number = number_of(row.body)
                if number is None:
                    continue
                data = b'%b,"number":%d,"comment":%b}' % (head, number, row.body)
                events.append(event_of(data, self._source, sheet.read_at))
            except InvalidEventError as error:
                broken.append(Broken(row.body, str(error), error.reason))
        return events, broken

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return checked_event(record, self._source, read_at)


def number_of(body: bytes) -> int | None:
    """The pull request that a comment is on; None when it is on an issue. Raises InvalidEventError."""
    try:
        found = _comment.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no comment: {error}") from error
    number = _NUMBER.search(found.pull_request_url or found.issue_url)
    if number is None:
        raise InvalidEventError("a comment that is on nothing")
    on_issue = not found.pull_request_url and "/pull/" not in found.html_url
    return None if on_issue else int(number[1])
