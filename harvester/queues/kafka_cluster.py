"""What the brokers are asked and told beside publishing and receiving: topics, offsets, groups, messages at a place."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import DeleteGroupsRequest

from harvester.errors import ConfigError, RefusedError, TransientError
from harvester.queues.kafka_access import Place, named, told
from harvester.queues.kafka_ids import TopicIds
from harvester.queues.kafka_stand import Stand, read_stand

_NON_EMPTY_GROUP = 68
"""An error code that aiokafka has no name for."""

_NOT_COORDINATED = (
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)


class Members(NamedTuple):
    """A group as the brokers describe it."""

    state: str
    owners: tuple[str, ...]


class Cluster:
    """Made by `open_cluster`. Every method raises TransientError when the brokers do not answer in time."""

    def __init__(self, where: Place, settings: Mapping[str, Any], clients: "_Clients") -> None:
        self.where = where
        self.settings = settings
        self._admin, self._reader, self._raw = clients

    async def topics(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What is known of those that exist: `partitions` with leader, replicas and isr."""
        with told("topics"):
            found = await self._admin.describe_topics(list(names))
        return {topic["topic"]: topic for topic in found if not topic["error_code"]}

    async def topic_id(self, name: str) -> str:
        """The id that the brokers gave this very topic; one that is made anew under its name has another."""
        with told("topic id"):
            answer = await self._raw.send(self._raw.get_random_node(), TopicIds(name))
        for code, topic, id_, *_ in answer.topics:
            if topic == name and not code:
                return UUID(int=(id_[0] % 2**64) << 64 | id_[1] % 2**64).hex
        raise TransientError(f"kafka: topic {name} is gone")

    async def brokers(self) -> int:
        with told("brokers"):
            found = await self._admin.describe_cluster()
        return len(found["brokers"])

    async def settings_of(self, topic: str) -> dict[str, str]:
        """The configuration of a topic, defaults and all."""
        return await self._configured(ConfigResourceType.TOPIC, topic)

    async def settings_of_broker(self) -> dict[str, str]:
        """That of any broker: they are meant to be alike."""
        return await self._configured(ConfigResourceType.BROKER, str(self._raw.get_random_node()))

    async def _configured(self, kind: ConfigResourceType, name: str) -> dict[str, str]:
        with told(f"settings of {name}"):
            (answer,) = await self._admin.describe_configs([ConfigResource(kind, name)])
        ((code, text, _, _, entries),) = answer.resources
        if code:
            raise named(f"settings of {name}: {text}", errors.for_code(code)())
        return {entry[0]: entry[1] for entry in entries}

    async def make(self, topics: Sequence[NewTopic]) -> list[str]:
        """The names of those that were not there."""
        with told("making topics"):
            answer = await self._admin.create_topics(list(topics), timeout_ms=self.settings["request_timeout_ms"])
        made = []
        for name, code, text in answer.topic_errors:
            if code == errors.TopicAlreadyExistsError.errno:
                continue
            if code:
                raise named(f"topic {name} cannot be made: {text}", errors.for_code(code)())
            made.append(name)
        return made

    async def bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Of each partition the offset of the oldest message kept, and that of the next one to come."""
        wanted = list(partitions)
        with told("offsets"):
            first, end = await asyncio.gather(self._reader.beginning_offsets(wanted), self._reader.end_offsets(wanted))
        return {partition: (first[partition], end[partition]) for partition in wanted}

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        with told("offsets"):
            found: dict[TopicPartition, int] = await self._reader.end_offsets(list(partitions))
        return found

    async def stands(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Stand]:
        """Where the group stands in those partitions that it has committed."""
        found = await self._of_group(group, lambda: self._admin.list_consumer_group_offsets(self.group_id(group)))
        wanted = set(partitions)
        return {p: read_stand(at.offset, at.metadata) for p, at in found.items() if p in wanted and at.offset >= 0}

    async def groups(self) -> list[str]:
        with told("groups"):
            found = await self._admin.list_consumer_groups()
        start = self.group_id("")
        return sorted(name.removeprefix(start) for name, _ in found if name.startswith(start))

    async def members(self, group: str) -> Members:
        """Who reads now. One group a request: aiokafka misreads an answer with several."""
        (answer,) = await self._of_group(group, lambda: self._admin.describe_consumer_groups([self.group_id(group)]))
        (found,) = answer.groups
        code, _, state, _, _, members = found
        if code:
            raise named(f"group {group}", errors.for_code(code)())
        return Members(state, tuple(sorted(f"{client} at {host.removeprefix('/')}" for _, client, host, *_ in members)))

    async def move(self, group: str, stands: Mapping[TopicPartition, Stand]) -> None:
        """Let a group that nobody reads stand elsewhere. RefusedError: it is read."""
        consumer = AIOKafkaConsumer(**self.settings, group_id=self.group_id(group), enable_auto_commit=False)
        try:
            with told(f"group {group}"):
                consumer.assign(list(stands))
                await consumer.start()
                await consumer.commit({p: (stand.offset, stand.text()) for p, stand in stands.items()})
        except TransientError as error:
            if isinstance(error.__cause__, errors.CommitFailedError):
                raise await self.is_read(group) from error
            raise
        finally:
            await consumer.stop()

    async def drop(self, group: str) -> None:
        """RefusedError: it is read."""
        coordinator = await self._of_group(group, lambda: self._admin.find_coordinator(self.group_id(group)))
        with told(f"group {group}"):
            answer = await self._raw.send(coordinator, DeleteGroupsRequest([self.group_id(group)]))
        ((_, code, *_),) = answer.results
        if code == _NON_EMPTY_GROUP:
            raise await self.is_read(group)
        if code:
            raise named(f"group {group} cannot be dropped", errors.for_code(code)())

    async def _of_group(self, group: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer of the group's coordinator, which a cluster that is new, or has just lost a broker, has to find first."""
        until = time.monotonic() + self.where.options.timeout
        with told(f"group {group}"):
            while True:
                try:
                    return await ask()
                except _NOT_COORDINATED:
                    if time.monotonic() > until:
                        raise
                await asyncio.sleep(0.05)

    async def is_read(self, group: str) -> RefusedError:
        owners = ", ".join((await self.members(group)).owners) or "a member that has just gone"
        return RefusedError(f"group {group} is read by {owners}; stop it first")

    async def messages(self, ranges: Mapping[TopicPartition, tuple[int, int]], most: int = 1 << 20) -> AsyncIterator[list[Any]]:
        """The records of each partition from the first offset up to before the second, in pieces.

        `most`: bytes one fetch may bring of a partition, compressed. Of one partition the brokers give a batch, however large.
        """
        left = {partition: (first, end) for partition, (first, end) in ranges.items() if first < end}
        if not left:
            return
        consumer = AIOKafkaConsumer(
            **self.settings, enable_auto_commit=False, auto_offset_reset="none", max_partition_fetch_bytes=most
        )
        try:
            with told("reading"):
                consumer.assign(list(left))
                await consumer.start()
                for partition, (first, _) in left.items():
                    consumer.seek(partition, first)
            patience = time.monotonic() + self.where.options.timeout
            while left:
                with told("reading"):
                    got = await consumer.getmany(*left, timeout_ms=200, max_records=5000)
                    for partition in list(left):
                        if await consumer.position(partition) >= left[partition][1]:
                            del left[partition]
                if got:
                    patience = time.monotonic() + self.where.options.timeout
                elif left and time.monotonic() > patience:
                    raise TransientError(f"kafka: no messages came within {self.where.options.timeout:g} s")
                for partition, records in got.items():
                    yield [record for record in records if record.offset < ranges[partition][1]]
        finally:
            await consumer.stop()

    def group_id(self, group: str) -> str:
        """As the brokers know it. The slash is in no prefix and in no group, so that no two are taken for each other."""
        return f"{self.where.prefix}/{group}"


