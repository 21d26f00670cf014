"""Opencast's actions.json: one request for a page of it, and the page's rows as events."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from harvester.coverage import Interval
from harvester.errors import InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from harvester.http import Answer, HttpClient, StatusError, checked_json
from harvester.protocols import Broken
from harvester.retry import UnusableError
from harvester.sources.opencast_days import widest
from harvester.sources.opencast_rows import Rows, offset_of, rows, server_bounds, server_span, useraction_event

ACTIONS = "/usertracking/actions.json"
_ROUNDING = timedelta(minutes=1)
"""A row further off than this was asked for by another clock: zones differ by a quarter of an hour or more."""


_HOUR = timedelta(hours=1)


class OutsideError(PermanentError):
    """A row that was not asked for: what was asked for may not have been read."""


class Query(NamedTuple):
    """Which rows to ask for, and between which times they can lie; None: anywhere."""

    parameters: Mapping[str, str]
    within: Interval | None = None
    counted: bool = True
    """Whether the total that the server tells is that of these rows."""


EVERYTHING = Query({})


class Sheet(NamedTuple):
    """A page as it was read: its rows in their order, and those of which it is not known where on the page they stood."""

    total: int | None
    rows: list[Event | Broken]
    refused: list[Broken]

    @property
    def events(self) -> list[Event]:
        return [row for row in self.rows if isinstance(row, Event)]

    @property
    def broken(self) -> list[Broken]:
        return [*self.refused, *(row for row in self.rows if isinstance(row, Broken))]


class Endpoint:
    """The actions of one server."""

    def __init__(self, http: HttpClient, source: str, zone: ZoneInfo) -> None:
        self._http = http
        self._source = source
        self.zone = zone

    def now(self) -> datetime:
        """The server's clock. TransientError before the first answer."""
        return self._http.clock.now()

    def of_window(self, window: Interval, *, counted: bool = True) -> Query:
        """By `start` and `end`, which are whole seconds of the server's wall clock, both inclusive."""
        start, end = server_bounds(window, self.zone)
        return Query({"start": start, "end": end}, server_span(window, self.zone), counted)

    def of_day(self, day: date, *, counted: bool = True) -> Query:
        """By `day` in the server's zone, which leaves out a part of its first and last minute: see opencast_days."""
        return Query({"day": f"{day:%Y%m%d}"}, widest(day, self.zone), counted)

    async def rows(self, query: Query, limit: int, offset: int) -> Rows:
        """One page. Raises TransientError for what is none, PermanentError with what to do for a refusal."""
        found: list[Rows] = []

        def whole(answer: Answer, name: str) -> None:
            try:
                page = rows(checked_json(answer, name))
            except TransientError as error:
                raise UnusableError(str(error)) from error
            if query == EVERYTHING and not (page.rows or page.refused) and offset < (page.total or 0):
                # Of hundreds of pages one may be so: to begin all of them anew would cost more than to ask for it again.
                raise UnusableError(f"{name}: an empty page from row {offset} on, of {page.total} rows that the server counts")
            found.append(page)

        asked: dict[str, Any] = {**query.parameters, "limit": str(limit), "offset": str(offset)}
        try:
            answer = await self._http.get(ACTIONS, check=whole, **asked)
        except StatusError as error:
            raise PermanentError(explain(error)) from error
        return found[-1] if found else rows(answer.body)

    async def sheet(self, query: Query, limit: int, offset: int) -> Sheet:
        """One page as events. OutsideError: it holds a row that was not asked for."""
        read_at = self.now()
        page = await self.rows(query, limit, offset)
        found = [self.event_or_broken(record, read_at) for record in page.rows]
        if query.within is not None:
            self._check(found, query.within)
        refused = [Broken(r.body, str(r.why), r.why.reason) for r in page.refused]
        return Sheet(page.total if query.counted else None, found, refused)

    def event_or_broken(self, record: bytes | msgspec.Raw, read_at: datetime) -> Event | Broken:
        """A row as what becomes of it."""
        try:
            return useraction_event(record, self._source, read_at, self.zone)
        except InvalidEventError as error:
            return Broken(bytes(record), str(error), error.reason)

    def _check(self, found: list[Event | Broken], asked: Interval) -> None:
        first, last = asked.start - _ROUNDING, asked.end + _ROUNDING
        for row in found:  # a call for each would cost as much as the decision
            if isinstance(row, Event) and not first <= row.time <= last:
                self.refuse_outside(row, asked)

    def refuse_outside(self, event: Event, asked: Interval) -> None:
        """A row far from what was asked for would be dropped, and the one that was asked for not read: stop before that."""
        if not asked.start - _ROUNDING <= event.time <= asked.end + _ROUNDING:
            raise OutsideError(
                f"opencast: asked for {asked.start:%Y-%m-%dT%H:%M:%SZ} … {asked.end:%Y-%m-%dT%H:%M:%SZ}, and got an action of "
                f"{event.time:%Y-%m-%dT%H:%M:%SZ}: {self.wrong_zone}, or it ignores start and end, or day. "
                "Nothing of it counts as read."
            )

    def check_offset(self, event: Event) -> None:
        """A day is one of the server's clock: a row that tells another offset from UTC says that the day is another one."""
        told, ours = offset_of(event.data), event.time.astimezone(self.zone).utcoffset()
        if told is not None and told != ours:
            raise PermanentError(
                f"opencast: an action of {event.time:%Y-%m-%dT%H:%M:%SZ} is told as UTC{told / _HOUR:+g} h and not "
                f"UTC{(ours or timedelta()) / _HOUR:+g} h: {self.wrong_zone}, or it counts days in another zone than it writes "
                "times in (set HARVESTER_OPENCAST_MODE=tail). Nothing of its day counts as read."
            )

    @property
    def wrong_zone(self) -> str:
        """Words for it."""
        return f"the server's clock is not that of {self.zone.key} (set HARVESTER_OPENCAST_TIMEZONE)"


FAR_PAST = Interval(datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC))
"""A time at which nobody watched anything."""


def explain(error: StatusError) -> str:
    """A refusal, with what to do about it."""
    match error.status:
        case 401:
            return (
                f"{error}. The digest account is the system account of the server's configuration "
                "(org.opencastproject.security.digest.user); a user account needs HARVESTER_OPENCAST_LOGIN=basic, and basic "
                "switched on at the server."
            )
        case 403:
            return (
                f"{error}: the login is right, but the account lacks a role. Give the account of HARVESTER_OPENCAST_USER "
                "ROLE_ADMIN, or the role that the server's security file asks of GET /usertracking/**."
            )
        case 404:
            return (
                f"opencast: 404 for {ACTIONS}: the plugin opencast-plugin-usertracking is switched off (as it is "
                "by default since Opencast 13) or removed, or this is not the presentation node. Ask the administrator to switch "
                "it on there; without it, episodes come from the harvest interface (/tobira/harvest: set "
                "HARVESTER_OPENCAST_STREAMS=episodes), views from the statistics API or access logs."
            )
        case _:
            return str(error)
