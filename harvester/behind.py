"""A group that reads no further than another has committed: what comes meanwhile waits for its next turn."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

from harvester.protocols import NO_COUNTS, Delivery, Grouped, Subscription


@runtime_checkable
class Placed(Protocol):
    """A queue that keeps messages in the order of their positions, so that it can tell how far a group is. SQS keeps none."""

    async def reached(self, group: str) -> Mapping[str, int]:
        """Partition → position of the first message there that the group has not committed."""
        ...

    async def ends(self) -> Mapping[str, int]:
        """Partition → position of the next message to come."""
        ...


class Behind:
    """A queue whose groups are given what lies before `bound` (as `reached` tells it), and not one message more."""

    def __init__(self, queue: Grouped, bound: Mapping[str, int]) -> None:
        self._queue = queue
        self._bound = bound

    @asynccontextmanager
    async def subscribe(self, group: str) -> AsyncIterator[Subscription]:
        """As the queue does; what was received beyond the bound is not committed, and so comes again."""
        async with self._queue.subscribe(group) as subscription:
            yield _Bounded(subscription, self._bound)

    async def lag(self, group: str) -> Mapping[str, int]:
        """All that the group has not committed, on both sides of the bound."""
        return await self._queue.lag(group)


class _Bounded:
    def __init__(self, subscription: Subscription, bound: Mapping[str, int]) -> None:
        self._subscription = subscription
        self._bound = bound
        self._open = {partition for partition, end in bound.items() if end}
        """Partitions that may still hold something before the bound."""

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        while self._open:
            found = await self._subscription.receive(limit, wait)
            within = [delivery for delivery in found if self._within(delivery)]
            if within or not found:
                return within
        await self._subscription.receive(0, wait)
        return []

    def _within(self, delivery: Delivery) -> bool:
        # SQLite's position is a number, Kafka's a partition and an offset.
        partition, _, position = str(delivery.position).rpartition(":")
        partition, at = partition or "0", int(position)
        if at + 1 >= self._bound.get(partition, 0):
            self._open.discard(partition)
        return at < self._bound.get(partition, 0)

    async def commit(self, deliveries: Sequence[Delivery], counts: Mapping[str, int] = NO_COUNTS) -> None:
        await self._subscription.commit(deliveries, counts)
