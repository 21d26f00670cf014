"""What stands in the index beside what is true: missing, doubled, stale."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from harvester.sandbox.clock import milliseconds
from harvester.sandbox.zoom_truth import ZoomTruth

State = tuple[object, ...]
_MEETINGS = """
SELECT uuid, participant_sessions, start_time, end_time, topic, recording IS NULL FROM meetings
"""
_SESSIONS = """
SELECT meeting, user_id, join_time, leave_time, duration FROM sessions
"""


class Judgement(NamedTuple):
    """Of meetings and sessions together."""

    meetings: int
    sessions: int
    rejoins: int
    """Sessions of somebody who had been in that meeting before."""
    missing: int
    doubled: int
    stale: int
    unknown: int
    """In the index, and not true."""


def judged(path: Path, truth: ZoomTruth) -> Judgement:
    """What the file of the sink holds beside the truth of all that was to be read."""
    with duckdb.connect(str(path), read_only=True) as connection:
        meetings = [(str(row[0]), ("meeting", *map(_utc, row[1:5]))) for row in connection.execute(_MEETINGS).fetchall()]
        rows = connection.execute(_SESSIONS).fetchall()
    sessions = [(_key(*row[:3]), ("session", *map(_utc, row[3:]))) for row in rows]
    held, true = dict([*meetings, *sessions]), _true(truth)
    untold = {uuid for uuid, meeting in truth.meetings.items() if meeting.start_time is None}
    return Judgement(
        meetings=len(meetings),
        sessions=len(sessions),
        rejoins=sum(amount - 1 for amount in Counter((row[0], row[1]) for row in rows).values()),
        missing=len(true.keys() - held.keys()),
        doubled=len(meetings) + len(sessions) - len(held),
        stale=sum(held[key] != state for key, state in true.items() if key in held),
        unknown=len({key for key in held.keys() - true.keys() if key.partition("/")[0] not in untold and key not in untold}),
    )


def _true(truth: ZoomTruth) -> Mapping[str, State]:
    """Of meetings that tell when they began, and of their sessions."""
    told = {uuid: meeting for uuid, meeting in truth.meetings.items() if meeting.start_time is not None}
    meetings: dict[str, State] = {
        uuid: ("meeting", each.participants, each.start_time, each.end_time, each.topic) for uuid, each in told.items()
    }
    sessions: dict[str, State] = {
        _key(each.uuid, each.user_id, each.join_time): ("session", each.leave_time, each.seconds)
        for each in truth.sessions.values()
        if each.uuid in told
    }
    return meetings | sessions


def _key(uuid: object, user: object, joined: datetime) -> str:
    return f"{uuid} {user} {milliseconds(joined if joined.tzinfo else joined.replace(tzinfo=UTC))}"


def _utc(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
