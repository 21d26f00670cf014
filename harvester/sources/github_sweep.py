"""The sweep: once a day open pull requests, and those that were closed lately, are read again whole.

Dismissals, edits of reviews and moves of the base branch have not always moved the time of change; here they are found.
"""

from collections.abc import AsyncIterator
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
    """Where a sweep stands: when it began, and what is done; when one is over, only when it began."""

    began: datetime
    state: State | None = None
    since: datetime = EPOCH


class _Part(NamedTuple):
    state: State
    since: datetime


_notes = msgspec.json.Decoder(_Notes)
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
        if window.start > now or (known and known.state is None and now - known.began < _DAY - _EARLY):
            yield Page([], covered=window)
            return
        goes_on = known if known and known.state and now - known.began < _DAY else None
        began = goes_on.began if goes_on else now
        parts = [_Part("open", EPOCH), *([_Part("closed", began - self._days)] if self._days else [])]
        if goes_on and goes_on.state == "closed":
            parts = parts[1:]
        if goes_on and parts:
            parts[0] = parts[0]._replace(since=max(parts[0].since, goes_on.since))
        for state, since in parts:
            async for page in self._part(state, since, began, window.start):
                yield page
        yield Page([], covered=window, notes=_json.encode(_Notes(began)))

    async def _part(self, state: State, since: datetime, began: datetime, at: datetime) -> AsyncIterator[Page]:
        async for sheet in pulls(self._lists[state], self._repository, since, began + _DAY):
            rows, broken = list(sheet.rows), sheet.broken
            while rows:
                done, batch = await self._details.read([row.key for row in rows])
                rows = rows[done:]
                stands = _Notes(began, state, rows[0].updated if rows else min(sheet.upto, began))
                # covers nothing, but what is noted is kept with it
                yield Page(batch.events, [*broken, *batch.broken], Interval(at, at), _json.encode(stands))
                broken = ()
            if broken:
                yield Page([], broken)

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return checked_event(record, self._source, read_at)


def _known(notes: bytes) -> _Notes | None:
    try:
        return _notes.decode(notes) if notes else None
    except (ValueError, RecursionError):
        return None
