"""What a sink holds beside what is true: missing, doubled, stale."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from harvester.sandbox.zoom_truth import ZoomTruth
from tests.crash.targets import Target
from tests.crash.vendors import State, Table

_MEETING = ("uuid", "participant_sessions", "start_time", "end_time", "topic")
_SESSION = ("session_id", "meeting", "user_id", "join_time", "leave_time", "duration")
_MEETINGS, _SESSIONS = Table("meetings", _MEETING, _MEETING), Table("sessions", _SESSION, _SESSION)


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
    """Held, and not true."""


def judged(target: Target, folder: Path, truth: ZoomTruth) -> Judgement:
    """What it holds beside the truth of all that was to be read. A session is known by its meeting, its user and its begin."""
    meetings = [(key, ("meeting", *state)) for key, state in target.read(folder, [_MEETINGS])]
    stays = [state for _, state in target.read(folder, [_SESSIONS])]
    sessions = [(_key(*state[:3]), ("session", *state[3:])) for state in stays]
    held, true = dict([*meetings, *sessions]), _true(truth)
    untold = {uuid for uuid, meeting in truth.meetings.items() if meeting.start_time is None}
    return Judgement(
        meetings=len(meetings),
        sessions=len(sessions),
        rejoins=sum(amount - 1 for amount in Counter(state[:2] for state in stays).values()),
        missing=len(true.keys() - held.keys()),
        doubled=len(meetings) + len(sessions) - len(held),
        stale=sum(held[key] != state for key, state in true.items() if key in held),
        unknown=sum(key.partition(" ")[0] not in untold for key in held.keys() - true.keys()),
    )


def _true(truth: ZoomTruth) -> Mapping[str, State]:
    """Of meetings that tell when they began, and of their sessions."""
    told = {uuid: meeting for uuid, meeting in truth.meetings.items() if meeting.start_time is not None}
    meetings: dict[str, State] = {
        uuid: ("meeting", each.participants, _written(each.start_time), _written(each.end_time), each.topic)
        for uuid, each in told.items()
    }
    sessions: dict[str, State] = {
        _key(each.uuid, each.user_id, _written(each.join_time)): ("session", _written(each.leave_time), each.seconds)
        for each in truth.sessions.values()
        if each.uuid in told
    }
    return meetings | sessions


def _key(meeting: object, user: object, joined: object) -> str:
    return f"{meeting} {user} {joined}"


def _written(moment: datetime | None) -> str | None:
    """As it is read of a sink."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
