"""`harvest export rollcall`: one row a course, person and lecture, of those who came and of those who did not."""

from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from harvester.commands.export_csv import Column
from harvester.commands.export_lectures import Lecture, Selection, chunks
from harvester.commands.export_people import People, Person, people_in
from harvester.commands.export_query import Reader

ABOUT = """\
Who of a course was in which of its lectures: one row a person and lecture, with `present` true or false. Whoever was
in one lecture of a series has a row for each of them; a lecture that nobody entered has none. Viewers without an id, anonymous
ones and what belongs to no series are left out: attendance has them."""
ORDER = "by source and series, then by person, then by start and id of the lecture."
COLUMNS = (
    Column("source", "configured source: opencast, zoom"),
    Column("series", "id of the series; of meetings their number"),
    Column("course", "title of the series as its newest lecture has it; of meetings the topic"),
    Column("person", "huid of the viewer; of a meeting the account, else mail or name"),
    Column("name", "name in the newest of the meetings"),
    Column("email", "mail address in the newest of the meetings"),
    Column("date", "day of the lecture, in HARVESTER_TIMEZONE"),
    Column("lecture", "id of the recording (mpid) or of the meeting (uuid)"),
    Column("title", "title of the recording, topic of the meeting"),
    Column("present", "true when there is an action, or a stay"),
    Column("how", "live, recorded, both, or meeting; empty when not present"),
    Column("seconds_watched", "as in attendance; 0 when not present"),
    Column("share", "as in attendance; 0 when not present"),
)


async def rows(reader: Reader, wanted: Selection, found: Sequence[Lecture]) -> AsyncIterator[tuple[int, Sequence[Any]]]:
    """Each row with the number of lectures that are done before it."""
    done = 0
    for (_, _, series), same in groupby(found, key=lambda one: (one.source, one.kind, one.series)):
        held = list(same)
        if series is not None:
            people: People = {}
            for source, some in chunks(held):
                people |= await people_in(reader, source, some, wanted)
            for row in _called(held, people, ZoneInfo(wanted.zone)):
                yield done, row
        done += len(held)


def _called(held: Sequence[Lecture], people: People, zone: ZoneInfo) -> list[Sequence[Any]]:
    """The rows of one series."""
    course = next((one.course for one in reversed(held) if one.course), None)
    everybody = {who for one in held for who, person in people[one.id].items() if person.known}
    called: list[Sequence[Any]] = []
    for who in sorted(everybody):
        head = (held[0].source, held[0].series, course, who, *_named(who, held, people))
        called += [(*head, *_present(one, people[one.id].get(who), zone)) for one in held]
    return called


def _named(who: str, held: Sequence[Lecture], people: People) -> tuple[str | None, str | None]:
    """Name and mail address, each from the newest lecture that tells it."""
    found = [person for one in reversed(held) if (person := people[one.id].get(who))]
    return next((p.name for p in found if p.name), None), next((p.email for p in found if p.email), None)


def _present(one: Lecture, person: Person | None, zone: ZoneInfo) -> tuple[Any, ...]:
    day = f"{one.held.astimezone(zone):%Y-%m-%d}"
    if person is None:
        return day, one.id, one.title, False, None, 0, 0.0 if one.length else None
    return day, one.id, one.title, True, person.how, person.seconds, person.share(one.length)
