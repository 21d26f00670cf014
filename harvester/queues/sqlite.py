"""The embedded queue: one SQLite file, append-only, any number of groups, one member each.

`sqlite:///var/queue.db?max_bytes=10GiB&ballast=16MiB&retention_days=7&max_message=16MiB&busy_timeout=5`

A crash anywhere leaves each publish and each commit done or not done. Beside the file stand a lock for each group that is
read (`<file>.<group>.lock`, holding its owner's name) and the ballast (`<file>.ballast`): space that is given back when the
disk is full, so that consumers can commit. While it is gone nothing is accepted: what room there is belongs to them.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from harvester import queuecheck, queuefile
from harvester.access import NOBODY, Access
from harvester.coverage import EPOCH, Mark
from harvester.crash import point
from harvester.errors import PayloadTooLargeError, RefusedError
from harvester.lock import Lock, holder, me
from harvester.protocols import NO_COUNTS, Delivery, Group, Message, Queue, Size
from harvester.queuefile import QUEUE
from harvester.queueroom import Room, millis
from harvester.queues.names import checked_group
from harvester.sqlite import Database, FullError, meta, open_database
from harvester.url import database_path, parse

_LONGEST_NAP = 0.1


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say; sizes in bytes or with their unit."""

    max_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] | None = None
    """Publishing stops when the file holds as much; overshot by at most one batch."""
    ballast: Annotated[int, msgspec.Meta(ge=0)] = 16 << 20
    """0: none."""
    retention_days: Annotated[float, msgspec.Meta(ge=0)] = 7.0
    """How long messages are kept after every group has committed them; those that one has not are kept for ever."""
    max_message: Annotated[int, msgspec.Meta(ge=1)] = 16 << 20
    busy_timeout: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    """Seconds to wait for another process that writes."""


