"""Publishing to Kafka: whole batches for each partition, acknowledged by all copies, never doubled by a repeat of ours.

A publish that takes too long raises, but what it sent stays with aiokafka, which repeats it under the same sequence number until
a broker answers. Nothing more is sent before that: so a repeat comes after what it repeats, order per key holds, and what is in
memory is what was in flight when the brokers went away.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaProducer, errors

from harvester.crash import point
from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.protocols import Message
from harvester.queues.kafka_access import Place, named, told

_BATCH = 512 << 10
"""Bytes of one batch before it is compressed: half of what brokers take unless they are told otherwise."""
COUNTS_FORMAT = 1

Batches = Mapping[int, Sequence[Any]]


class Counted(msgspec.Struct, frozen=True):
    """What one run of one publisher has made durable, all together."""

    format: int
    counts: dict[str, int]


@asynccontextmanager
async def open_publisher(where: Place, settings: Mapping[str, Any], partitions: int) -> AsyncIterator["Publisher"]:
    """Connects when something is published first."""
    publisher = Publisher(where, settings, partitions)
    try:
        yield publisher
    finally:
        await publisher.close()


class Publisher:
    """Made by `open_publisher`."""

    def __init__(self, where: Place, settings: Mapping[str, Any], partitions: int) -> None:
        self._where = where
        self._settings = settings
        self._partitions = partitions
        self._timeout = where.options.timeout
        self._producer: Any = None
        self._broken = False
        self._opening = asyncio.Lock()
        self._turns = [asyncio.Lock() for _ in range(partitions)]
        self._counting = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._run = uuid4().hex
        self._counts: dict[str, dict[str, int]] = {}

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int], owner: str) -> None:
        """Returns = acknowledged by all copies in sync, and then the counts, too.

        TransientError: no answer in time, or refused; all, some or none of it may be there.
        """
        until = time.monotonic() + self._timeout
        producer = await self._ready()
        batches = self._batched(producer, messages)
        # Tasks begin in the order they are made, so each partition gets the batches of one publish before those of the next.
        await self._done([self._sent(producer, number, some) for number, some in batches.items()], until)
        point("queue.in_publish")
        if counts:
            mine = self._counts.setdefault(owner, {})
            for name, amount in counts.items():
                mine[name] = mine.get(name, 0) + amount
            await self._done([self._count(producer, owner)], until)

    async def close(self) -> None:
        """What is still on its way is given up."""
        for task in [*self._sending, *self._late]:
            task.cancel()
        await asyncio.gather(*self._sending, *self._late, return_exceptions=True)
        await self._drop_producer()

    def _batched(self, producer: Any, messages: Sequence[Message]) -> Batches:
        found: dict[int, list[Any]] = {}
        now = round(time.time() * 1000)
        for key, body, headers in messages:
            encoded = key.encode()
            batches = found.setdefault(crc32(encoded) % self._partitions, [])
            more = [(name, value.encode()) for name, value in headers.items()] if headers else []
            if not batches or batches[-1].append(timestamp=now, key=encoded, value=body, headers=more) is None:
                batches.append(producer.create_batch())
                batches[-1].append(timestamp=now, key=encoded, value=body, headers=more)
        for batches in found.values():
            for batch in batches:
                batch.close()
        return found

    async def _sent(self, producer: Any, partition: int, batches: Sequence[Any]) -> None:
        acknowledged = []
        async with self._turns[partition]:
            for batch in batches:
                acknowledged += [await producer.send_batch(batch, self._where.events, partition=partition)]
        for future in acknowledged:
            await future

    async def _count(self, producer: Any, owner: str) -> None:
        async with self._counting:
            value = msgspec.json.encode(Counted(COUNTS_FORMAT, self._counts[owner]))
            future = await producer.send(self._where.counts, value, f"{owner}\0{self._run}".encode(), partition=0)
        await future

    async def _done(self, acts: Sequence[Awaitable[None]], until: float) -> None:
        """Returns when all are done. TransientError when `until` comes first; they go on, and the next publish waits for them."""
        tasks = {asyncio.ensure_future(act) for act in acts}
        if not tasks:
            return
        self._sending |= tasks
        try:
            _, late = await asyncio.wait(tasks, timeout=max(0, until - time.monotonic()))
        finally:
            self._sending -= tasks
            self._late |= {task for task in tasks if not task.done()}
        self._judge(tasks - late)
        if late:
            raise TransientError(f"kafka: no broker acknowledged within {self._timeout:g} s")

    def _judge(self, tasks: set[asyncio.Task[None]]) -> None:
        failures = [error for task in tasks if (error := task.exception())]
        if not failures:
            return
        # Whatever it was, sequence numbers may have a hole now, and every later batch would be refused.
        self._broken = True
        if isinstance(failures[0], errors.MessageSizeTooLargeError):
            raise PermanentError(
                f"kafka: the brokers take less than max_message={self._where.options.max_message} bytes: set it in the URL to "
                "what max.message.bytes of the topic allows"
            )
        raise named("publish", failures[0])

    async def _ready(self) -> Any:
        """A producer with nothing of unknown outcome."""
        async with self._opening:
            if self._late:
                done, late = await asyncio.wait(self._late, timeout=self._timeout)
                self._late -= done
                self._broken = self._broken or any(task.exception() for task in done)
                if late:
                    raise TransientError(f"kafka: no broker acknowledged what was sent before, for {self._timeout:g} s more")
            if self._broken:
                await self._drop_producer()
            if self._producer is None:
                self._producer = await self._opened()
            return self._producer

    async def _opened(self) -> Any:
        producer = AIOKafkaProducer(
            **self._settings,
            enable_idempotence=True,
            acks="all",
            compression_type="lz4" if self._where.options.lz4 else None,
            max_batch_size=_BATCH,
            max_request_size=2 * _BATCH + self._where.options.max_message,
        )
        try:
            with told("publish"):
                await asyncio.wait_for(producer.start(), self._timeout)
                for topic in (self._where.events, self._where.counts):
                    await producer.partitions_for(topic)
        except (HarvesterError, asyncio.CancelledError):
            await producer.stop()
            raise
        return producer

    async def _drop_producer(self) -> None:
        producer, self._producer, self._broken = self._producer, None, False
        if producer is not None:
            # stop() waits for every batch, and an idempotent one is repeated for ever: only this ends it.
            producer._message_accumulator.fail_all(errors.ProducerClosed())  # noqa: SLF001
            await producer.stop()
