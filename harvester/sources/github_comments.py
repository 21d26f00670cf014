"""Both kinds of comments, by the time at which they changed: each is one list for the whole repository."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal

import msgspec

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError
from harvester.event import Event
from harvester.protocols import Broken, Page
from harvester.sources.github_calls import Calls
from harvester.sources.github_canary import Canary
from harvester.sources.github_lists import Lists, Sheet
from harvester.sources.github_progress import Covers, Seen
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import checked_event, event_of

Kind = Literal["review_comments", "issue_comments"]
_PLACES: dict[Kind, str] = {"review_comments": "pulls/comments", "issue_comments": "issues/comments"}
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
        self._canary = canary
        self._repository = repository
        self._host = host
        self._source = source
        self._lists = Lists(calls, repository, _PLACES[kind])
        self.name = f"{kind}/{repository.id}"
        self.timing = timing

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """Those that changed in the window, from the first on. Each page covers what it holds."""
        if await self._canary.clean(self._repository, window, self.timing):
            yield Page([], covered=window)
            return
        seen, covers = Seen(notes), Covers(window)
        async for sheet in self._lists.changed(window.start, window.end):
            rows = seen.new(sheet.rows)
            events, broken = self._told(sheet._replace(rows=rows))
            seen.read(rows, sheet.read_at)
            told = seen.notes(window.end - self.timing.overlap) if sheet.upto >= window.end else None
            yield Page(events, broken, covers.until(sheet.upto), told)

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