def open_queue(
    url: str, _: Access = NOBODY, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AbstractAsyncContextManager[Queue]:
    """The queue in the file that `url` names, made when there is none."""
    parsed = parse(url)
    return open_sqlite(database_path(parsed), parsed.options(SqliteOptions), now)


@asynccontextmanager
async def open_sqlite(path: Path, options: SqliteOptions, now: Callable[[], datetime]) -> AsyncIterator["SqliteQueue"]:
    """The queue at `path`. ConfigError: damaged, not a queue, of a newer format, or no access; nothing is overwritten."""
    room = Room(path, options.max_bytes, options.ballast, timedelta(days=options.retention_days))
    timeout = options.busy_timeout
    async with AsyncExitStack() as stack:
        try:
            writer = await stack.enter_async_context(open_database(path, QUEUE, busy_timeout=timeout))
        except FullError:
            # Opening takes room for the index of the log; a consumer that starts now is what gives the disk room again.
            if not await asyncio.to_thread(room.give_up_ballast):
                raise
            writer = await stack.enter_async_context(open_database(path, QUEUE, busy_timeout=timeout))
        reader = await stack.enter_async_context(open_database(path, QUEUE, busy_timeout=timeout, writable=False))
        await writer.run(room.prepare)
        yield SqliteQueue(path, options, (await reader.run(meta))["id"], writer, reader, room, now)


class SqliteQueue:
    """Made by `open_queue`."""

    def __init__(
        self,
        path: Path,
        options: SqliteOptions,
        id_: str,
        writer: Database,
        reader: Database,
        room: Room,
        now: Callable[[], datetime],
    ) -> None:
        self._path = path
        self._options = options
        self._id = id_
        self._writer = writer
        self._reader = reader
        self._room = room
        self._now = now
        self._news = asyncio.Event()

    @property
    def id(self) -> str:
        return self._id

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int] = NO_COUNTS, owner: str = "") -> None:
        point("queue.before_publish")
        limit = self._options.max_message
        sizes = [len(message.body) for message in messages]
        if max(sizes, default=0) > limit:
            large = [index for index, size in enumerate(sizes) if size > limit]
            raise PayloadTooLargeError(f"{len(large)} messages are larger than {limit} bytes", indexes=large)
        await self._writer.run(self._publish, messages, sum(sizes), counts, owner)
        point("queue.after_publish")
        self._news.set()
        self._news = asyncio.Event()

    def _publish(
        self, connection: sqlite3.Connection, messages: Sequence[Message], size: int, counts: Mapping[str, int], owner: str
    ) -> None:
        now = self._now()
        now_ms = millis(now)
        self._room.trim_at_times(connection, now)
        self._room.fill(connection, size, lambda: queuefile.append(connection, messages, counts, owner, now_ms))

    @asynccontextmanager
    async def subscribe(self, group: str) -> AsyncIterator["SqliteSubscription"]:
        async with self._alone(group):
            position = await self._writer.run(lambda c: self._room.drain(c, lambda: queuefile.join(c, group)))
            subscription = SqliteSubscription(self, group, position)
            try:
                yield subscription
            finally:
                subscription.end()

    async def lag(self, group: str) -> Mapping[str, int]:
        return {"0": await self._reader.run(queuefile.lag, group)}

    async def reached(self, group: str) -> Mapping[str, int]:
        return {"0": await self._reader.run(queuefile.reached, group)}

    async def ends(self) -> Mapping[str, int]:
        return {"0": await self._reader.run(queuefile.end)}

    async def groups(self) -> Sequence[Group]:
        found, end = await self._reader.run(lambda c: (queuefile.groups(c), queuefile.end(c)))
        owners = await self._reader.run(lambda _: [holder(self._lock_path(g.name)) for g in found])
        return [
            Group(g.name, g.position, end - g.position, owner, g.counts, g.base) for g, owner in zip(found, owners, strict=True)
        ]

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return await self._reader.run(queuefile.all_counts)

    async def mark(self) -> Mark:
        return await self._reader.run(queuefile.mark)

    async def holds(self, mark: Mark) -> bool:
        return await self._reader.run(queuefile.holds, mark)

    async def peek(self, position: int, limit: int) -> Sequence[Delivery]:
        return await self._reader.run(queuefile.peek, position, limit)

    async def seek(self, group: str, position: int) -> None:
        async with self._alone(group):
            await self._writer.run(lambda c: self._room.drain(c, lambda: queuefile.move(c, group, position)))

    async def forget(self, group: str) -> None:
        async with self._alone(group):
            await self._writer.run(lambda c: self._room.drain(c, lambda: queuefile.drop(c, group)))

    async def size(self) -> Size:
        return await self._reader.run(_size)

    async def check(self) -> Sequence[str]:
        return await self.check_watched(queuecheck.unwatched)

    async def check_watched(self, watch: queuecheck.Watch) -> Sequence[str]:
        """The same; `watch` is told on another thread how many of how many steps are done."""
        # A connection of its own: on a large file it takes minutes, and readers go on.
        async with open_database(self._path, QUEUE, busy_timeout=self._options.busy_timeout, writable=False) as database:
            return await database.run(queuecheck.faults, watch)

    async def receive(self, position: int, limit: int, wait: float) -> Sequence[Delivery]:
        """Messages from `position` on, waiting for the first: at once when this process publishes it, else by asking."""
        until = time.monotonic() + wait
        nap = 0.005
        while True:
            news = self._news
            deliveries = await self._reader.run(queuefile.read, position, limit)
            left = until - time.monotonic()
            if deliveries or left <= 0:
                return deliveries
            try:
                await asyncio.wait_for(news.wait(), min(nap, left))
            except TimeoutError:
                nap = min(2 * nap, _LONGEST_NAP)

    async def commit(self, group: str, deliveries: Sequence[Delivery], counts: Mapping[str, int]) -> None:
        """Move the group behind `deliveries`, which must be the next unbroken run."""
        point("queue.before_commit")
        first, last = _run_of(deliveries) if deliveries else (0, -1)
        if last - first + 1 != len(deliveries):
            raise RefusedError(f"group {group}: positions {first} to {last} cannot be committed by {len(deliveries)} deliveries")
        await self._writer.run(lambda c: self._room.drain(c, lambda: queuefile.advance(c, group, first, last, counts)))
        point("queue.after_commit")

    def _lock_path(self, group: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{checked_group(group)}.lock")

    @asynccontextmanager
    async def _alone(self, group: str) -> AsyncIterator[None]:
        """As the only member of the group, until the process ends."""
        lock = Lock(self._lock_path(group), me())
        try:
            # Taken and given back on one thread: in order, even when the task is cancelled in between.
            other = await self._writer.run(lambda _: lock.other())
            if other:
                raise RefusedError(f"group {group} is read by {other}: a group has one member; stop it first")
            yield
        finally:
            # Whoever cancels the member must not cancel this, too, while it waits for its turn on the thread.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer.thread, lock.release))


class SqliteSubscription:
    """Made by `SqliteQueue.subscribe`. Reads ahead of what is committed."""

    def __init__(self, queue: SqliteQueue, group: str, position: int) -> None:
        self._queue = queue
        self._group = group
        self._next = position
        self._ended = False

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        if limit <= 0:
            return []
        deliveries = await self._queue.receive(self._next, limit, wait)
        if deliveries:
            first, last = _run_of(deliveries)
            if first != self._next or last - first + 1 != len(deliveries):
                raise RefusedError(
                    f"messages between {self._next} and {last} are gone before group {self._group} read them; "
                    f"`harvest queue check` tells what is wrong, `harvest queue seek {self._group} {first}` goes on without them",
                    lost=max(0, first - self._next),
                )
            self._next = last + 1
        return deliveries

    async def commit(self, deliveries: Sequence[Delivery], counts: Mapping[str, int] = NO_COUNTS) -> None:
        if self._ended:
            raise RefusedError(f"group {self._group} is no longer read here, another member may have it")
        await self._queue.commit(self._group, deliveries, counts)

    def end(self) -> None:
        """Called when the membership is given back."""
        self._ended = True


def _size(connection: sqlite3.Connection) -> Size:
    first, end = queuefile.oldest(connection), queuefile.end(connection)
    # Without a group nothing was committed.
    waiting = min([group.position for group in queuefile.groups(connection)], default=first)
    newest_before = "SELECT at FROM ages WHERE first <= ? ORDER BY first DESC LIMIT 1"
    (at,) = (waiting < end and connection.execute(newest_before, (waiting,)).fetchone()) or (None,)
    since = None if at is None else EPOCH + timedelta(milliseconds=at)
    return Size(messages=end - first, bytes=queuefile.used(connection), oldest=since)


def _run_of(deliveries: Sequence[Delivery]) -> tuple[int, int]:
    return int(deliveries[0].position), int(deliveries[-1].position)
