"""Zoom: past meetings, and who stayed in them from when to when.

API v2 with server-to-server OAuth. Business accounts are read by their dashboard (`/metrics/meetings`), others by reports
(`/report/users/{id}/meetings`). A meeting is known only when it is over, under the day on which it began: so the stream goes by
the time at which meetings began, and a meeting's sessions are of the same window as the meeting. See docs/decisions/0035.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from harvester.coverage import Interval, Timing
from harvester.event import Event
from harvester.http import Allowance, HttpClient, HttpSettings, base_url, open_http
from harvester.protocols import Page
from harvester.retry import DAEMON, Retry, Wait
from harvester.sources.zoom_access import Access, explain_token
from harvester.sources.zoom_calls import Calls
from harvester.sources.zoom_limits import REAL_TIME, Budget, Limits, Pacing
from harvester.sources.zoom_lists import Lists, OnMode
from harvester.sources.zoom_notes import MOST, Memory, crowded
from harvester.sources.zoom_reading import Reading, patience
from harvester.sources.zoom_refusals import explain, nameless
from harvester.sources.zoom_rows import checked_event, days, midnight
from harvester.sources.zoom_settings import ZoomSettings, api_settings, oauth_settings

__all__ = ["LeftOut", "Meetings", "Zoom", "ZoomSettings", "open_zoom"]


@asynccontextmanager
async def open_zoom(
    settings: ZoomSettings,
    *,
    zone: str = "UTC",  # noqa: ARG001 - Zoom's days are UTC
    retry: Retry = DAEMON,
    on_request: Callable[[str, str, float], None] | None = None,
    on_wait: Callable[[Wait], None] | None = None,
    on_allowance: Callable[[Allowance], None] | None = None,
    on_mode: OnMode | None = None,
    pacing: Pacing = REAL_TIME,
) -> AsyncIterator["Zoom"]:
    """The source of one account. `on_mode` hears when reports are read and why, `on_allowance` what is left of the day's calls.
    `pacing`: the clock by which it waits.

    Raises ConfigError for a bad address.
    """

    def waits(wait: Wait) -> None:
        if on_wait is not None:
            on_wait(wait._replace(text=access.hidden(nameless(wait.text))))

    told: dict[str, Any] = {"retry": retry, "on_request": on_request, "on_wait": waits, "sleep": pacing.sleep}

    def open_api(url: str) -> Any:
        return open_http(api_settings(settings, url), explain=explain, **told)

    def budgeted(most: int, left: int, reset: float) -> None:
        if on_allowance is not None:
            on_allowance(Allowance(most, left, reset))

    async with AsyncExitStack() as stack:
        usual, tokens = api_settings(settings).url, oauth_settings(settings)
        oauth: HttpClient = await stack.enter_async_context(open_http(tokens, explain=explain_token, **told))
        access = Access(oauth, str(base_url(settings.oauth_url)), settings.account_id, usual, open_api, stack)
        budget = Budget(access.now, settings.daily_calls, budgeted)
        calls = Calls(access, Limits(budget, retry.scale, pacing), settings.page_size)
        yield Zoom(calls, settings, on_mode)


def http_settings(settings: ZoomSettings) -> HttpSettings:
    """How the API is reached. Raises ConfigError."""
    return api_settings(settings)


class Zoom:
    """One Zoom account; it has one stream."""

    name = "zoom"

    def __init__(self, calls: Calls, settings: ZoomSettings, on_mode: OnMode | None = None) -> None:
        self._calls = calls
        self._stream = Meetings(calls, settings, self.name, on_mode)

    async def streams(self) -> Sequence["Meetings"]:
        """The meetings. Raises PermanentError, with what to check, when no token is given to us."""
        await self._calls.opened()
        return [self._stream]

    def now(self) -> datetime:
        """Zoom's clock, known since the token."""
        return self._calls.now()


class _Carried(NamedTuple):
    """Where a poll stands between two of its windows."""

    notes: bytes
    until: datetime
    memory: Memory


class LeftOut(NamedTuple):
    """Meetings of a day whose begin Zoom does not tell yet, and when they are read although it does not."""

    day: date
    meetings: int
    until: datetime


class Meetings:
    """Every past meeting with its sessions, by the time at which it began."""

    name = "meetings"

    def __init__(self, calls: Calls, settings: ZoomSettings, source: str, on_mode: OnMode | None = None) -> None:
        self._calls = calls
        self._source = source
        self._lists = Lists(calls, settings.mode, on_mode)
        self._on_mode = on_mode
        self._sparing = False
        self._carried: _Carried | None = None
        overlap = settings.timing.overlap
        self.timing: Timing = settings.timing._replace(new_first=lambda notes: crowded(notes, overlap))
        """How it wants to be read."""
        self._left_out: dict[str, date] = {}

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """All past meetings that began in the window, each with its sessions after it, in the order in which they began.

        Raises TransientError when the calls of the day are used up: what was finished is covered before. A meeting whose
        participants cannot be read is there without them, and they are told as broken.
        """
        now, timing = self._calls.now(), self.timing
        memory = self._memory(window, notes)
        known = Interval(max(window.start, now - (timing.horizon or timedelta.max)), min(window.end, now))
        self._spare(memory, now)
        reading = Reading(self._lists, memory, self._source, known, asked_at=now, timing=timing)
        for day in days(*known) if known.start < known.end else ():
            async for page in reading.day(day):
                yield page
        left_out = {uuid: day for uuid, day in self._left_out.items() if midnight(day) + patience(self.timing) > now}
        self._left_out = left_out | reading.left_out
        self._carried = _Carried(notes, window.end, memory)
        yield Page([], notes=reading.notes(known.end))

    def left_out(self) -> Sequence[LeftOut]:
        """Meetings that were listed and left for a later reading, by day."""
        days_of = Counter(self._left_out.values())
        return [LeftOut(day, amount, midnight(day) + patience(self.timing)) for day, amount in sorted(days_of.items())]

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return checked_event(record, self._source, read_at)

    def _spare(self, memory: Memory, now: datetime) -> None:
        """Say once that there are more meetings than are noted."""
        overlap = self.timing.overlap
        if self._on_mode is None or self._sparing or memory.dropped <= now - overlap:
            return
        self._sparing = True
        held = f"of the last {overlap.total_seconds() / 86_400:g} days the newest {MOST:,} meetings are noted"
        self._on_mode("sparing", f"{held}, and there are more: what changes of the others is read when their day is final")

    def _memory(self, window: Interval, notes: bytes) -> Memory:
        """What is known by the notes, and by the window of the same poll that was read just before and ends where this begins.

        Nothing else is believed: what came of another reading is not known to be in the queue.
        """
        carried, self._carried = self._carried, None
        if carried is not None and carried.notes == notes and carried.until == window.start:
            return carried.memory
        return Memory.decoded(notes, self._calls.limits.budget)
