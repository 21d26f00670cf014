"""`harvest export attendance`: one row a lecture and person."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from harvester.commands.export_csv import Column
from harvester.commands.export_lectures import Lecture, Selection, chunks
from harvester.commands.export_people import people_in
from harvester.commands.export_query import Reader

ABOUT = "Who was in which lecture or meeting, when and for how long: one row a lecture and person."
ORDER = "by source, series, start and id of the lecture, then by person."
COLUMNS = (
    Column("source", "configured source: opencast, zoom"),
    Column("lecture", "id of the recording (mpid) or of the meeting (uuid)"),
    Column("title", "title of the recording, topic of the meeting"),
    Column("course", "title of the series; of a meeting its topic"),
    Column("series", "id of the series; of a meeting its number"),
    Column("start", "when the lecture began, UTC"),
    Column("length", "seconds the recording or the meeting is long"),
    Column(
        "person",
        "huid of the viewer; not known: `session ` and its id. Of a meeting the account; else mail, name, or number in it",
    ),
    Column("name", "name in the meeting"),
    Column("email", "mail address in the meeting"),
    Column("first_seen", "first action, or entering, UTC"),
    Column("last_seen", "last action, or leaving, UTC"),
    Column("how", "live, recorded, both (live and recorded), or meeting"),
    Column("sessions", "visits to the player; stays in the meeting"),
    Column("seconds_watched", "seconds played, repeats too, by the player's footprints; seconds in the meeting"),
    Column("share", "part of the length that was seen, 0 to 1, each second once"),
    Column("heartbeats", "heartbeats of the player while it played; times their distance, what footprints do not tell"),
)


async def rows(reader: Reader, wanted: Selection, found: Sequence[Lecture]) -> AsyncIterator[tuple[int, Sequence[Any]]]:
    """Each row with the number of lectures that are done before it."""
    done = 0
    for source, some in chunks(found):
        people = await people_in(reader, source, some, wanted)
        for one in some:
            for who, person in sorted(people[one.id].items()):
                yield (
                    done,
                    (
                        *described(one),
                        who,
                        person.name,
                        person.email,
                        person.first,
                        person.last,
                        person.how,
                        person.sessions,
                        person.seconds,
                        person.share(one.length),
                        person.heartbeats if one.kind == "recording" else None,
                    ),
                )
            done += 1


def described(one: Lecture) -> tuple[Any, ...]:
    """The columns source to length."""
    return one.source, one.id, one.title, one.course, one.series, one.start, one.length