class _Clients(NamedTuple):
    admin: Any
    reader: Any
    raw: Any


@asynccontextmanager
async def open_cluster(where: Place, settings: Mapping[str, Any]) -> AsyncIterator[Cluster]:
    """TransientError: nobody answers. PermanentError: they refuse us."""
    async with AsyncExitStack() as stack:
        clients = _Clients(AIOKafkaAdminClient(**settings), AIOKafkaConsumer(**settings), AIOKafkaClient(**settings))
        for client in clients:
            stack.push_async_callback(client.close if hasattr(client, "close") else client.stop)
        try:
            with told(where.brokers):
                await clients.raw.bootstrap()
                await clients.admin.start()
                await clients.reader.start()
        except TransientError as error:
            raise await _reason(where, settings, error) from error
        yield Cluster(where, settings, clients)


async def _reason(where: Place, settings: Mapping[str, Any], error: TransientError) -> Exception:
    """Why the first broker does not let us in; aiokafka only says that none did."""
    host, _, port = where.brokers.split(",")[0].rpartition(":")
    more = {key: value for key, value in settings.items() if key != "bootstrap_servers"}
    try:
        conn = await create_conn(host.strip("[]"), int(port), **more)
    except (errors.KafkaError, OSError, TimeoutError) as reason:
        return named(where.brokers, reason)
    conn.close()
    return error


def partitions_of(topic: Mapping[str, Any]) -> list[TopicPartition]:
    return [TopicPartition(topic["topic"], n) for n in sorted(p["partition"] for p in topic["partitions"])]


async def existing(cluster: Cluster) -> list[TopicPartition]:
    """The partitions of the events. ConfigError: a topic is missing."""
    where = cluster.where
    found = await cluster.topics([where.events, where.counts])
    missing = [name for name in (where.events, where.counts) if name not in found]
    if missing:
        raise ConfigError(f"{where.text}: there is no topic {' and none '.join(missing)}: make them with: harvest setup")
    return partitions_of(found[where.events])


async def seen(cluster: Cluster) -> None:
    """Returns when the topics can be used: a broker that makes one learns of it a moment later. TransientError: not in time."""
    names = [cluster.where.events, cluster.where.counts]
    until = time.monotonic() + cluster.where.options.timeout
    while True:
        found = await cluster.topics(names)
        if len(found) == len(names) and all(p["leader"] >= 0 for topic in found.values() for p in topic["partitions"]):
            return
        if time.monotonic() > until:
            raise TransientError(f"kafka: the topics of {cluster.where.text} do not come up")
        await asyncio.sleep(0.05)


def new_topics(where: Place, brokers: int) -> list[NewTopic]:
    """The two topics of a queue: its events, and the newest counts of each publisher."""
    options = where.options
    copies = options.replication or min(3, brokers)
    safe = {"unclean.leader.election.enable": "false"}
    if copies >= 3:
        safe["min.insync.replicas"] = "2"
    events = {
        "cleanup.policy": "delete",
        "retention.ms": str(round(options.retention_days * 86_400_000)),
        "retention.bytes": "-1",
        "max.message.bytes": str(max(1_048_588, options.max_message + 65_536)),
    }
    return [
        NewTopic(where.events, options.partitions, copies, topic_configs={**safe, **events}),
        NewTopic(where.counts, 1, copies, topic_configs={**safe, "cleanup.policy": "compact"}),
    ]
