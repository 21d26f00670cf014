"""The simulated Zoom as the source's tests judge by it: what of its truth can be harvested, and in which state."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from harvester.coverage import Interval
from harvester.event import Event
from harvester.retry import Retry
from harvester.sandbox.serve import RunningZoom
from harvester.sandbox.zoom_truth import TrueMeeting
from harvester.sources.zoom import Zoom, open_zoom
from harvester.sources.zoom_rows import moment
from tests.zoom_account import QUICK, settings

_DAY = timedelta(days=1)
_UUID = 24
State = tuple[object, ...]


@asynccontextmanager
async def opened(url: str, retry: Retry = QUICK, **switches: Any) -> AsyncIterator[Zoom]:
    """A source of the account, that never really waits."""
    login = {"account_id": "sandbox-account", "client_id": "sandbox-client", "client_secret": "sandbox"}
    hears = {name: switches.pop(name) for name in ("on_wait", "on_allowance", "on_mode", "pacing") if name in switches}
    async with open_zoom(settings(url, **login, **switches), retry=retry, **hears) as source:
        yield source


def state(event: Event) -> State:
    """What of an event changes while its thing stays the same."""
    data = msgspec.json.decode(event.data)
    row = data["meeting"]
    if "participant" in data:
        return ("session", moment(data["participant"]["leave_time"]))
    return ("meeting", row.get("participants", row.get("participants_count")), moment(row["start_time"]), moment(row["end_time"]))


def truth(running: RunningZoom, window: Interval) -> Mapping[str, State]:
    """Every meeting that began in the window, as far as Zoom tells when, and its sessions."""
    found = running.truth(*window)
    told = {uuid: m for uuid, m in found.meetings.items() if m.start_time is not None}
    meetings: dict[str, State] = {u: ("meeting", m.participants, m.start_time, m.end_time) for u, m in told.items()}
    sessions: dict[str, State] = {k: ("session", s.leave_time) for k, s in found.sessions.items() if s.uuid in told}
    return meetings | sessions


def unreadable(running: RunningZoom, window: Interval) -> int:
    """Rows that are no records: of lists, which are of whole days, and of participants; and meetings without these."""
    listed = sum(1 for key in running.truth(*_days(window)).broken if len(key) == _UUID)
    found, now = running.truth(*window), running.clock.now()
    rows = sum(1 for key in found.broken if len(key) > _UUID)
    # of those who were alone reports tell nothing, and everybody knows
    asked = [m for m in found.meetings.values() if running.sandbox.settings.plan == "business" or not m.one]
    return listed + rows + sum(1 for m in asked if _missed(m, now))


def _missed(meeting: TrueMeeting, now: datetime) -> bool:
    over = meeting.end_time or meeting.start_time
    return not meeting.readable and over is not None and now - over >= timedelta(hours=2)


def _days(window: Interval) -> Interval:
    first = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    return Interval(first, (window.end - timedelta(microseconds=1)).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY)
