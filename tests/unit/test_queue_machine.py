"""The embedded queue against a list: whatever is published, received, committed, sought and reopened in whatever order."""

import asyncio
import tempfile
from collections import Counter
from contextlib import AsyncExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harvester.protocols import Delivery, Message, Subscription
from harvester.queues import open_queue

GROUPS = ("one", "two")


class Reader:
    """A group as it should be: what is committed, what is received and not committed, and what it counted."""

    def __init__(self) -> None:
        self.subscription: Subscription | None = None
        self.exists = False
        self.committed = 0
        self.received: list[Delivery] = []
        self.counted: Counter[str] = Counter()
        self.skipped: set[int] = set()

    def forget_received(self) -> None:
        self.subscription = None
        self.received = []


class QueueMachine(RuleBasedStateMachine):
    """`published` is the truth; every step asks the queue for the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.published: list[Message] = []
        self.readers = {name: Reader() for name in GROUPS}

    @initialize()
    def open(self) -> None:
        async def opened() -> None:
            self.stack = AsyncExitStack()
            self.queue = await self.stack.enter_async_context(open_queue(f"sqlite:///{self.directory.name}/queue.db?ballast=0"))

        self.runner.run(opened())

    @rule()
    def reopen(self) -> None:
        id_ = self.queue.id
        self.runner.run(self.stack.aclose())
        for reader in self.readers.values():
            reader.forget_received()
        self.open()
        assert self.queue.id == id_

    @rule(bodies=st.lists(st.binary(max_size=40), max_size=5), key=st.text(max_size=3))
    def publish(self, bodies: list[bytes], key: str) -> None:
        messages = [Message(key, body, {"n": str(len(body))} if body else {}) for body in bodies]
        self.runner.run(self.queue.publish(messages, {"published": len(messages)}, "s"))
        self.published += messages

    @rule(name=st.sampled_from(GROUPS), limit=st.integers(0, 7))
    def receive(self, name: str, limit: int) -> None:
        reader = self.readers[name]

        async def received() -> list[Delivery]:
            if reader.subscription is None:
                reader.subscription = await self.stack.enter_async_context(self.queue.subscribe(name))
                reader.exists = True
            return list(await reader.subscription.receive(limit, 0))

        deliveries = self.runner.run(received())
        first = reader.committed + len(reader.received)
        assert [d.message for d in deliveries] == self.published[first : first + limit]
        reader.received += deliveries

    @rule(name=st.sampled_from(GROUPS), amount=st.integers(0, 9))
    def commit(self, name: str, amount: int) -> None:
        reader = self.readers[name]
        if reader.subscription is None:
            return
        run, reader.received = reader.received[:amount], reader.received[amount:]
        counts = {"consumed": len(run), "delivered": len(run)}
        self.runner.run(reader.subscription.commit(run, counts))
        reader.committed += len(run)
        reader.counted.update(counts)

    @precondition(lambda self: any(r.exists and r.subscription is None for r in self.readers.values()))
    @rule(data=st.data())
    def seek(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name, r in self.readers.items() if r.exists and r.subscription is None]))
        position = data.draw(st.integers(0, len(self.published) + 1))
        self.runner.run(self.queue.seek(name, position))
        reader, target = self.readers[name], max(position, 1)
        reader.skipped = {at for at in reader.skipped | {*range(reader.committed + 1, target)} if at < target}
        reader.committed = target - 1
        reader.counted = Counter()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "queue"):
            return
        groups = {group.name: group for group in self.runner.run(self.queue.groups())}
        assert set(groups) == {name for name, reader in self.readers.items() if reader.exists}
        for name, group in groups.items():
            reader = self.readers[name]
            assert group.position == reader.committed + 1
            assert group.lag == len(self.published) - reader.committed
            skipped = group.counts.get("skipped", 0)
            assert skipped >= len(reader.skipped), "nothing passed over is hidden"
            assert group.counts.get("skipped_from") == min(reader.skipped, default=None)
            assert {k: v for k, v in group.counts.items() if v and "skipped" not in k} == {
                k: v for k, v in reader.counted.items() if v
            }
            assert bool(group.owner) == (reader.subscription is not None)
        counts = self.runner.run(self.queue.counts())
        assert counts[""]["published"] == len(self.published) == counts.get("s", {}).get("published", 0)

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            assert list(self.runner.run(self.queue.check())) == []
            self.runner.run(self.stack.aclose())
        self.runner.close()
        self.directory.cleanup()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
