"""Quix Streams with its own Elasticsearch sink, which writes one index; the client is given its quick serializer."""

import logging

from elasticsearch import OrjsonSerializer
from quixstreams import Application
from quixstreams.sinks.base.item import SinkItem
from quixstreams.sinks.community.elasticsearch import ElasticsearchSink

from benchmarks.peers.work import Meter, document, given, warm


def main() -> None:
    """Commits, and with it flushes, every 1,000 messages."""
    asked, episodes = given(), warm()
    logging.disable(logging.WARNING)
    app = Application(
        broker_address=asked.brokers,
        consumer_group=asked.group,
        auto_offset_reset="earliest",
        commit_every=1000,
        auto_create_topics=False,
        loglevel="ERROR",
    )

    def key(item: SinkItem) -> str:
        return str(item.value["action_id"])

    sink = ElasticsearchSink(
        url=asked.url, index="useractions", document_id_setter=key, batch_size=1000, serializer=OrjsonSerializer()
    )
    meter = Meter()
    stream = app.dataframe(app.topic(asked.topic, value_deserializer="json"))
    stream.apply(lambda envelope: document(envelope, episodes)).sink(sink)
    app.run(count=asked.amount)
    meter.events = asked.amount
    meter.tell()


if __name__ == "__main__":
    main()
