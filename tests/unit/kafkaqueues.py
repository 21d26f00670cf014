"""Queues on a broker, for tests: each has topics of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from harvester.protocols import Delivery, Message, Queue, Subscription
from harvester.queues import open_queue
from harvester.queues.kafka import prepare

PATIENCE = 60.0
"""Seconds for what takes one on a quiet machine."""


async def made(address: str, options: str = "session_timeout=3&partitions=4&timeout=5") -> str:
    """The URL of a new queue, its topics made."""
    url = f"kafka://{address}/t{uuid4().hex[:12]}?{options}"
    await prepare(url)
    return url


@asynccontextmanager
async def two_queues(url: str) -> AsyncIterator[tuple[Queue, Queue]]:
    """The same queue, opened twice, as by two processes."""
    async with open_queue(url) as one, open_queue(url) as two:
        yield one, two


def batch(first: int, amount: int, keys: int = 20) -> list[Message]:
    return [Message(f"k{n % keys}", f"{n:06}".encode()) for n in range(first, first + amount)]


def texts(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.body.decode() for delivery in deliveries]


async def until(true: Callable[[], bool]) -> None:
    """Waits for a condition that other tasks bring about."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def received(subscription: Subscription, amount: int) -> list[Delivery]:
    """Exactly so many, in as many calls as it takes."""
    found: list[Delivery] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < amount:
        assert time.monotonic() < deadline, f"{len(found)} of {amount} messages came"
        found += await subscription.receive(amount - len(found), 0.2)
    return found
