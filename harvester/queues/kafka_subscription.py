"""One member of a consumer group on Kafka.

Partitions are taken away from all members whenever one joins or leaves (aiokafka speaks the classic protocol only). Before it
gives them up a member waits for what it has handed out to be committed, for half the session time-out; what is not done by then
is lost to it: the next owner reads it again, and what this one commits of it later moves and counts nothing. While any of that is
still on its way through the loop nothing new is handed out, so that one commit is never half lost.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial
from math import ceil
from typing import Any, NamedTuple

from aiokafka import ConsumerRebalanceListener, TopicPartition, errors

from harvester.crash import point
from harvester.errors import RefusedError, TransientError
from harvester.payload import Payloads
from harvester.protocols import NO_COUNTS, NO_HEADERS, Delivery, Message
from harvester.queues.kafka_access import named, told
from harvester.queues.kafka_cluster import Cluster
from harvester.queues.kafka_stand import Stand, check_kept, shares

# A named tuple's own constructor is a call in Python.
_message = partial(tuple.__new__, Message)
_delivery = partial(tuple.__new__, Delivery)
_NOWHERE = TopicPartition("", -1)


class _Moved(NamedTuple):
    """`end` is the offset that a partition stands at after a commit, `amount` how many messages of it were in it."""

    end: int
    amount: int


class KafkaSubscription(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka asks for its own class
    """Made by `KafkaQueue.subscribe`."""

    def __init__(self, cluster: Cluster, payloads: Payloads, group: str, consumer: Any) -> None:
        self._cluster = cluster
        self._payloads = payloads
        self._group = group
        self._consumer = consumer
        self._session = cluster.where.options.session_timeout
        self._timeout = cluster.where.options.timeout
        self._stands: dict[TopicPartition, Stand] = {}
        self._next: dict[TopicPartition, int] = {}
        self._owning = asyncio.Event()
        self._out = 0
        """Handed out and not committed."""
        self._all_in = asyncio.Event()
        self._all_in.set()
        self._lost = 0
        """Handed out, lost to another member, and not seen in a commit yet."""
        self._none_lost = asyncio.Event()
        self._none_lost.set()
        self._turn = 0
        self._held: list[Any] = []
        self._uncounted: dict[str, int] = {}
        self._error: Exception | None = None
        self._ended = False

    async def joined(self) -> None:
        """Returns when the first partitions are ours, or it is known that there are none for us."""
        with told(f"group {self._group}"):
            await asyncio.wait_for(self._owning.wait(), self._session + self._timeout)
        self._check()

    def end(self) -> None:
        """Called when the membership is given back."""
        self._ended = True

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        self._check()
        if limit <= 0:
            if self._owning.is_set():
                # Takes nothing, and tells aiokafka that we are alive: else max_poll_interval would throw us out (F24).
                await self._polled(_NOWHERE, timeout_ms=0)
            return []
        until = time.monotonic() + wait
        # Without a wait the caller wants to know whether there is anything: that a rebalance knows only when it is over.
        patience = until if wait > 0 else time.monotonic() + self._session + self._timeout
        if not (await _set(self._owning, patience) and await _set(self._none_lost, until)):
            self._check()
            return []
        if not self._held:
            await self._fetch(limit, until)
        if not self._held and wait <= 0 and await self._behind():
            await self._fetch(limit, time.monotonic() + self._timeout)
        self._check()
        return await self._handed_out(limit)

    async def _fetch(self, limit: int, until: float) -> None:
        """Hold up to `limit` records, as soon as there are any."""
        while True:
            left = max(0.0, until - time.monotonic())
            got = await self._polled(timeout_ms=ceil(1000 * left), max_records=limit)
            if not self._owning.is_set():
                return  # what aiokafka has fetched before `_placed` knows where the group stands: it comes again from there
            self._held += [record for some in got.values() for record in some]
            if self._held or time.monotonic() >= until:
                return
            await asyncio.sleep(0.01)

    async def _polled(self, *partitions: TopicPartition, **more: int) -> Mapping[TopicPartition, list[Any]]:
        try:
            with told(f"group {self._group}"):
                found: Mapping[TopicPartition, list[Any]] = await self._consumer.getmany(*partitions, **more)
                return found
        except TransientError as error:
            if isinstance(error.__cause__, errors.OffsetOutOfRangeError):
                check_kept(self._group, self._next, await self._cluster.bounds(self._next))
            raise

    async def _behind(self) -> bool:
        """Whether there are messages that were not handed out."""
        ends = await self._cluster.ends(self._next)
        return any(self._next.get(p, end) < end for p, end in ends.items())

    async def _handed_out(self, limit: int) -> list[Delivery]:
        """Of what is held. It stays held while its payloads are fetched: a receive that is cancelled loses nothing."""
        turn, records = self._turn, self._held[:limit]
        messages = await self._payloads.restored([message_of(record) for record in records])
        # A rebalance may have passed: then these are another member's, or ours with older ones still on their way to a commit.
        if turn != self._turn or not self._none_lost.is_set():
            return []
        del self._held[: len(records)]
        for last in {record.partition: record for record in records}.values():
            self._next[TopicPartition(last.topic, last.partition)] = last.offset + 1
        if records:
            self._out += len(records)
            self._all_in.clear()
        return [_delivery((m, f"{r.partition}:{r.offset}")) for m, r in zip(messages, records, strict=True)]

    async def commit(self, deliveries: Sequence[Delivery], counts: Mapping[str, int] = NO_COUNTS) -> None:
        point("queue.before_commit")
        self._check()
        if deliveries and self._lost:
            self._lost = max(0, self._lost - len(deliveries))
            if not self._lost:
                self._none_lost.set()
            return
        moved = self._moved(deliveries)
        if moved is None:
            return
        turn = self._turn
        try:
            await self._committed(moved, counts)
        finally:
            self._came_back(len(deliveries), turn)
        point("queue.after_commit")

    def _came_back(self, amount: int, turn: int) -> None:
        """In a commit; when the partitions were given up while it was under way, what was in it is among what was lost."""
        if turn == self._turn:
            self._out = max(0, self._out - amount)
            if not self._out:
                self._all_in.set()
            return
        self._lost = max(0, self._lost - amount)
        if not self._lost:
            self._none_lost.set()

    def _moved(self, deliveries: Sequence[Delivery]) -> dict[TopicPartition, _Moved] | None:
        """How each partition moves; None when all of it is committed already."""
        firsts: dict[str, str] = {}
        lasts: dict[str, str] = {}
        amounts: dict[str, int] = {}
        for _, position in deliveries:
            number, _, offset = str(position).partition(":")
            firsts.setdefault(number, offset)
            lasts[number] = offset
            amounts[number] = amounts.get(number, 0) + 1
        events = self._cluster.where.events
        moved = {TopicPartition(events, int(number)): _Moved(int(last) + 1, amounts[number]) for number, last in lasts.items()}
        if moved and all(p in self._stands and move.end <= self._stands[p].offset for p, move in moved.items()):
            return None
        for first, p in zip(map(int, firsts.values()), moved, strict=True):
            if p in self._stands and first > self._stands[p].offset:
                raise RefusedError(
                    f"group {self._group} stands at {self._stands[p].offset} of partition {p.partition}: "
                    f"committing from {first} on would pass over messages"
                )
        return moved

    async def _committed(self, moved: Mapping[TopicPartition, _Moved], counts: Mapping[str, int]) -> None:
        counts = {**counts, **{k: counts.get(k, 0) + v for k, v in self._uncounted.items()}}
        if not self._stands or not self._stands.keys() >= moved.keys():
            # Nothing is ours now. Counts without deliveries wait for a partition that can carry them.
            self._uncounted = {} if moved else counts
            return
        moves = moved or {p: _Moved(stand.offset, 0) for p, stand in [next(iter(self._stands.items()))]}
        more = shares(counts, {p: move.amount for p, move in moves.items()})
        stands = {p: self._stands[p].moved(move.end, more[p]) for p, move in moves.items()}
        turn = self._turn
        try:
            with told(f"group {self._group}"):
                await asyncio.wait_for(
                    self._consumer.commit({p: (stand.offset, stand.text()) for p, stand in stands.items()}), self._timeout
                )
        except TransientError as error:
            if isinstance(error.__cause__, (errors.CommitFailedError, errors.IllegalStateError)):
                return  # lost to another member, who reads and counts it again
            raise
        point("queue.in_commit")
        self._uncounted = {}
        if turn == self._turn:
            self._stands |= stands

    def _check(self) -> None:
        if self._ended:
            raise RefusedError(f"group {self._group} is no longer read here, another member may have it")
        if self._error is not None:
            raise self._error

    async def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        """Called by aiokafka, which fetches nothing meanwhile and keeps the member alive."""
        self._owning.clear()
        await _set(self._all_in, time.monotonic() + self._session / 2)
        self._turn += 1
        self._lost += self._out
        self._out = 0
        self._all_in.set()
        if self._lost:
            self._none_lost.clear()
        self._held.clear()
        self._stands = {}
        self._next = {}

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by aiokafka, which would only log what is raised here."""
        try:
            await asyncio.wait_for(self._placed(list(assigned)), self._timeout)
        except Exception as error:  # noqa: BLE001 - told by whoever receives or commits next
            self._error = named(f"group {self._group}", error)
        finally:
            self._owning.set()

    async def _placed(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin where the group stands; where it stands nowhere, at the oldest message kept, which is written down at once."""
        if not partitions:
            return
        stands, bounds = await asyncio.gather(self._cluster.stands(self._group, partitions), self._cluster.bounds(partitions))
        check_kept(self._group, {p: stand.offset for p, stand in stands.items()}, bounds)
        new = {p: Stand(bounds[p][0], bounds[p][0], {}) for p in partitions if p not in stands}
        if new:
            await self._consumer.commit({p: (stand.offset, stand.text()) for p, stand in new.items()})
        self._stands = {**stands, **new}
        self._next = {p: stand.offset for p, stand in self._stands.items()}
        for p, offset in self._next.items():
            self._consumer.seek(p, offset)


def message_of(record: Any) -> Message:
    """A record of the topic of events as it was published."""
    headers = {name: value.decode() for name, value in record.headers} if record.headers else NO_HEADERS
    message: Message = _message(((record.key or b"").decode(), record.value or b"", headers))
    return message


async def _set(event: asyncio.Event, until: float) -> bool:
    """Whether it is set by then."""
    if event.is_set():
        return True
    try:
        await asyncio.wait_for(event.wait(), max(0, until - time.monotonic()))
    except TimeoutError:
        return False
    return True


async def finished(act: Awaitable[object]) -> None:
    """See it through, whoever cancels us meanwhile."""
    task = asyncio.ensure_future(act)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
