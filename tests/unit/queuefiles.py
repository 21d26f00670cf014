"""Embedded queues as tests use them: numbered messages, read back as numbers."""

import sqlite3
from contextlib import closing
from pathlib import Path

from harvester.protocols import Delivery, Message, Queue
from tests.unit.children import BATCH


def url(directory: Path, options: str = "ballast=0") -> str:
    return f"sqlite:///{directory}/queue.db?{options}"


def batch(first: int, amount: int = BATCH, size: int = 0) -> list[Message]:
    return [Message("k", f"{n}".encode().ljust(size)) for n in range(first, first + amount)]


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(delivery.message.body.split()[-1]) for delivery in deliveries]


async def everything(queue: Queue) -> list[Delivery]:
    return list(await queue.peek(0, 1_000_000))


def edit(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / "queue.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
