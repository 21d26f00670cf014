"""`harvest export viewing_options`: how each recording was watched, one row a recording, option and value."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumers.records.opencast import UserAction
from harvester.commands.export_attendance import described
from harvester.commands.export_csv import Column
from harvester.commands.export_lectures import Lecture, Selection, chunks, named
from harvester.commands.export_people import HEARTBEATS, PLAYED, viewer
from harvester.commands.export_query import Groups, Measure, Reader

ABOUT = """\
How each recording was watched: live or later, with which device, system and browser. One row a recording, option and
value. Each option splits the same actions anew, and a viewer who used two devices counts for each: do not add up the viewers of
different rows, the row `all` has them."""
ORDER = "by source, series, start and id of the recording, then by option and value."
COLUMNS = (
    Column("source", "configured source: opencast"),
    Column("lecture", "id of the recording (mpid)"),
    Column("title", "title of the recording"),
    Column("course", "title of the series"),
    Column("series", "id of the series"),
    Column("start", "when the recording began, UTC"),
    Column("length", "seconds the recording is long"),
    Column("option", "all, playback, device, system or browser"),
    Column("value", "of playback: live or recorded; else its family, as in Chrome, iOS, iPad; empty when not known"),
    Column("viewers", "different people, by huid; by visit where that is not known or anonymous; without both nobody is counted"),
    Column("sessions", "different visits to the player"),
    Column("actions", "actions of the player: PLAY, SEEK, HEARTBEAT …"),
    Column("seconds_watched", "seconds played, repeats too, by the player's footprints"),
    Column("heartbeats", "heartbeats of the player while it played; times their distance, what footprints do not tell"),
)
_WATCHED = Groups(
    UserAction,
    ("event_module", "mpid", "huid", "session_id", "is_live", "ua_device", "ua_os_name", "ua_name"),
    (Measure("count"), Measure("sum", "action_length", PLAYED), Measure("count", where=HEARTBEATS)),
)


@dataclass(slots=True)
class _Use:
    viewers: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    actions: int = 0
    seconds: int = 0
    heartbeats: int = 0


async def rows(reader: Reader, wanted: Selection, found: Sequence[Lecture]) -> AsyncIterator[tuple[int, Sequence[Any]]]:
    """Each row with the number of recordings that are done before it."""
    done = 0
    for source, some in chunks(found):
        uses: dict[str, dict[tuple[str, str], _Use]] = {one.id: defaultdict(_Use) for one in some}
        only = (*named(UserAction, source, some), *wanted.times())
        async for _, mpid, huid, session, live, device, system, browser, *amounts in reader.rows(_WATCHED, *only):
            options = {"all": "", "playback": "live" if live else "recorded"}
            options |= {"device": device or "", "system": system or "", "browser": browser or ""}
            for split in options.items():
                _count(uses[mpid][split], viewer(huid, session)[0], session, amounts)
        for one in some:
            for (option, value), use in sorted(uses[one.id].items()):
                amounts = [len(use.viewers), len(use.sessions), use.actions, use.seconds, use.heartbeats]
                yield done, (*described(one), option, value, *amounts)
            done += 1


def _count(use: _Use, who: str, session: str | None, amounts: Sequence[int]) -> None:
    if who:
        use.viewers.add(who)
    if session:
        use.sessions.add(session)
    actions, seconds, heartbeats = amounts
    use.actions += actions
    use.seconds += seconds
    use.heartbeats += heartbeats
