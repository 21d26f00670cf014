"""Every queue that the contract is held against. A new driver adds a line to DRIVERS."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harvester.protocols import Delivery, Message, Queue, Subscription


class Driver(NamedTuple):
    """One kind of queue, and what of the contract its server leaves to it."""

    name: str
    url: Callable[[Path, str], str]
    """Of the queue that this name has in this directory; the same each time. Messages over 1 KiB are too large for it."""
    one_member: bool = True
    """Whether a second member of a group is refused; otherwise the two share the messages."""
    seekable: bool = True
    """Whether positions are numbers that an operator can set and look at."""


DRIVERS = [Driver("sqlite", lambda directory, name: f"sqlite:///{directory}/{name}.db?max_message=1KiB&ballast=0")]


def messages(*bodies: str, key: str = "k") -> list[Message]:
    return [Message(key, body.encode()) for body in bodies]


def bodies(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.body.decode() for delivery in deliveries]


async def drain(subscription: Subscription, amount: int) -> list[Delivery]:
    """`amount` messages, in as many calls as the driver needs."""
    deliveries: list[Delivery] = []
    until = time.monotonic() + 20
    while len(deliveries) < amount and time.monotonic() < until:
        deliveries += await subscription.receive(amount - len(deliveries), 0.5)
    return deliveries


async def left(queue: Queue, group: str) -> int:
    return sum((await queue.lag(group)).values())
