"""One window of Zoom's meetings as it is read: each with its sessions, and what is complete when the reading breaks off."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, timedelta

from harvester.coverage import Interval, Timing
from harvester.errors import HarvesterError, PermanentError
from harvester.event import Event
from harvester.protocols import Broken, Page
from harvester.retry import UnusableError
from harvester.sources.zoom_limits import NothingLeftError
from harvester.sources.zoom_lists import Lists, Missing
from harvester.sources.zoom_notes import Memory
from harvester.sources.zoom_refusals import NotAllowedError, TokenRefusedError
from harvester.sources.zoom_rows import Meeting, event_of, meeting_data, missing, people, stays_of

_PAGE_EVENTS = 1000
_COVER_EVERY = 25
"""Meetings whose participants are asked for before what is finished is told: so much is asked for again after a crash."""
_YOUNG = timedelta(hours=2)
"""A meeting that ended so recently may have its participants still to come."""
_DAY = timedelta(days=1)
_KEPT = _DAY
"""Meetings are noted for so much longer than they are read again."""
_PATIENCE = timedelta(days=2)
"""A meeting without a begin is left out for so long from the begin of its day on: it comes, and its time must not change."""
_IN_A_ROW = 3
"""So many meetings, one after another, that cannot be read are no fault of the meetings."""
_OF_ZOOM = (UnusableError, NotAllowedError, TokenRefusedError)
"""What may be the matter with all of them; any other refusal is of the one that was asked for."""


def patience(timing: Timing) -> timedelta:
    """How long from the begin of its day on a meeting without a begin is left out: never for good."""
    return min(_PATIENCE, _DAY + timing.settle)  # then the end of its day becomes final


class Reading:
    """One window, asked for at `asked_at`."""

    def __init__(
        self, lists: Lists, memory: Memory, source: str, window: Interval, *, asked_at: datetime, timing: Timing
    ) -> None:
        self._lists = lists
        self._memory = memory
        self._source = source
        self._window = window
        self._asked_at = asked_at
        self._timing = timing
        self._asked = 0
        """Meetings whose participants were asked for since it was last told what is finished."""
        self._doubtful: list[tuple[Meeting, HarvesterError]] = []
        """Meetings that could not be read, while it is not known whether any other can."""
        self.left_out: dict[str, date] = {}
        """Meetings that are left for a later reading, by uuid, with their day."""

    def notes(self, read_to: datetime) -> bytes:
        """What the next poll should know."""
        oldest = min(self._memory.edge or self._window.end, self._window.end) - self._timing.overlap - _KEPT
        return self._memory.encoded(oldest, read_to, self._lists.budget)

    async def day(self, day: date) -> AsyncIterator[Page]:
        """The part of the window that lies in one day. What raises comes after a page that covers what was finished before."""
        meeting: Meeting | None = None
        try:
            listed, broken = await self._lists.meetings(day)
            if broken:
                yield Page([], broken)
            for meeting in self._due(listed, day):
                for page in await self._meeting(meeting):
                    yield page
                if self._asked >= _COVER_EVERY:
                    yield self._finished(meeting)
            for page in self._given_up(at_the_end=True):
                yield page
        except HarvesterError as error:
            if self._asked or isinstance(error, NothingLeftError):
                yield self._finished(meeting)
            raise

    def _due(self, listed: Sequence[Meeting], day: date) -> Sequence[Meeting]:
        """What of a day's list is read now, in the order in which it began."""
        return sorted((m for m in listed if self._wanted(m, day) and not self._put_off(m, day)), key=lambda m: m.start)

    def _wanted(self, meeting: Meeting, day: date) -> bool:
        """Whether it began in the window, or on another day than it is listed for, so that no other window asks for it.

        Where no begin is told it is of each window of its day, so that it is of the one that makes the end of the day final.
        """
        if meeting.blank:
            early = self._asked_at < meeting.start + patience(self._timing)
            if early:
                self.left_out[meeting.uuid] = day
            return not early
        return self._window.start <= meeting.start < self._window.end or meeting.start.date() != day

    def _put_off(self, meeting: Meeting, day: date) -> bool:
        """Whether it is left for the reading that makes it final, as there was no room to note that it was read.

        Asked for at every poll, such meetings would take the calls of the day from those that are new.
        """
        again = meeting.start >= self._asked_at - self._timing.settle and meeting.start.date() == day and not meeting.blank
        return again and self._memory.forgotten(meeting)

    def _finished(self, meeting: Meeting | None) -> Page:
        """What is complete when `meeting` is not, or may have companions of the same moment: an empty interval when nothing is.

        What is noted goes with it in any case: the calls of the day are spent.
        """
        self._asked = 0
        begins = [unsure.start for unsure in (meeting, *(doubtful for doubtful, _ in self._doubtful)) if unsure]
        start, end = self._window.start, min(begins, default=self._window.start)
        end = end if start < end <= self._window.end else start
        return Page([], covered=Interval(start, end), notes=self.notes(end))

    async def _meeting(self, meeting: Meeting) -> Sequence[Page]:
        """The pages of a meeting and its sessions; without these when they were read before and it did not change since."""
        now = self._lists.now()
        if seen := self._memory.unchanged(meeting, now):
            return [Page([self._event(meeting, seen.people)])]
        try:
            sheets = await self._lists.stays(meeting)
        except _OF_ZOOM as error:
            self._doubtful.append((meeting, error))
            if len(self._doubtful) >= _IN_A_ROW:
                raise
            return []
        except PermanentError as error:
            self._asked += 1
            return [self._without(meeting, str(error))]
        self._asked += 1
        before = self._given_up()
        if isinstance(sheets, Missing):
            return [*before, self._without(meeting, sheets.why)]
        events: list[Event] = []
        broken: list[Broken] = []
        for rows, read_at in sheets:
            found, bad = stays_of(meeting, rows, self._source, read_at)
            events += found
            broken += bad
        amount = people(events)
        self._memory.read(meeting, len(events) + len(broken), amount, now)
        events = [self._event(meeting, amount), *events]
        pieces = [Page(events[at : at + _PAGE_EVENTS]) for at in range(0, len(events), _PAGE_EVENTS)]
        return [*before, pieces[0]._replace(broken=broken), *pieces[1:]]

    def _without(self, meeting: Meeting, why: str) -> Page:
        """A meeting alone. Its participants are broken, unless there are none, or they may still come."""
        now = self._lists.now()
        self._memory.read(meeting, 0, None, now)
        known = bool(why) and meeting.expected != 0 and now - (meeting.end or meeting.start) >= _YOUNG
        return Page([self._event(meeting, None)], [missing(meeting, why)] if known else [])

    def _given_up(self, *, at_the_end: bool = False) -> list[Page]:
        """The doubtful ones, now that others could be read, or at least Zoom said of each of them that it cannot be.

        Raises what was the matter when nothing tells whether anything can be read.
        """
        doubtful, self._doubtful = self._doubtful, []
        for unsure, error in doubtful if at_the_end else ():
            if isinstance(error, UnusableError):
                self._doubtful = [(unsure, error)]
                raise error
        return [self._without(meeting, str(error)) for meeting, error in doubtful]

    def _event(self, meeting: Meeting, amount: int | None) -> Event:
        return event_of(meeting_data(meeting, amount), self._source, meeting.read_at)
