"""Zoom's calls: a request with its class and its token, a list read to its last page, and the paths of dashboard and reports."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime
from typing import NamedTuple, TypeVar

from harvester.errors import HarvesterError, TransientError
from harvester.http import Answer, Pages
from harvester.retry import UnusableError
from harvester.sources.zoom_access import Access
from harvester.sources.zoom_limits import Limits, Rate, as_transient
from harvester.sources.zoom_refusals import (
    DailyLimitError,
    NotThereError,
    PageTokenError,
    SpentError,
    TokenRefusedError,
    nameless,
)
from harvester.sources.zoom_rows import Meeting, Rows, path_id, rows_of

_T = TypeVar("_T")
_AFRESH = 3
"""How often a list is begun again because the token of its next page died, before it goes to the caller."""
_LOGIN = "check HARVESTER_ZOOM_ACCOUNT_ID, HARVESTER_ZOOM_CLIENT_ID and HARVESTER_ZOOM_CLIENT_SECRET"


class Call(NamedTuple):
    """A list that can be asked for: its path, its name among the metrics, its class, and the key of its rows."""

    path: str
    endpoint: str
    rate: Rate
    key: str
    query: dict[str, str]


class Sheet(NamedTuple):
    """A page, and when the request that read it was sent."""

    rows: Rows
    read_at: datetime


def listed_by_dashboard(day: date, kind: str) -> Call:
    """The past meetings of a day; without a type it would be the live ones."""
    return Call("/metrics/meetings", "/metrics/meetings", "intensive", "meetings", {"type": kind, **_on(day)})


def active_users(day: date) -> Call:
    """Who was host that day."""
    return Call("/report/users", "/report/users", "heavy", "users", {"type": "active", **_on(day)})


def listed_by_report(user: str, day: date, kind: str) -> Call:
    """The past meetings of one host on a day."""
    query = {"type": kind, **_on(day)}
    return Call(f"/report/users/{path_id(user)}/meetings", "/report/users/{userId}/meetings", "heavy", "meetings", query)


def stays_by_dashboard(meeting: Meeting) -> Call:
    """The participants of a meeting."""
    query = {"type": meeting.kind, "include_fields": "registrant_id"}
    return _of_meeting("/metrics/meetings/{}/participants", meeting, "heavy", query)


def stays_by_report(meeting: Meeting) -> Call:
    """The participants of a meeting of two people or more."""
    return _of_meeting("/report/meetings/{}/participants", meeting, "heavy", {"include_fields": "registrant_id"})


def stays_of_past(meeting: Meeting) -> Call:
    """The participants of any past meeting, with fewer fields."""
    return _of_meeting("/past_meetings/{}/participants", meeting, "medium", {})


def _of_meeting(path: str, meeting: Meeting, rate: Rate, query: dict[str, str]) -> Call:
    return Call(path.format(path_id(meeting.uuid)), path.format("{uuid}"), rate, "participants", query)


def _on(day: date) -> dict[str, str]:
    return {"from": day.isoformat(), "to": day.isoformat()}


class Calls:
    """Asks. What is over the limit of a day becomes a TransientError that says when to go on, and nothing is asked until then."""

    def __init__(self, access: Access, limits: Limits, page_size: int) -> None:
        self._access = access
        self.limits = limits
        self._page_size = page_size

    def now(self) -> datetime:
        """Zoom's clock. TransientError before the first answer."""
        return self._access.now()

    async def opened(self) -> None:
        """Get a token. Raises PermanentError, with what to check, when there is none for us."""
        await self._access.token()

    async def whole(self, call: Call) -> list[Sheet]:
        """Every page of a list. A token lives a quarter of an hour, is good for this query alone, and is kept nowhere."""
        for _ in range(_AFRESH):
            try:
                return [sheet async for sheet in self._pages(call)]
            except PageTokenError as error:
                died = error
        raise TransientError(str(died)) from died

    async def _pages(self, call: Call) -> AsyncIterator[Sheet]:
        pages, token = Pages("zoom"), ""
        while True:
            sheet = await self._page(call, token)
            yield sheet
            token = sheet.rows.token
            if not token:  # and not at a total: it may be above what is given
                return
            pages.turned(token, len(sheet.rows.rows))

    async def _page(self, call: Call, token: str) -> Sheet:
        found: list[Rows] = []

        def whole(answer: Answer, _: str) -> None:
            try:
                found.append(rows_of(answer.body, call.key))
            except TransientError as error:
                raise UnusableError(str(error)) from error

        answer = await self._get(call, token, whole)
        if not found:
            raise UnusableError(f"zoom: {answer.status} without a page for {call.endpoint}")
        client = await self._access.client()
        sent = client.clock.at(answer.sent)
        if call.rate != "medium":
            self.limits.budget.heard(answer.headers, sent)
        return Sheet(found[-1], sent)

    async def _get(self, call: Call, page: str, check: Callable[[Answer, str], object]) -> Answer:
        query = {**call.query, "page_size": str(self._page_size), "next_page_token": page or None}

        async def ask(token: str) -> Answer:
            client = await self._access.client()
            headers = {"Authorization": f"Bearer {token}"}
            limits = self.limits.of(call.rate)
            return await client.get(call.path, headers=headers, check=check, endpoint=call.endpoint, limits=limits, **query)

        try:
            return await self._with_token(ask)
        except HarvesterError as error:
            # What the client says of a way that failed names the path, and vendors repeat what they were sent.
            error.args = (self._access.hidden(nameless(str(error))), *error.args[1:])
            if not isinstance(error, DailyLimitError):
                raise
            if not isinstance(error, SpentError):  # our own count may be allowed more before the day is over
                self.limits.budget.block(error.until)
            raise as_transient(error, self.now()) from error

    async def _with_token(self, ask: Callable[[str], Awaitable[_T]]) -> _T:
        """Ask; a token that is refused is renewed once."""
        token = await self._access.token()
        try:
            return await ask(token)
        except TokenRefusedError:
            try:
                return await ask(await self._access.token(refused=token))
            except TokenRefusedError as error:
                raise TokenRefusedError(f"{error}, and so was a new one: {_LOGIN}") from error


async def none_of(sheets: Awaitable[list[Sheet]]) -> list[Sheet]:
    """The pages, none when what they are of is not there (any more)."""
    try:
        return await sheets
    except NotThereError:
        return []
