"""The vendors of the crash proof: how each is simulated and harvested, and what of its truth a sink must hold."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

State = tuple[object, ...]
Row = tuple[str, State]
"""A thing's key, and the state it is held in."""


class Span:
    """The history that is harvested: closed-open whole hours up to a midnight."""

    def __init__(self, *, hours: int, end: datetime | None = None) -> None:
        self.end = end or datetime(2026, 10, 5, tzinfo=UTC)
        self.start = self.end - timedelta(hours=hours)


class Truth(NamedTuple):
    """What a sink must hold."""

    things: Mapping[str, State]
    unfit: int
    """Records that can only end as letters."""
    windows: Counter[str]
    """Events by the window in which they are read."""


class Table(NamedTuple):
    """Where one kind of thing is held, by its name in DuckDB and in an index: the key, then the state."""

    name: str
    columns: Sequence[str]
    fields: Sequence[str]


class Vendor(NamedTuple):
    """One source with its simulation."""

    name: str
    sandbox: Sequence[str]
    """The command that serves it, with what is its own."""
    amount: str
    """The option of that command that says how much happens a day."""
    records: str
    """A share of records that are unfit."""
    rest: timedelta
    """So long after the end of a span nothing of it changes any more."""
    settings: Callable[[str, Span], Mapping[str, str]]
    """How it is harvested, by its address."""
    slowly: Callable[[float], Mapping[str, str]]
    """The settings that keep so many seconds between two requests, where it can be asked without end."""
    truth: Callable[[Mapping[str, Any]], Truth]
    """What its `/truth` says."""
    tables: Sequence[Table]
    passes: Sequence[int]
    """At which passes of a named point the process dies."""

    def __str__(self) -> str:
        return self.name


def _opencast_settings(url: str, span: Span) -> Mapping[str, str]:
    return {
        "HARVESTER_OPENCAST_URL": url,
        "HARVESTER_OPENCAST_USER": "harvester",
        "HARVESTER_OPENCAST_PASSWORD": "sandbox",
        "HARVESTER_OPENCAST_WAIT": "0",
        "HARVESTER_OPENCAST_BATCH_SIZE": "100",
        "HARVESTER_OPENCAST_OVERLAP": "0",
        "HARVESTER_OPENCAST_WINDOW": "3600",
        "HARVESTER_OPENCAST_START": span.start.isoformat(),
    }


def _opencast_truth(told: Mapping[str, Any]) -> Truth:
    actions: Mapping[str, Any] = told["actions"]
    return Truth(
        {key: (action["outpoint"],) for key, action in actions.items()},
        len(told["broken"]),
        Counter(action["created"][:13] for action in actions.values()),
    )


def _zoom_settings(url: str, span: Span) -> Mapping[str, str]:
    return {
        "HARVESTER_SOURCES": "zoom",
        "HARVESTER_ZOOM_URL": f"{url}/v2",
        "HARVESTER_ZOOM_OAUTH_URL": f"{url}/oauth/token",
        "HARVESTER_ZOOM_ACCOUNT_ID": "sandbox-account",
        "HARVESTER_ZOOM_CLIENT_ID": "sandbox-client",
        "HARVESTER_ZOOM_CLIENT_SECRET": "sandbox",
        "HARVESTER_ZOOM_SETTLE": "0",
        "HARVESTER_ZOOM_POLL": "0",
        "HARVESTER_ZOOM_START": span.start.isoformat(),
    }


def _zoom_truth(told: Mapping[str, Any]) -> Truth:
    """Nobody can read who was in a meeting that was deleted: that is a letter, unless nobody is known to have been there."""
    meetings: Mapping[str, Any] = told["meetings"]
    sessions = list(told["sessions"].values())
    things: dict[str, State] = {uuid: (one["participants"], one["end_time"]) for uuid, one in meetings.items()}
    things |= {f"{one['uuid']}_{one['user_id']}_{one['join_time']}": (one["leave_time"],) for one in sessions}
    unread = sum(not one["readable"] and one["participants"] > 0 for one in meetings.values())
    days = {uuid: (one["start_time"] or "")[:10] for uuid, one in meetings.items()}
    windows = Counter([*days.values(), *(days[one["uuid"]] for one in sessions if one["uuid"] in days)])
    return Truth(things, len(told["broken"]) + unread, windows)


OPENCAST = Vendor(
    name="opencast",
    sandbox=("sandbox", "--login", "digest"),
    amount="--actions-per-day",
    records="records=0.002",
    rest=timedelta(hours=12),
    settings=_opencast_settings,
    slowly=lambda seconds: {"HARVESTER_OPENCAST_WAIT": f"{seconds:g}"},
    truth=_opencast_truth,
    tables=[Table("useractions", ("action_id", "action_outpoint"), ("action_id", "action.outpoint"))],
    passes=(1, 2, 7),
)
ZOOM = Vendor(
    name="zoom",
    # Each process that is killed would have used up a part of the calls of the minute.
    sandbox=("sandbox", "zoom", "--pace", "1000"),
    amount="--meetings-per-day",
    records="records=0.01",
    rest=timedelta(hours=72),
    settings=_zoom_settings,
    slowly=lambda _: {},  # it keeps to the limits of Zoom
    truth=_zoom_truth,
    tables=[
        Table("meetings", ("uuid", "participant_sessions", "end_time"), ("uuid", "participant_sessions", "end_time")),
        Table("sessions", ("session_id", "leave_time"), ("session_id", "leave_time")),
    ],
    passes=(1, 2),
)
VENDORS = {vendor.name: vendor for vendor in (OPENCAST, ZOOM)}
