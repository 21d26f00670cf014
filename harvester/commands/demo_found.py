"""What the demo's DuckDB file holds, and what it has to hold: read as an analyst would, and by the word of the sandboxes."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from harvester.sandbox.truth import Truth
from harvester.sandbox.zoom_people import DOMAIN
from harvester.sandbox.zoom_truth import ZoomTruth

_TOP = 5
EVERYBODY = """\
SELECT person, actions, lectures, meetings, minutes
FROM (SELECT huid AS person, count(*) AS actions, count(DISTINCT mpid) AS lectures
      FROM useractions GROUP BY 1)
JOIN (SELECT replace(email, '@DOMAIN', '') AS person,
             count(DISTINCT meeting) AS meetings, sum(duration) // 60 AS minutes
      FROM sessions WHERE status = 'in_meeting' GROUP BY 1) USING (person)""".replace("DOMAIN", DOMAIN)
PEOPLE = f"{EVERYBODY}\nORDER BY minutes DESC, person LIMIT {_TOP}"
"""Lectures and meetings of the same people. A viewer is known by the `huid`; the participant's mail address has it before the @,
and is nothing but the hash of it where people are hidden."""
_BY_DAY = """\
SELECT date_trunc('day', start_time), count(*), coalesce(sum(seconds), 0) // 60
FROM meetings LEFT JOIN (SELECT meeting AS uuid, sum(duration) AS seconds
                         FROM sessions WHERE status = 'in_meeting' GROUP BY 1) USING (uuid)
WHERE start_time IS NOT NULL GROUP BY 1"""
Row = tuple[Any, ...]


class Found(NamedTuple):
    """What the DuckDB file holds of the span."""

    actions: Sequence[Row]
    """id, outpoint"""
    meetings: Sequence[Row]
    """uuid, how many entered, end"""
    sessions: Sequence[Row]
    """uuid, user_id, when entered, when left"""
    hours: dict[datetime, int]
    """Actions by hour."""
    days: dict[datetime, Row]
    """Meetings, and minutes of all participants, by day."""
    top: Sequence[Row]
    """title, course, actions, sessions"""
    titled: int
    people: Sequence[Row]
    """person, actions, lectures, meetings, minutes: the first of those in both"""
    everybody: Collection[Row]
    """The same of all, without the person."""


class Compared(NamedTuple):
    """One kind of thing beside the truth: key → state there, and (key, state) here, what is there twice twice."""

    what: str
    true: Mapping[Any, Any]
    held: Sequence[tuple[Any, Any]]

    @property
    def missing(self) -> int:
        return len(self.true.keys() - {key for key, _ in self.held})

    @property
    def doubled(self) -> int:
        """Twice, or not true at all."""
        keys = {key for key, _ in self.held}
        return len(self.held) - len(keys) + len(keys - self.true.keys())

    @property
    def stale(self) -> int:
        return sum(key in self.true and self.true[key] != state for key, state in self.held)

    @property
    def equal(self) -> bool:
        return not (self.missing or self.doubled or self.stale)


def query(path: Path, start: datetime, end: datetime) -> Found:
    """Read the DuckDB file."""
    import duckdb

    with closing(duckdb.connect(str(path), read_only=True)) as database:

        def ask(text: str, *given: object) -> list[Row]:
            return database.execute(text, given).fetchall()

        def ask_actions(columns: str, rest: str = "") -> list[Row]:
            span = (start.replace(tzinfo=None), end.replace(tzinfo=None))
            return ask(f"SELECT {columns} FROM useractions WHERE timestamp >= ? AND timestamp < ? {rest}", *span)  # noqa: S608 - constants

        titled = "AND episode_title IS NOT NULL"
        watched = "any_value(episode_title), any_value(episode_course), count(*), count(DISTINCT session_id)"
        return Found(
            actions=ask_actions("action_id, action_outpoint"),
            meetings=ask("SELECT uuid, participant_sessions, end_time FROM meetings"),
            sessions=ask("SELECT meeting, user_id, join_time, leave_time FROM sessions"),
            hours=dict(ask_actions("date_trunc('hour', timestamp), count(*)", "GROUP BY 1")),
            days={day: (meetings, minutes) for day, meetings, minutes in ask(_BY_DAY)},
            top=ask_actions(watched, f"{titled} GROUP BY mpid ORDER BY count(*) DESC, mpid LIMIT {_TOP}"),
            titled=ask_actions("count(*)", titled)[0][0],
            people=ask(PEOPLE),
            everybody=[row[1:] for row in ask(EVERYBODY)],
        )


def compared(lectures: Truth, meetings: ZoomTruth, found: Found) -> Sequence[Compared]:
    """All that was harvested beside the truth."""
    return [
        Compared(
            "actions", {key: one.outpoint for key, one in lectures.actions.items()}, [(row[0], row[1]) for row in found.actions]
        ),
        Compared(
            "meetings",
            {uuid: (one.participants, _bare(one.end_time)) for uuid, one in meetings.meetings.items()},
            [(uuid, (entered, end)) for uuid, entered, end in found.meetings],
        ),
        Compared(
            "sessions",
            {(one.uuid, one.user_id, _bare(one.join_time)): _bare(one.leave_time) for one in meetings.sessions.values()},
            [((uuid, user, joined), left) for uuid, user, joined, left in found.sessions],
        ),
    ]


def people_of(lectures: Truth, meetings: ZoomTruth) -> Collection[Row]:
    """By the truth: actions, lectures, meetings and minutes of each person who was in both."""
    watched: dict[str, list[str]] = {}
    for action in lectures.actions.values():
        if action.user:
            watched.setdefault(action.user, []).append(action.mpid)
    met: dict[str, list[tuple[str, int]]] = {}
    for stay in meetings.sessions.values():
        if stay.huid and stay.status == "in_meeting":
            met.setdefault(stay.huid, []).append((stay.uuid, stay.seconds))
    return [
        (len(watched[who]), len(set(watched[who])), len({uuid for uuid, _ in stays}), sum(seconds for _, seconds in stays) // 60)
        for who, stays in met.items()
        if who in watched
    ]


def unread(meetings: ZoomTruth) -> int:
    """Meetings that were deleted: they are listed, but nobody can read who was in them, so each is a letter."""
    return sum(not one.readable and one.participants > 0 for one in meetings.meetings.values())


def _bare(moment: datetime | None) -> datetime | None:
    """As DuckDB has it: UTC, without saying so."""
    return moment and moment.replace(tzinfo=None)
