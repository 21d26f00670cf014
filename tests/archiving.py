"""Archives for tests: each kind of store, an archive in it, and what is read of it; and the predecessor's."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from consumers.archived import Wanted, events, segments
from consumers.segments import Segment
from consumers.sinks.archive import ArchiveSink, open_archive
from consumers.sinks.archive_settings import ArchiveSettings
from harvester.event import Event
from harvester.objects import open_objects
from harvester.protocols import Objects
from tests.contracts.stores import KEYS

ALL = Wanted()
COLLECTED = "2026-01-02T12:00:00.123456+00:00"
FIXTURES = Path(__file__).parent / "fixtures/github"


@asynccontextmanager
async def opened(url: str, **settings: object) -> AsyncIterator[ArchiveSink]:
    """The sink on that store."""
    async with open_archive(ArchiveSettings.model_validate({"url": url, **settings}), KEYS) as sink:
        yield sink


@asynccontextmanager
async def stored(url: str) -> AsyncIterator[Objects]:
    """The store itself."""
    async with open_objects(url, KEYS) as objects:
        yield objects


async def written(url: str, *batches: Sequence[Event], **settings: object) -> None:
    """Each batch in a write of its own."""
    async with opened(url, **settings) as sink:
        for batch in batches:
            assert list(await sink.write(batch)) == []


async def read(url: str, wanted: Wanted = ALL) -> list[Event]:
    """What is wanted of it, each event once."""
    async with stored(url) as objects:
        chosen = await segments(objects, wanted)
        return [one.event async for _, many in events(objects, chosen, wanted) for one in many]


async def newest(url: str) -> list[Event]:
    """What a sink has after a replay of it all: each thing in its newest state, of equals the last."""
    found: dict[tuple[str, str, str], Event] = {}
    for event in await read(url):
        key = event.source, event.type, event.subject
        if key not in found or event.version >= found[key].version:
            found[key] = event
    return list(found.values())


async def listed(url: str) -> Sequence[Segment]:
    """The segments that its manifests name."""
    async with stored(url) as objects:
        return await segments(objects, ALL)


def chunk_pull_request() -> dict[str, Any]:
    """As the predecessor archived one: REST's answer, with its children in it."""
    found: dict[str, Any] = json.loads((FIXTURES / "pr-detail.json").read_bytes())
    return {**found, "number": 42, "commits": [{"sha": "x"}, {"sha": "y"}], "reviews": []}


async def chunked(url: str, **data: list[Any]) -> None:
    """A chunk of each kind as the predecessor wrote it, with the characters of its names."""
    async with stored(url) as objects:
        for kind, items in data.items():
            about = {"organization": "acme", "repository": "widgets", "data_type": kind, "timestamp": COLLECTED}
            body = {**about, "chunk_id": 1, "count": len(items), "data": items}
            name = f"acme/widgets/{kind}/2026-01-02/{COLLECTED}_chunk_1.json"
            await objects.put(name, json.dumps(body, indent=2).encode())
        await objects.put(f"acme/_checkpoints/{COLLECTED}.json", b"{}")
