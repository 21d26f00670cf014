"""`getone`, json, pydantic, a look-up an event, `async_bulk` with its defaults, commit: as people write it first."""

import asyncio
import json
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_bulk

from benchmarks.actions import RECORDINGS, episode, mpid
from benchmarks.naive import Envelope, document
from benchmarks.peers.work import Meter, given


async def main() -> None:
    """Batches of 500, as the client's helper makes them."""
    asked = given()
    known = range(0 if asked.search else RECORDINGS)
    cache: dict[str, str | bytes] = {mpid(number): msgspec.json.encode(episode(number)) for number in known}

    async def look_up(name: str) -> str | bytes:
        if name not in cache:
            async with session.get(f"{asked.search}/search/episode.json", params={"id": name}) as answer:
                cache[name] = json.dumps(found_in(await answer.json()))
        return cache[name]

    consumer = AIOKafkaConsumer(
        asked.topic,
        bootstrap_servers=asked.brokers,
        group_id=asked.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with AsyncElasticsearch(asked.url) as client, aiohttp.ClientSession() as session:
        meter = Meter()
        await consumer.start()
        while meter.events < asked.amount:
            actions: list[dict[str, object]] = []
            while len(actions) < 500:
                message = await consumer.getone()
                envelope = Envelope.model_validate(json.loads(message.value))
                found = json.loads(await look_up(envelope.data.mpid))
                actions.append(
                    {
                        "_op_type": "index",
                        "_index": f"useractions-{envelope.time:%Y.%m.%d}",
                        "_id": str(envelope.data.action_id),
                        "_source": document(envelope, found),
                    }
                )
            await async_bulk(client, actions)
            await consumer.commit()
            meter.events += len(actions)
        meter.tell()
        await consumer.stop()


def found_in(answer: dict[str, Any]) -> dict[str, Any]:
    """The episode in an answer of the search service, as the product keeps it."""
    hit = answer["result"][0]
    package = hit["mediapackage"]
    names = {"title": "title", "duration": "duration", "start": "start", "course": "seriestitle", "series": "series"}
    return {**{name: package[theirs] for name, theirs in names.items()}, "type": hit["dc"]["type"][0]}


if __name__ == "__main__":
    asyncio.run(main())
