"""One batch of a sink, put together as the consume loop would."""

import asyncio
from typing import Any

from consumers.batch import Processing
from consumers.protocols import Sink
from harvester.protocols import DeadLetters, Delivery, Message
from tests.fakes import message


def processing(sink: Sink, letters: DeadLetters, **options: Any) -> Processing:
    """Patience costs no time, unless a test asks for it."""
    return Processing(sink, letters, options.pop("stop", asyncio.Event()), **{"first_pause": 0.0, **options})


def deliveries(*messages: Message) -> list[Delivery]:
    return [Delivery(m, n) for n, m in enumerate(messages, 1)]


def events(amount: int, name: str = "e") -> list[Delivery]:
    return deliveries(*(message(f"{name}{n}") for n in range(amount)))


def counted(consumed: int, delivered: int, *, filtered: int = 0, dead: int = 0, **more: int) -> dict[str, int]:
    return {"consumed": consumed, "delivered": delivered, "filtered": filtered, "dead_lettered": dead, **more}
