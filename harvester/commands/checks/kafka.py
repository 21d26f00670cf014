"""Whether a Kafka cluster keeps what the queue on it promises: topics, copies, retention, limits of the brokers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harvester.commands.checks import Finding, Tell
from harvester.commands.words import amount_of
from harvester.queues.kafka_access import KafkaOptions, connection, place
from harvester.queues.kafka_cluster import open_cluster
from harvester.settings import CoreSettings

_MINUTES = 24 * 60
_NAME = "queue: kafka"


async def look(core: CoreSettings, tell: Tell) -> None:
    """Beside what is looked at on every queue."""
    where = place(core.queue_url)
    async with open_cluster(where, connection(where, core)) as cluster:
        brokers = await cluster.brokers()
        topics = await cluster.topics([where.events, where.counts])
        if missing := [name for name in (where.events, where.counts) if name not in topics]:
            tell(Finding(_NAME, "fail", f"there is no topic {' and none '.join(missing)}", "make them: harvest setup"))
            return
        broker, topic = await cluster.settings_of_broker(), await cluster.settings_of(where.events)
    found = [
        *_copies(topics.values(), topic, brokers),
        *_limits(where.options, broker, topic),
        *_offsets(broker, topic),
    ]
    for finding in found:
        tell(finding)
    if not found:
        partitions = len(topics[where.events]["partitions"])
        tell(
            Finding(
                _NAME,
                "ok",
                f"{amount_of(brokers, 'broker')}, {amount_of(partitions, 'partition')}, messages kept for {_days(topic)}",
            )
        )


def _copies(topics: Iterable[Mapping[str, Any]], settings: Mapping[str, str], brokers: int) -> Iterator[Finding]:
    for topic in topics:
        copies = min((len(p["replicas"]) for p in topic["partitions"]), default=0)
        if copies < min(3, brokers):
            text = f"topic {topic['topic']} has {amount_of(copies, 'copy', 'copies')} on {amount_of(brokers, 'broker')}"
            yield Finding(_NAME, "warn", text, "give it three: kafka-reassign-partitions, and min.insync.replicas=2")
    if brokers >= 3 and int(settings.get("min.insync.replicas", "1")) < 2:
        text = "a publish returns when one copy is written, and is lost with that broker"
        yield Finding(_NAME, "warn", text, "set min.insync.replicas=2 on the topic of events")
    if settings.get("unclean.leader.election.enable") == "true":
        text = "a copy that lacks acknowledged messages may become the leader"
        yield Finding(_NAME, "warn", text, "set unclean.leader.election.enable=false on the topic of events")


def _limits(options: KafkaOptions, broker: Mapping[str, str], topic: Mapping[str, str]) -> Iterator[Finding]:
    least, most = (int(broker[f"group.{which}.session.timeout.ms"]) / 1000 for which in ("min", "max"))
    if not least <= options.session_timeout <= most:
        text = f"session_timeout={options.session_timeout:g} is refused by the brokers, which take {least:g} to {most:g} seconds"
        yield Finding(_NAME, "fail", text, "set session_timeout in HARVESTER_QUEUE_URL to what they take")
    if int(topic["max.message.bytes"]) < options.max_message:
        text = f"max_message={options.max_message} is more than the {topic['max.message.bytes']} bytes that the topic takes"
        yield Finding(
            _NAME, "fail", text, "set max_message in HARVESTER_QUEUE_URL lower, or max.message.bytes of the topic higher"
        )


def _offsets(broker: Mapping[str, str], topic: Mapping[str, str]) -> Iterator[Finding]:
    kept, messages = int(broker["offsets.retention.minutes"]), int(topic["retention.ms"]) / 60_000
    if messages < 0 or kept < messages:
        text = (
            f"a group that nobody reads is forgotten after {kept / _MINUTES:g} days, messages are kept for {_days(topic)}: "
            "nobody can tell what it missed then"
        )
        yield Finding(
            _NAME, "warn", text, "set offsets.retention.minutes of the brokers to no less than the retention of the topic"
        )


def _days(topic: Mapping[str, str]) -> str:
    milliseconds = int(topic["retention.ms"])
    return "ever" if milliseconds < 0 else f"{milliseconds / 60_000 / _MINUTES:g} days"
