"""The embedded queue writes many rows with one statement: all of them, in order, with all they carry."""

from pathlib import Path

import pytest

from harvester.protocols import Message
from harvester.queues import open_queue


@pytest.mark.parametrize("amount", [1, 199, 200, 201, 400, 1001])
async def test_a_batch_of_any_size_is_read_as_it_was_published(tmp_path: Path, amount: int) -> None:
    headers = [{}, {"type": "opencast.useraction"}]
    messages = [Message(f"opencast/{n % 7}", b"%d\0\xff" % n, headers[n % 2]) for n in range(amount)]
    async with open_queue(f"sqlite:///{tmp_path / 'queue.db'}") as queue:
        await queue.publish(messages, {"published": amount}, "opencast/useractions")
        await queue.publish(messages[:1], {"published": 1}, "opencast/useractions")
        found = await queue.peek(1, amount + 1)
        assert [delivery.message for delivery in found] == [*messages, messages[0]]
        assert [delivery.position for delivery in found] == list(range(1, amount + 2))
        assert all(type(delivery) is type(found[0]) and type(delivery.message) is Message for delivery in found)
        assert await queue.check() == []
