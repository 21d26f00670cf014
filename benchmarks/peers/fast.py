"""FastStream with batches on aiokafka: its subscriber decodes the JSON, the handler makes documents and calls `async_bulk`."""

import asyncio
from typing import Any

from elasticsearch import AsyncElasticsearch, OrjsonSerializer
from elasticsearch.helpers import async_bulk
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker

from benchmarks.peers.work import Meter, document, given, index_of, warm


async def main() -> None:
    """Up to 1,000 messages a batch."""
    asked, episodes = given(), warm()
    broker = KafkaBroker(asked.brokers, logger=None)
    app = FastStream(broker, logger=None)
    client = AsyncElasticsearch(asked.url, serializer=OrjsonSerializer())
    meter = Meter()

    @broker.subscriber(  # type: ignore[untyped-decorator] # it brings no types here
        asked.topic,
        group_id=asked.group,
        batch=True,
        max_records=1000,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.ACK,
    )
    async def handle(envelopes: list[dict[str, Any]]) -> None:
        if meter.events >= asked.amount:
            return
        actions = [
            {
                "_op_type": "index",
                "_index": index_of(envelope["time"]),
                "_id": str(envelope["data"]["id"]),
                "_source": document(envelope, episodes),
            }
            for envelope in envelopes
        ]
        await async_bulk(client, actions)
        meter.events += len(actions)
        if meter.events >= asked.amount:
            meter.tell()
            app.exit()

    await app.run()
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
