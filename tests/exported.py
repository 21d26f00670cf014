"""Lectures and meetings whose every number is known, in a DuckDB file or an index, and what `harvest export` says of them."""

import asyncio
import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from consumers.sinks import open_sink
from harvester.event import Event
from tests.indexed import Answering, index_sink
from tests.site import Done, Site
from tests.useractions import action, event_of
from tests.zoomevents import dashboard_meeting, dashboard_participant, meeting_event, session_event

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
IPAD = "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 Version/17.6 Mobile/15E148 Safari/604.1"
ALGEBRA = {
    "title": "Groups",
    "duration": 3600000,
    "start": "2026-11-02T09:00:00Z",
    "course": "Algebra I",
    "series": "20260133383",
}
RINGS = {**ALGEBRA, "title": "Rings", "start": "2026-11-03T23:30:00Z"}


def watched(number: int, mpid: str, user: object, when: str, episode: Any = ..., **fields: Any) -> Event:
    """An action at a time of November 2026, such as `02T10:00:00`. `episode`: what was found of it, ... for nothing."""
    session = {"sessionId": fields.pop("session", f"s-{user}"), "userId": user, "userIp": "203.0.113.7"}
    session["userAgent"] = fields.pop("agent", FIREFOX)
    session = {name: value for name, value in session.items() if value is not None}
    record = action(number, mediapackageId=mpid, sessionId=session, created=f"2026-11-{when}Z", **fields)
    event = event_of(msgspec.json.encode(record), subject=str(number), context=episode)
    return msgspec.structs.replace(event, time=datetime.fromisoformat(f"2026-11-{when}+00:00").astimezone(UTC))


def played(number: int, mpid: str, user: object, when: str, part: tuple[int, int], episode: Any = ..., **fields: Any) -> Event:
    """A footprint over a part of the recording."""
    begin, end = part
    fields = {"type": "FOOTPRINT", "inpoint": begin, "outpoint": end, "length": end - begin, **fields}
    return watched(number, mpid, user, when, episode, **fields)


def met(uuid: str, topic: str, start: str, end: str, number: int = 93201235621, **fields: Any) -> Event:
    """A meeting of November 2026."""
    times = {"start_time": f"2026-11-{start}Z", "end_time": f"2026-11-{end}Z", "duration": ""}
    event = meeting_event(dashboard_meeting(uuid=uuid, topic=topic, id=number, **times, **fields))
    return msgspec.structs.replace(event, time=datetime.fromisoformat(f"2026-11-{start}+00:00"))


def stayed(uuid: str, start: str, end: str, **fields: Any) -> Event:
    """A stay in it."""
    times = {"join_time": f"2026-11-{start}Z", "leave_time": f"2026-11-{end}Z" if end else ""}
    event = session_event(dashboard_participant(**times, **fields), uuid=uuid)
    return msgspec.structs.replace(event, time=datetime.fromisoformat(f"2026-11-{start}+00:00"))


def write(folder: Path, events: Sequence[Event], server: Answering | None = None) -> None:
    """Into the file that DuckDB's sink has by default, and into the index of a server that has our templates."""

    async def act() -> None:
        async with open_sink(f"duckdb:////{folder}/var/harvest.duckdb") as sink:
            assert list(await sink.write(events)) == []
        if server is not None:
            async with index_sink(server.url) as sink:
                assert list(await sink.write(events)) == []

    asyncio.run(act())


def site_with(folder: Path, events: Sequence[Event], **settings: str) -> Site:
    site = Site(folder, **settings)
    write(folder, events)
    return site


def table(text: str) -> list[dict[str, str]]:
    """Its rows by the names of the columns."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def exported(site: Site, *words: str, **settings: str) -> list[dict[str, str]]:
    """The rows of an export that ends well."""
    done = export(site, *words, **settings)
    assert done.code == 0, done.err
    return table(done.out)


def export(site: Site, *words: str, **settings: str) -> Done:
    """The command, its output with the line ends that it wrote."""
    done = site.harvest("export", *words, **settings)
    return done._replace(out=(site.folder / ".stdout").read_bytes().decode())


def picked(rows: Sequence[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    """Some columns of each row."""
    return [tuple(row[name] for name in names) for row in rows]
