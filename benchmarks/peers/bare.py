"""No guarantee, but all that is quick: confluent-kafka, orjson, one raw bulk at a time, commit."""

import orjson
from confluent_kafka import Consumer
from elasticsearch import Elasticsearch

from benchmarks.peers.work import Meter, document, given, index_of, warm

_HEADERS = {"accept": "application/json", "content-type": "application/x-ndjson"}
_FILTER = {"filter_path": "errors,items.*.status,items.*.error"}


def main() -> None:
    """1,000 messages at a time."""
    asked, episodes = given(), warm()
    consumer = Consumer(
        {
            "bootstrap.servers": asked.brokers,
            "group.id": asked.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    client = Elasticsearch(asked.url)
    meter = Meter()
    consumer.subscribe([asked.topic])
    while meter.events < asked.amount:
        messages = consumer.consume(1000, 0.1)
        if not messages:
            continue
        lines: list[bytes] = []
        for message in messages:
            envelope = orjson.loads(message.value())
            target = {"_index": index_of(envelope["time"]), "_id": str(envelope["data"]["id"])}
            lines += (orjson.dumps({"index": target}), orjson.dumps(document(envelope, episodes)))
        body = b"\n".join([*lines, b""])
        answer = client.perform_request("POST", "/_bulk", params=_FILTER, headers=_HEADERS, body=body)
        if answer.body["errors"]:
            raise SystemExit("a document was refused")
        consumer.commit(asynchronous=False)
        meter.events += len(messages)
    meter.tell()
    consumer.close()


if __name__ == "__main__":
    main()
