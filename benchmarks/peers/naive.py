"""`getone`, json, pydantic, a look-up an event, `async_bulk` with its defaults, commit: as people write it first."""

import asyncio
import json

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
    cache = {mpid(number): msgspec.json.encode(episode(number)) for number in range(RECORDINGS)}

    async def look_up(name: str) -> bytes | None:
        return cache.get(name)

    consumer = AIOKafkaConsumer(
        asked.topic,
        bootstrap_servers=asked.brokers,
        group_id=asked.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with AsyncElasticsearch(asked.url) as client:
        meter = Meter()
        await consumer.start()
        while meter.events < asked.amount:
            actions: list[dict[str, object]] = []
            while len(actions) < 500:
                message = await consumer.getone()
                envelope = Envelope.model_validate(json.loads(message.value))
                found = json.loads(await look_up(envelope.data.mpid) or b"{}")
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


if __name__ == "__main__":
    asyncio.run(main())
