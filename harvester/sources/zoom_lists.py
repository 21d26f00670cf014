"""Where Zoom's lists are read: the dashboard where the plan and the scopes allow it, else the reports."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Literal, NamedTuple

import msgspec

from harvester.errors import InvalidEventError, PermanentError
from harvester.protocols import Broken
from harvester.sources.zoom_calls import (
    Calls,
    Sheet,
    active_users,
    listed_by_dashboard,
    listed_by_report,
    none_of,
    stays_by_dashboard,
    stays_by_report,
    stays_of_past,
)
from harvester.sources.zoom_limits import Budget
from harvester.sources.zoom_refusals import NotAllowedError, NotThereError, TokenRefusedError
from harvester.sources.zoom_rows import From, Meeting, meeting_of

Mode = Literal["auto", "dashboard", "report"]
OnMode = Callable[[str, str], None]
ALONE = "pastOne"
_KINDS = ("past", ALONE)
"""Meetings of several people, and those of one, which the first leaves out. Reports tell nothing of who was there alone."""

_SEVERAL = 3
"""So many hosts who are all refused are no fault of the hosts."""


class Missing(NamedTuple):
    """Zoom knows no participants of a meeting, or does not give them; `why` is "" where it never does."""

    why: str = ""


class _User(msgspec.Struct):
    id: str


_user = msgspec.json.Decoder(_User)


class Lists:
    """A way that is closed once is not tried again by this process."""

    def __init__(self, calls: Calls, mode: Mode, on_mode: OnMode | None = None) -> None:
        self._calls = calls
        self._on_mode = on_mode
        self._auto = mode == "auto"
        self._meetings: From = "report" if mode == "report" else "dashboard"
        self._stays: From = self._meetings
        calls.limits.plan("pro" if mode == "report" else "business")

    @property
    def budget(self) -> Budget:
        """The calls of the day."""
        return self._calls.limits.budget

    def now(self) -> datetime:
        """Zoom's clock."""
        return self._calls.now()

    async def meetings(self, day: date) -> tuple[list[Meeting], list[Broken]]:
        """The past meetings of a day (UTC, all of it), each once, and the rows that are none.

        Raises PermanentError, naming the plan or the scope that is missing, when no way is open.
        """
        if self._meetings == "dashboard":
            try:
                return await self._by_dashboard(day)
            except NotAllowedError as error:
                if not self._auto:
                    raise NotAllowedError(f"{error}; set HARVESTER_ZOOM_MODE=auto, and reports are read instead") from error
                self._meetings = self._stays = "report"
                self._calls.limits.plan("pro")
                self._told(str(error))
        return await self._by_report(day)

    async def stays(self, meeting: Meeting) -> list[Sheet] | Missing:
        """The participants of a meeting, as pages."""
        if meeting.listed == "dashboard" and self._stays == "dashboard":
            try:
                return await self._calls.whole(stays_by_dashboard(meeting))
            except NotThereError as error:
                return Missing(str(error))
            except NotAllowedError as error:
                if not self._auto:
                    raise
                self._stays = "report"
                self._told(str(error))
        if meeting.kind == ALONE:
            return Missing()
        try:
            return await self._calls.whole(stays_by_report(meeting))
        except NotThereError:
            return await self._past(meeting)

    async def _past(self, meeting: Meeting) -> list[Sheet] | Missing:
        """Of a meeting that the reports do not know."""
        try:
            return await self._calls.whole(stays_of_past(meeting))
        except (NotThereError, NotAllowedError) as error:
            return Missing(str(error))

    async def _by_dashboard(self, day: date) -> tuple[list[Meeting], list[Broken]]:
        found = _Found()
        for kind in _KINDS:
            for sheet in await self._calls.whole(listed_by_dashboard(day, kind)):
                found.take(sheet, day, "dashboard", kind)
        return found.meetings, found.broken

    async def _by_report(self, day: date) -> tuple[list[Meeting], list[Broken]]:
        """A host whose meetings are refused is broken, and the others go on. Raises when so are all of several."""
        found = _Found()
        users: dict[str, bytes] = {}
        for sheet in await self._calls.whole(active_users(day)):
            for row in sheet.rows.rows:
                try:
                    users[_user.decode(row).id] = row
                except ValueError as error:
                    found.broken.append(Broken(row, f"no user: {error}", "schema"))
            found.broken += [Broken(body, str(why), why.reason) for body, why in sheet.rows.refused]
        refused: list[PermanentError] = []
        for user, row in users.items():
            try:
                await self._of_host(user, day, found)
            except (NotAllowedError, TokenRefusedError):
                raise
            except PermanentError as error:
                refused.append(error)
                found.broken.append(_unread(row, day, error))
        if len(refused) == len(users) >= _SEVERAL:
            raise refused[-1]
        return found.meetings, found.broken

    async def _of_host(self, user: str, day: date, found: "_Found") -> None:
        for kind in _KINDS:
            for sheet in await none_of(self._calls.whole(listed_by_report(user, day, kind))):
                found.take(sheet, day, "report", kind, user)

    def _told(self, why: str) -> None:
        if self._on_mode is not None:
            self._on_mode("report", why)


def _unread(user: bytes, day: date, error: PermanentError) -> Broken:
    """What is kept of the meetings of a host on a day that Zoom does not give."""
    body = b'{"day":"%b",%b' % (day.isoformat().encode(), user.partition(b"{")[2])
    return Broken(body, f"the meetings of a host on {day}: {error}", "host")


class _Found:
    """Meetings of several pages; one that came again, as its list moved on, stands as it came last."""

    def __init__(self) -> None:
        self._meetings: dict[str, Meeting] = {}
        self.broken: list[Broken] = []

    @property
    def meetings(self) -> list[Meeting]:
        return list(self._meetings.values())

    def take(self, sheet: Sheet, day: date, listed: From, kind: str, host: str = "") -> None:
        self.broken += [Broken(body, str(why), why.reason) for body, why in sheet.rows.refused]
        for row in sheet.rows.rows:
            try:
                meeting = meeting_of(row, day, listed, kind, sheet.read_at, host)
            except InvalidEventError as error:
                self.broken.append(Broken(row, str(error), error.reason))
                continue
            self._meetings[meeting.uuid] = meeting
