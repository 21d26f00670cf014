"""Who was in a lecture, when, and how much of it: from the actions of a player, or from stays in a meeting."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from consumers.records.opencast import ANONYMOUS, UserAction
from consumers.records.zoom import Session
from harvester.commands.export_lectures import INSIDE, Lecture, Selection, named
from harvester.commands.export_query import Groups, Measure, Reader, Term

PLAYED = (Term("action_type", "is", "FOOTPRINT"), Term("action_length", "above", 0))
"""A footprint: the player played this part of the recording without a break."""
HEARTBEATS = (Term("action_type", "is", "HEARTBEAT"), Term("action_is_playing", "is", True))

_VIEWERS = Groups(
    UserAction,
    ("event_module", "mpid", "huid", "session_id"),
    (
        Measure("count"),
        Measure("count", where=(Term("is_live", "is", True),)),
        Measure("count", where=HEARTBEATS),
        Measure("min", "event_time"),
        Measure("max", "event_time"),
    ),
)
_FOOTPRINTS = Groups(
    UserAction,
    ("event_module", "mpid", "huid", "session_id", "action_inpoint", "action_outpoint"),
    (Measure("count"),),
    PLAYED,
)
_STAYS = Groups(
    Session,
    ("event_module", "meeting_uuid", "id", "email", "user_name", "user_id", "join_time", "leave_time", "duration"),
    (Measure("count"),),
    INSIDE,
)


@dataclass(slots=True)
class Person:
    """One person in one lecture."""

    first: datetime
    last: datetime
    known: bool = True
    """Whether it is a person, or what one visit left of one."""
    name: str | None = None
    email: str | None = None
    sessions: int = 0
    live: bool = False
    recorded: bool = False
    heartbeats: int = 0
    seconds: int = 0
    """What was played, repeats too; of a meeting, the time in it."""
    parts: list[tuple[int, int]] = field(default_factory=list)
    """Seconds that were seen, as closed-open intervals in any order."""

    @property
    def how(self) -> str:
        """live, recorded, both, or meeting."""
        if self.live and self.recorded:
            return "both"
        return "live" if self.live else "recorded" if self.recorded else "meeting"

    def share(self, length: int | None) -> float | None:
        """What part of `length` seconds was seen, each second once; at most 1. None where the length is not known."""
        return min(1.0, covered(self.parts) / length) if length else None


def viewer(huid: str | None, session: str | None) -> tuple[str, bool]:
    """Who it is, and whether that is a person: the id; where that is not known the visit; "" where neither is."""
    if huid and huid != ANONYMOUS:
        return huid, True
    return (f"session {session}" if session else ""), False


def covered(parts: Sequence[tuple[int, int]]) -> int:
    """The length of the union."""
    total, reached = 0, None
    for begin, end in sorted(parts):
        from_ = begin if reached is None else max(begin, reached)
        total += max(0, end - from_)
        reached = end if reached is None else max(reached, end)
    return total


People = dict[str, dict[str, Person]]
"""Lecture → person → what is known of it, in no order."""


async def people_in(reader: Reader, source: str, found: Sequence[Lecture], wanted: Selection) -> People:
    """Everybody in these lectures, which are of one source and kind."""
    if found[0].kind == "recording":
        return await _viewers(reader, source, found, wanted)
    return await _participants(reader, source, found, wanted)


async def _viewers(reader: Reader, source: str, found: Sequence[Lecture], wanted: Selection) -> People:
    people: People = {one.id: {} for one in found}
    only = (*named(UserAction, source, found), *wanted.times())
    async for _, mpid, huid, session, actions, live, heartbeats, first, last in reader.rows(_VIEWERS, *only):
        who, known = viewer(huid, session)
        person = people[mpid].setdefault(who, Person(first, last, known=known))
        person.first, person.last = min(person.first, first), max(person.last, last)
        person.sessions += session is not None
        person.live |= live > 0
        person.recorded |= live < actions
        person.heartbeats += heartbeats
    async for _, mpid, huid, session, begin, end, times in reader.rows(_FOOTPRINTS, *only):
        # A row of a viewer who was not there a moment ago belongs to the next export.
        if person_ := people[mpid].get(viewer(huid, session)[0]):
            person_.seconds += (end - begin) * times
            person_.parts.append((begin, end))
    return people


async def _participants(reader: Reader, source: str, found: Sequence[Lecture], wanted: Selection) -> People:
    people: People = {one.id: {} for one in found}
    only = (*named(Session, source, found), *wanted.times())
    async for _, uuid, account, email, name, number, joined, left, duration, stays in reader.rows(_STAYS, *only):
        if joined is None:
            continue
        left_ = left or joined + timedelta(seconds=duration or 0)
        who = account or email or name or number or ""
        person = people[uuid].setdefault(who, Person(joined, left_, known=bool(account or email or name)))
        person.name = name or person.name
        person.email = email or person.email
        person.first, person.last = min(person.first, joined), max(person.last, left_)
        person.sessions += stays
        person.parts.append((int(joined.timestamp()), int(left_.timestamp())))
    for each in people.values():
        for person in each.values():
            person.seconds = covered(person.parts)
    return people
