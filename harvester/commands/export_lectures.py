"""What exports are about: recordings that were watched and meetings that were held, as far as a selection wants them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from consumers.records.opencast import UserAction
from consumers.records.record import Record
from consumers.records.zoom import Meeting, Session
from harvester.commands.export_query import Groups, Measure, Newest, Reader, Row, Term

_ASKED = 1000
"""Things that one question names."""
_TOGETHER = 50
"""Lectures whose people are in memory at once."""


INSIDE = (Term("status", "is not", "in_waiting_room"),)
"""Whoever only waited was not there."""


class Selection(NamedTuple):
    """What the options ask for. Times hold for actions and stays; series and course for the lecture as it is called now."""

    start: datetime | None = None
    end: datetime | None = None
    series: str | None = None
    course: str | None = None
    mpid: str | None = None
    meeting: str | None = None
    zone: str = "UTC"
    """Where days begin."""

    def times(self) -> tuple[Term, ...]:
        """The conditions on rows."""
        bounds = (Term("event_time", "from", self.start), Term("event_time", "before", self.end))
        return tuple(bound for bound in bounds if bound.value is not None)


class Lecture(NamedTuple):
    """A recording or a meeting."""

    source: str
    id: str
    kind: str
    """`recording` or `meeting`."""
    began: datetime
    """The first action or stay in the range."""
    title: str | None = None
    course: str | None = None
    series: str | None = None
    start: datetime | None = None
    length: int | None = None
    """Seconds."""

    @property
    def held(self) -> datetime:
        """Its start, as far as it is known."""
        return self.start or self.began


class _Kind(NamedTuple):
    name: str
    seen: Groups
    described: Newest
    """title, course, series, start, length."""
    thousandth: bool
    """Whether lengths are ms."""


_KINDS = (
    _Kind(
        "recording",
        Groups(UserAction, ("event_module", "mpid"), (Measure("min", "event_time"),)),
        Newest(
            UserAction,
            ("event_module", "mpid"),
            ("episode_title", "episode_course", "episode_series", "episode_start", "episode_duration"),
            (Term("event_enrichment", "is", "complete"),),
        ),
        thousandth=True,
    ),
    _Kind(
        "meeting",
        # A meeting whose participants are not read is none yet: nobody would have been there. Neither is who only waited.
        Groups(Session, ("event_module", "meeting_uuid", "series_id"), (Measure("min", "event_time"),), INSIDE),
        Newest(Meeting, ("event_module", "uuid"), ("topic", "topic", "series_id", "start_time", "duration")),
        thousandth=False,
    ),
)


async def lectures(reader: Reader, wanted: Selection, *, recordings_only: bool = False) -> list[Lecture]:
    """Those that fit, each once; of one source together, then by series, time and id."""
    found: list[Lecture] = []
    for kind in _KINDS[:1] if recordings_only else _KINDS:
        name = {"recording": wanted.mpid, "meeting": wanted.meeting}[kind.name]
        if name is not None or (wanted.mpid is None and wanted.meeting is None):
            found += [one for one in await _of_kind(reader, kind, wanted, name) if _fits(one, wanted)]
    return sorted(found, key=lambda one: (one.source, one.kind, one.series or "", one.held, one.id))


async def _of_kind(reader: Reader, kind: _Kind, wanted: Selection, name: str | None) -> list[Lecture]:
    only = () if name is None else (Term(kind.seen.keys[1], "is", name),)
    found: dict[tuple[str, str], Lecture] = {}
    async for source, id_, *series, began in reader.rows(kind.seen, *only, *wanted.times()):
        before = found.get((source, id_))
        one = Lecture(source, id_, kind.name, began, series=series[0] if series else None)
        found[source, id_] = (
            one if before is None else one._replace(began=min(began, before.began), series=one.series or before.series)
        )
    for source, ids in chunks(list(found.values()), _ASKED):
        async for row in reader.rows(kind.described, *named(kind.described.record, source, ids)):
            found[row[0], row[1]] = _described(found[row[0], row[1]], row, kind)
    return list(found.values())


def _described(one: Lecture, row: Row, kind: _Kind) -> Lecture:
    title, course, series, start, length = row[2:]
    seconds = length if length is None or not kind.thousandth else round(length / 1000)
    return one._replace(title=title, course=course, series=series or one.series, start=start, length=seconds)


def _fits(one: Lecture, wanted: Selection) -> bool:
    return wanted.series in (None, one.series) and wanted.course in (None, one.course)


def chunks(found: Sequence[Lecture], size: int = _TOGETHER) -> Iterator[tuple[str, list[Lecture]]]:
    """At most `size` neighbours of one source and kind at a time, with its name."""
    for (source, _), same in groupby(found, key=lambda one: (one.source, one.kind)):
        listed = list(same)
        yield from ((source, listed[at : at + size]) for at in range(0, len(listed), size))


def named(record: type[Record], source: str, found: Sequence[Lecture]) -> tuple[Term, Term]:
    """Rows of these lectures alone."""
    thing = {UserAction: "mpid", Meeting: "uuid", Session: "meeting_uuid"}[record]
    return Term("event_module", "is", source), Term(thing, "one of", [one.id for one in found])
