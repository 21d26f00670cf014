"""A broker that dies, stands still, or whose answers are lost; and topics that are not what they were."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from harvester.commands.audit import equations
from harvester.errors import ConfigError, TransientError
from harvester.protocols import Marked, Queue
from harvester.queues import open_queue
from harvester.queues.kafka import KafkaQueue, prepare
from harvester.queues.kafka_access import place
from tests import services
from tests.servers.own import Own
from tests.servers.process import free_port
from tests.servers.protocols import Server
from tests.unit.kafkaqueues import PATIENCE, batch, made, received, texts, until
from tests.unit.tcpproxy import proxy


@pytest.fixture
def broker() -> Iterator[Own]:
    """One that the test may kill."""
    with services.own("kafka") as node:
        yield node


async def published(queue: Queue, first: int, amount: int) -> int:
    """As the loop does: again until it is done. How often it failed."""
    deadline, failures = time.monotonic() + PATIENCE, 0
    while True:
        try:
            await queue.publish(batch(first, amount), {"read": amount, "published": amount}, "s")
        except TransientError:
            assert time.monotonic() < deadline
            failures += 1
        else:
            return failures


async def test_f20_a_broker_that_was_killed_loses_nothing_and_all_go_on_by_themselves(broker: Own) -> None:
    async with open_queue(await made(broker.url, "session_timeout=3&timeout=1&partitions=2")) as queue:
        await queue.publish(batch(0, 100), {"read": 100, "published": 100}, "s")
        async with queue.subscribe("g") as subscription:
            got = await received(subscription, 100)
            await subscription.commit(got, {"consumed": 100, "delivered": 100})
            broker.kill()
            began = time.monotonic()
            with pytest.raises(TransientError):
                await queue.publish(batch(100, 100))
            assert time.monotonic() - began < 10
            going_on = asyncio.create_task(published(queue, 200, 100))
            await asyncio.to_thread(broker.start)
            await going_on
            # What failed is still with the client, and comes before what was published after it.
            more: list[str] = []
            while len(set(more)) < 200:
                more += texts(await received(subscription, 1))
            first_seen = list(dict.fromkeys(more))
            assert sorted(first_seen) == [f"{n:06}" for n in range(100, 300)]
            for key in range(20):
                of_key = [text for text in first_seen if int(text) % 20 == key]
                assert of_key == sorted(of_key)


async def test_f20_while_no_broker_answers_nothing_more_is_taken_into_memory(broker: Own) -> None:
    async with open_queue(await made(broker.url, "session_timeout=3&timeout=0.5&partitions=2")) as queue:
        assert isinstance(queue, KafkaQueue)
        await queue.publish(batch(0, 10))
        broker.pause()
        try:
            for _ in range(5):
                with pytest.raises(TransientError):
                    await queue.publish(batch(10, 100))
            assert len(queue._publisher._late) == 2  # the two partitions of the first
        finally:
            broker.resume()
        await published(queue, 110, 10)
        assert (await queue.counts())[""]["published"] == 120


async def test_f21_a_publish_whose_answer_was_lost_is_there_once_and_in_order() -> None:
    async with proxy(free_port()) as way:
        with services.own("kafka", **{"advertised.listeners": f"PLAINTEXT://127.0.0.1:{way.port}"}) as node:
            way.target = node.port
            async with open_queue(await made(f"127.0.0.1:{way.port}", "session_timeout=3&timeout=20&partitions=1")) as queue:
                await queue.publish(batch(0, 10))
                way.passing.clear()
                publishing = asyncio.create_task(queue.publish(batch(10, 10), {"read": 10, "published": 10}, "s"))
                await until(lambda: way.kept_back > 0)
                assert not publishing.done()
                way.cut()
                await publishing
                await queue.publish(batch(20, 10))
                async with queue.subscribe("g") as subscription:
                    assert texts(await received(subscription, 30)) == [f"{n:06}" for n in range(30)]
                assert (await queue.counts())[""]["published"] == 30


async def test_a_missing_topic_is_told_with_what_makes_it_and_making_is_repeatable(kafka: Server) -> None:
    url = f"kafka://{kafka.url}/missing-{time.time_ns()}?partitions=3"
    with pytest.raises(ConfigError, match="harvest setup"):
        async with open_queue(url):
            pass
    assert len(await prepare(url)) == 2
    assert list(await prepare(url)) == []
    async with open_queue(url) as queue:
        assert sorted(await queue.lag("g")) == ["0", "1", "2"]


async def test_nobody_answering_is_transient() -> None:
    with pytest.raises(TransientError):
        async with open_queue(f"kafka://127.0.0.1:{free_port()}/p?timeout=1"):
            pass


async def made_anew(url: str, address: str) -> None:
    where, admin = place(url), AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.delete_topics([where.events])
    finally:
        await admin.close()
    deadline = time.monotonic() + PATIENCE
    while not await prepare(url):
        assert time.monotonic() < deadline


async def test_f28_a_topic_that_was_made_anew_is_another_queue_and_holds_no_mark_of_the_old(kafka: Server) -> None:
    url = await made(kafka.url)
    async with open_queue(url) as queue:
        assert isinstance(queue, Marked)
        old, before = queue.id, await queue.mark()
        await queue.publish(batch(0, 50), {"read": 50, "published": 50}, "s")
        mark = await queue.mark()
        assert (mark.taken, await queue.holds(before), await queue.holds(mark)) == (50, True, True)
    await made_anew(url, kafka.url)
    async with open_queue(url) as queue:
        assert isinstance(queue, Marked)
        assert queue.id != old
        assert await queue.holds(before)
        assert not await queue.holds(mark)
        # What was acknowledged and is not in the log is not hidden.
        assert [fault for fault in await queue.check() if "50 messages were acknowledged" in fault]
        assert [equation.what for equation in await equations(queue) if not equation.equal] == ["queue"]


async def test_a_crash_between_messages_and_their_counts_is_told_as_uncounted(
    kafka: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):  # noqa: N818
        pass

    def strike(name: str) -> None:
        if name == "queue.in_publish":
            raise Crash

    url = await made(kafka.url)
    with monkeypatch.context() as patched:
        patched.setattr("harvester.queues.kafka_publish.point", strike)
        async with open_queue(url) as queue:
            with pytest.raises(Crash):
                await queue.publish(batch(0, 30), {"read": 30, "published": 30}, "s")
    async with open_queue(url) as queue:
        await queue.publish(batch(0, 30), {"read": 30, "published": 30}, "s")
        assert await queue.counts() == {"": {"published": 60, "uncounted": 30}, "s": {"read": 30, "published": 30}}
        assert all(equation.equal for equation in await equations(queue))
