"""The sweep: once a day open pull requests, and those that were closed lately, are read again whole.

Dismissals, edits of reviews and moves of the base branch have not always moved the time of change; here they are found.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from harvester.coverage import EPOCH, Interval, Timing
from harvester.event import Event
from harvester.protocols import Page
from harvester.sources.github_calls import Calls
from harvester.sources.github_lists import Lists, pulls
from harvester.sources.github_pulls import Details
from harvester.sources.github_repository import Repository
from harvester.sources.github_rows import checked_event

_DAY = timedelta(days=1)
_EARLY = timedelta(hours=1)
SWEEPING = Timing(window=None, overlap=timedelta(), settle=timedelta(), pause=_DAY)
State = Literal["open", "closed"]


class _Notes(msgspec.Struct):
    """Where a sweep stands: when it began, in which of its parts it is and how far; when one is over, only when it began.

    Of the notes of one live edge those are kept that are greater as bytes (docs/decisions/0045): what is written later in a sweep
    is greater, and `step` is greater than the `state` of notes of before.
    """

    began: datetime
    step: int | None = None
    since: datetime = EPOCH


class _Before(msgspec.Struct):
    """Notes named the part, when parts had no numbers."""

    state: State | None = None


class _Part(NamedTuple):
    step: int
    state: State
    since: datetime


_notes = msgspec.json.Decoder(_Notes)
_before = msgspec.json.Decoder(_Before)
_STEPS: Mapping[State, int] = {"open": 1, "closed": 2}
_json = msgspec.json.Encoder()


class Sweep:
    """What does not move a pull request's time of change, a day late."""

    timing = SWEEPING

    def __init__(self, calls: Calls, details: Details, repository: Repository, source: str, days: int) -> None:
        self._calls = calls
        self._details = details
        self._repository = repository
        self._source = source
        self._days = timedelta(days=days)
        self._lists: dict[State, Lists] = {state: Lists(calls, repository, "issues", state=state) for state in ("open", "closed")}
        self.name = f"sweep/{repository.id}"

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """Every open pull request and the ones closed lately, unless that was done less than a day ago. A sweep that broke off
        goes on where it was.
        """
        now = self._calls.now()
        known = _known(notes)
        if window.start > now or (known and known.step is None and now - known.began < _DAY - _EARLY):
            yield Page([], covered=window)
            return
        goes_on = known if known and known.step and now - known.began < _DAY else None
        began = goes_on.began if goes_on else now
        for part in self._left(began, goes_on):
            async for page in self._part(part, began, window.start):
                yield page
        yield Page([], covered=window, notes=_json.encode(_Notes(began)))

    def _left(self, began: datetime, goes_on: _Notes | None) -> Sequence[_Part]:
        """What a sweep has to read: all of it, or what is left where it broke off."""
        parts = [_Part(1, "open", EPOCH), *([_Part(2, "closed", began - self._days)] if self._days else [])]
        if goes_on is None or goes_on.step is None:
            return parts
        left = [part for part in parts if part.step >= goes_on.step]
        return [part._replace(since=max(part.since, goes_on.since)) if part.step == goes_on.step else part for part in left]

    async def _part(self, part: _Part, began: datetime, at: datetime) -> AsyncIterator[Page]:
        async for sheet in pulls(self._lists[part.state], self._repository, part.since, began + _DAY):
            rows, broken = list(sheet.rows), sheet.broken
            while rows:
                done, batch = await self._details.read([row.key for row in rows])
                rows = rows[done:]
                stands = _Notes(began, part.step, rows[0].updated if rows else min(sheet.upto, began))
                # covers nothing, but what is noted is kept with it
                yield Page(batch.events, [*broken, *batch.broken], Interval(at, at), _json.encode(stands))
                broken = ()
            if broken:
                yield Page([], broken)

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return checked_event(record, self._source, read_at)


def _known(notes: bytes) -> _Notes | None:
    if not notes:
        return None
    try:
        found, before = _notes.decode(notes), _before.decode(notes)
    except (ValueError, RecursionError):
        return None
    return msgspec.structs.replace(found, step=_STEPS[before.state]) if before.state else found
