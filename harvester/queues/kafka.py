"""A queue on Kafka: one topic of events in partitions, one of counts; any number of groups, each with any number of members.

`kafka://host:9092[,host2:9092]/prefix?session_timeout=10&timeout=15&max_message=1000000&lz4=true&partitions=6&replication=3`

The topics `<prefix>.events` and `<prefix>.counts` are made by `prepare`. A position is a partition and an offset; to an operator
it is the sum over all partitions, and the only places to go to are the beginning and the end.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from harvester.access import NOBODY, Access
from harvester.coverage import EPOCH, Mark
from harvester.crash import point
from harvester.errors import ConfigError, RefusedError
from harvester.payload import Payloads, open_payloads
from harvester.protocols import NO_COUNTS, Delivery, Group, Message, Queue, Size
from harvester.queues.kafka_access import connection, place, told
from harvester.queues.kafka_cluster import Cluster, existing, new_topics, open_cluster, seen
from harvester.queues.kafka_publish import COUNTS_FORMAT, Counted, Publisher, open_publisher
from harvester.queues.kafka_stand import Stand, skipped, total
from harvester.queues.kafka_subscription import KafkaSubscription, finished, message_of
from harvester.queues.names import checked_group

_HEARTBEATS = 10
"""In a session; a member learns from one that another joined or left, so they are half a second apart at most."""
_FETCH = 1 << 20
"""Bytes that are fetched ahead of a partition, compressed: what they become in memory can be ten times that."""
_POLL = 300_000
"""Milliseconds without a receive, even one of nothing, after which a member is taken for hung."""


async def prepare(url: str, access: Access = NOBODY) -> Sequence[str]:
    """Make the topics that are missing, with the partitions, copies and retention that `url` says; what was made, a line each."""
    where = place(url)
    async with open_cluster(where, connection(where, access)) as cluster:
        made = await cluster.make(new_topics(where, await cluster.brokers()))
        await seen(cluster)
        return [f"topic {name} made" for name in made]


@asynccontextmanager
async def open_queue(url: str, access: Access = NOBODY) -> AsyncIterator[Queue]:
    """ConfigError: a wrong URL or login, no topics. TransientError: nobody answers. PermanentError: the brokers refuse us."""
    where = place(url)
    settings = connection(where, access)
    async with open_cluster(where, settings) as cluster:
        partitions = await existing(cluster)
        id_ = await cluster.topic_id(where.events)
        limit = where.options.max_message
        async with (
            open_publisher(where, settings, len(partitions)) as publisher,
            open_payloads(access, limit, lambda message: len(message.body)) as payloads,
        ):
            yield KafkaQueue(cluster, publisher, payloads, partitions, id_)


class KafkaQueue:
    """Made by `open_queue`."""

    def __init__(
        self, cluster: Cluster, publisher: Publisher, payloads: Payloads, partitions: Sequence[TopicPartition], id_: str
    ) -> None:
        self._where = cluster.where
        self._cluster = cluster
        self._publisher = publisher
        self._payloads = payloads
        self._partitions = partitions
        self._id = id_

    @property
    def id(self) -> str:
        """The topic's own, which the brokers gave it: a topic that is made anew is another queue."""
        return self._id

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int] = NO_COUNTS, owner: str = "") -> None:
        point("queue.before_publish")
        messages = await self._payloads.fitted(messages)
        await self._publisher.publish(messages, counts, owner)
        point("queue.after_publish")

    @asynccontextmanager
    async def subscribe(self, group: str) -> AsyncIterator[KafkaSubscription]:
        options = self._where.options
        consumer = AIOKafkaConsumer(
            **self._cluster.settings,
            group_id=self._cluster.group_id(checked_group(group)),
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=round(1000 * options.session_timeout),
            heartbeat_interval_ms=round(1000 * min(0.5, options.session_timeout / _HEARTBEATS)),
            max_poll_interval_ms=_POLL,
            max_partition_fetch_bytes=max(_FETCH, options.max_message + 65_536),
        )
        subscription = KafkaSubscription(self._cluster, self._payloads, group, consumer)
        try:
            with told(f"group {group}"):
                consumer.subscribe([self._where.events], listener=subscription)
                await consumer.start()
            await subscription.joined()
            yield subscription
        finally:
            subscription.end()
            await finished(consumer.stop())

    async def lag(self, group: str) -> Mapping[str, int]:
        return {partition: max(0, end - at) for partition, (at, end) in (await self._standing(group)).items()}

    async def reached(self, group: str) -> Mapping[str, int]:
        return {partition: at for partition, (at, _) in (await self._standing(group)).items()}

    async def _standing(self, group: str) -> Mapping[str, tuple[int, int]]:
        """Partition → the first offset there that the group has not committed, and the next to come."""
        stands = await self._cluster.stands(group, self._partitions)
        bounds = await self._cluster.bounds(self._partitions)
        return {str(p.partition): (_offset(stands.get(p), first), end) for p, (first, end) in bounds.items()}

    async def ends(self) -> Mapping[str, int]:
        return {str(p.partition): end for p, end in (await self._cluster.ends(self._partitions)).items()}

    async def groups(self) -> Sequence[Group]:
        found = []
        for name in await self._cluster.groups():
            stands = await self._cluster.stands(name, self._partitions)
            bounds = await self._cluster.bounds(self._partitions)
            whole = {p: stands.get(p, Stand(first, first, {})) for p, (first, _) in bounds.items()}
            position = sum(stand.offset for stand in whole.values())
            lag = sum(max(0, bounds[p][1] - stand.offset) for p, stand in whole.items())
            owner = ", ".join((await self._cluster.members(name)).owners)
            found.append(Group(name, position, lag, owner, total(whole.values()), sum(s.since for s in whole.values())))
        return found

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Under "" also `uncounted`: messages whose publish ended before its counts were written, so that they came twice."""
        counts = TopicPartition(self._where.counts, 0)
        newest: dict[bytes, Counted] = {}
        async for records in self._cluster.messages(await self._cluster.bounds([counts])):
            newest |= {record.key: msgspec.json.decode(record.value, type=Counted) for record in records}
        found: dict[str, dict[str, int]] = {}
        for key, counted in newest.items():
            if counted.format > COUNTS_FORMAT:
                raise ConfigError(
                    f"{self._where.text}: counts of format {counted.format}; this program reads {COUNTS_FORMAT}: upgrade it"
                )
            amounts = found.setdefault(key.rpartition(b"\0")[0].decode(), {})
            for name, amount in counted.counts.items():
                amounts[name] = amounts.get(name, 0) + amount
        # Asked for after the counts: so there is a message for everything that is claimed, or it is lost.
        published = sum((await self._cluster.ends(self._partitions)).values())
        claimed = sum(amounts.get("published", 0) for amounts in found.values())
        return {"": {"published": published, "uncounted": max(0, published - claimed)}, **found}

    async def mark(self) -> Mark:
        ends = await self._cluster.ends(self._partitions)
        return Mark(sum(ends.values()), " ".join(f"{p.partition}:{end}" for p, end in ends.items()))

    async def holds(self, mark: Mark) -> bool:
        ends = await self.ends()
        marked = dict(part.split(":") for part in mark.last.split())
        return all(ends.get(number, 0) >= int(end) for number, end in marked.items()) and mark.taken <= sum(ends.values())

    async def peek(self, position: int, limit: int) -> Sequence[Delivery]:
        """The oldest kept (0), or the newest (negative), of all partitions by the time they came."""
        if position > 0:
            raise RefusedError(
                "a Kafka queue has no position for all of its partitions: look at its beginning (0) or its end (-10)"
            )
        bounds = await self._cluster.bounds(self._partitions)
        ranges = {p: _span(first, end, position, limit) for p, (first, end) in bounds.items()}
        records = [r async for some in self._cluster.messages(ranges if limit > 0 else {}) for r in some]
        records.sort(key=lambda r: (r.timestamp, r.partition, r.offset))
        records = (records[position:] if position else records)[:limit]
        messages = await self._payloads.restored([message_of(r) for r in records])
        return [Delivery(m, f"{r.partition}:{r.offset}") for m, r in zip(messages, records, strict=True)]

    async def seek(self, group: str, position: int) -> None:
        """To the beginning (0), or to the end (the sum of all offsets there)."""
        stands = await self._known(group)
        bounds = await self._cluster.bounds(self._partitions)
        stood = {p: stands.get(p, Stand(first, first, {})) for p, (first, _) in bounds.items()}
        if position and position != sum(end for _, end in bounds.values()):
            raise RefusedError("a Kafka queue has no position for all of its partitions: seek to beginning or end")
        targets = {p: end if position else first for p, (first, end) in bounds.items()}
        await self._cluster.move(group, {p: Stand(at, at, skipped(stood[p], at)) for p, at in targets.items()})

    async def forget(self, group: str) -> None:
        await self._known(group)
        await self._cluster.drop(group)

    async def size(self) -> Size:
        """Bytes are known to the brokers' disks alone."""
        bounds = await self._cluster.bounds(self._partitions)
        waiting = {p: first for p, (first, _) in bounds.items()}
        if groups := await self._cluster.groups():
            stands = [await self._cluster.stands(name, self._partitions) for name in groups]
            waiting = {p: max(first, min(_offset(found.get(p), first) for found in stands)) for p, first in waiting.items()}
        ranges = {p: (at, at + 1) for p, at in waiting.items() if at < bounds[p][1]}
        # Asked for every few seconds: one batch of each partition and no more.
        ages = [r.timestamp async for some in self._cluster.messages(ranges, most=1) for r in some]
        oldest: datetime | None = EPOCH + timedelta(milliseconds=min(ages)) if ages else None
        return Size(sum(end - first for first, end in bounds.values()), None, oldest)

    async def check(self) -> Sequence[str]:
        topics = await self._cluster.topics([self._where.events, self._where.counts])
        faults = [f"topic {name} is gone" for name in (self._where.events, self._where.counts) if name not in topics]
        for name, topic in topics.items():
            faults += _partition_faults(name, topic)
        bounds = await self._cluster.bounds(self._partitions)
        for group in await self._cluster.groups():
            for p, stand in (await self._cluster.stands(group, self._partitions)).items():
                first, end = bounds[p]
                if not first <= stand.offset <= end:
                    faults.append(
                        f"group {group} stands at {stand.offset} of partition {p.partition}, which holds {first} to {end - 1}"
                    )
        counts = dict(await self.counts())
        published = counts.pop("")["published"]
        claimed = sum(amounts.get("published", 0) for amounts in counts.values())
        if claimed > published:
            faults.append(f"{claimed:,} messages were acknowledged, {published:,} ever came into the log: brokers lost the rest")
        return faults

    async def _known(self, group: str) -> Mapping[TopicPartition, Stand]:
        names = await self._cluster.groups()
        if checked_group(group) not in names:
            raise RefusedError(f"there is no group {group!r}; groups are: {', '.join(names) or 'none yet'}")
        return await self._cluster.stands(group, self._partitions)


def _offset(stand: Stand | None, first: int) -> int:
    """Where a group reads on: at the oldest message kept, when it stands nowhere."""
    return first if stand is None else stand.offset


def _span(first: int, end: int, position: int, limit: int) -> tuple[int, int]:
    return (first, min(end, first + limit)) if position == 0 else (max(first, end + position), end)


def _partition_faults(name: str, topic: Mapping[str, Any]) -> list[str]:
    faults = []
    for p in topic["partitions"]:
        if p["leader"] < 0:
            faults.append(f"partition {p['partition']} of {name} has no leader: nothing can be written to it or read from it")
        elif len(p["isr"]) < len(p["replicas"]):
            faults.append(f"partition {p['partition']} of {name} has {len(p['isr'])} of {len(p['replicas'])} copies in sync")
    return faults
