"""A site that writes to an Elasticsearch: events in its queue, its consumer, and what became of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harvester.event import Event, encode_event
from harvester.protocols import Message
from harvester.queues import open_queue
from tests.indexed import Answering, held
from tests.site import Site, World

DAY = "useractions-2017.10.06"
"""The index of these events."""
CUSTOM = "/_component_template/harvester-useractions@custom"


def site_of(folder: Path, server: Answering, vendor: World, **settings: str) -> Site:
    return Site(folder, vendor.url, HARVESTER_ELASTICSEARCH_URL=server.url, **settings)


def publish(site: Site, events: Sequence[Event]) -> None:
    async def act() -> None:
        site.queue.parent.mkdir(exist_ok=True)
        async with open_queue(f"sqlite:///{site.queue}") as queue:
            messages = [Message(event.key, encode_event(event)) for event in events]
            await queue.publish(messages, {"read": len(events), "published": len(events)}, "opencast/useractions")

    asyncio.run(act())


def consume(site: Site) -> Any:
    return site.harvest("consume", "elasticsearch", "--until-empty")


def versions(server: Answering) -> dict[str, int]:
    """Outpoint by id: as events of these tests have it, their version."""
    return {id_: found.source["action"]["outpoint"] for id_, found in held(server).items()}


def expected(events: Sequence[Event]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for event in events:
        newest[event.subject] = max(event.version, newest.get(event.subject, 0))
    return newest


def letters(site: Site) -> list[Any]:
    return site.harvest("dead-letters", "list", "--json", "--limit", "10000").lines
