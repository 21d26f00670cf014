"""Members of a group on a real broker: joining, leaving, thrown out, and messages that are gone."""

import asyncio
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from harvester.commands.audit import equations
from harvester.errors import RefusedError
from harvester.protocols import Delivery, Message, Queue, Subscription
from harvester.queues import open_queue
from harvester.queues.kafka import KafkaQueue
from harvester.queues.kafka_access import place
from harvester.queues.kafka_subscription import KafkaSubscription
from tests.servers.protocols import Server
from tests.unit.kafkaqueues import PATIENCE, batch, made, received, texts, two_queues, until


async def audited(queue: Queue) -> None:
    """Every equation of `harvest audit` holds."""
    assert [str(equation) for equation in await equations(queue) if not equation.equal] == []


async def balanced(queue: Queue, group: str) -> None:
    """Each partition by itself consumed what its group moved by: so no member can undo what another counted."""
    assert isinstance(queue, KafkaQueue)
    stands = await queue._cluster.stands(group, queue._partitions)
    assert stands
    for stand in stands.values():
        assert stand.counts.get("consumed", 0) == stand.counts.get("delivered", 0) == stand.offset - stand.since, stands


async def consumed(subscription: Subscription, into: list[str], stop: asyncio.Event) -> None:
    """Reads and commits as the loop does: two batches in flight."""
    flying: list[Sequence[Delivery]] = []
    while not stop.is_set() or flying:
        if len(flying) < 2 and not stop.is_set():
            flying.append(await subscription.receive(37, 0.1))
        if flying and (len(flying) == 2 or stop.is_set()):
            done = flying.pop(0)
            into += texts(done)
            await subscription.commit(done, {"consumed": len(done), "delivered": len(done)})


async def test_f23_members_join_and_leave_mid_batch_and_every_message_is_counted_once(kafka: Server) -> None:
    url, amount = await made(kafka.url), 4000
    async with two_queues(url) as (one, two):
        got: list[str] = []
        stop, leave = asyncio.Event(), asyncio.Event()
        async with one.subscribe("g") as stays:
            reading = asyncio.create_task(consumed(stays, got, stop))
            for turn in range(4):
                await one.publish(batch(turn * 1000, 1000), {"read": 1000, "published": 1000}, "s")
                leave = asyncio.Event()
                async with two.subscribe("g") as comes:
                    other = asyncio.create_task(consumed(comes, got, leave))
                    await until(lambda turn=turn: len(set(got)) > turn * 1000 + 500)  # type: ignore[misc]
                    leave.set()
                    await other
            await until(lambda: len(set(got)) == amount)
            stop.set()
            await reading
        (group,) = await one.groups()
        assert (group.lag, group.counts) == (0, {"consumed": amount, "delivered": amount})
        await balanced(one, "g")
        await audited(one)


async def test_f23_what_was_lost_to_another_member_moves_and_counts_nothing_when_it_is_committed(kafka: Server) -> None:
    async with two_queues(await made(kafka.url)) as (one, two):
        await one.publish(batch(0, 200), {"read": 200, "published": 200}, "s")
        async with one.subscribe("g") as slow:
            late = await received(slow, 200)
            # Joining waits for the slow one, half a session and no longer.
            async with two.subscribe("g") as quick:
                assert list(await slow.receive(10, 0)) == []
                await slow.commit(late[:150], {"consumed": 150})
                await slow.commit(late[150:], {"consumed": 50})
                (group,) = await two.groups()
                assert (group.lag, group.counts) == (200, {})
                again: set[str] = set()
                deadline = time.monotonic() + PATIENCE
                while len(again) < 200:
                    assert time.monotonic() < deadline
                    for member in (slow, quick):
                        deliveries = await member.receive(50, 0.1)
                        again.update(texts(deliveries))
                        await member.commit(deliveries, {"consumed": len(deliveries), "delivered": len(deliveries)})
            (group,) = await two.groups()
            assert (group.lag, group.counts["consumed"]) == (0, 200)
        await audited(one)


async def test_f23_a_member_that_leaves_waits_for_nobody_and_its_partitions_go_on_within_two_seconds(kafka: Server) -> None:
    async with two_queues(await made(kafka.url, "session_timeout=10&partitions=4")) as (one, two), one.subscribe("g") as stays:
        stop, got = asyncio.Event(), list[str]()
        leaving = two.subscribe("g")
        await leaving.__aenter__()
        reading = asyncio.create_task(consumed(stays, got, stop))
        await leaving.__aexit__(None, None, None)
        left_at = time.monotonic()
        await one.publish(batch(0, 100))
        await until(lambda: len(got) == 100)
        assert time.monotonic() - left_at < 2
        stop.set()
        await reading


async def test_f24_a_member_whose_loop_is_full_stays_and_one_that_hangs_is_thrown_out(
    kafka: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.queues.kafka._POLL", 1000)
    async with two_queues(await made(kafka.url, "session_timeout=1&partitions=2")) as (one, two):
        await one.publish(batch(0, 20))
        async with one.subscribe("g") as full:
            held = await received(full, 20)
            until_then = time.monotonic() + 3
            while time.monotonic() < until_then:
                assert list(await full.receive(0, 0)) == []
                await asyncio.sleep(0.1)
            await full.commit(held, {"consumed": 20})
            (group,) = await two.groups()
            assert (group.lag, group.counts["consumed"]) == (0, 20)
            # The same without a word from the loop.
            deadline = time.monotonic() + PATIENCE
            while (await two.groups())[0].owner:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)


async def lose(url: str, address: str, before: int) -> None:
    """Delete what stands before that offset in each partition, as retention would."""
    where = place(url)
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        partitions = [TopicPartition(where.events, n) for n in range(where.options.partitions)]
        await admin.delete_records({p: RecordsToDelete(before) for p in partitions})
    finally:
        await admin.close()


@pytest.mark.parametrize("reading", [False, True], ids=["at its start", "while it reads"])
async def test_f28_messages_gone_before_they_were_read_stop_the_group_and_it_goes_on_when_told(
    kafka: Server, *, reading: bool
) -> None:
    url = await made(kafka.url, "session_timeout=3&partitions=2")
    async with open_queue(url) as queue:
        await queue.publish(batch(0, 200), {"read": 200, "published": 200}, "s")
        async with queue.subscribe("g") as subscription:
            first = await received(subscription, 20)
            await subscription.commit(first, {"consumed": 20, "delivered": 20})
            if reading:
                assert isinstance(subscription, KafkaSubscription)
                consumer = subscription._consumer
                consumer.pause(*subscription._next)
                for p, offset in subscription._next.items():
                    consumer.seek(p, offset)  # forget what is fetched already
                await lose(url, kafka.url, 50)
                consumer.resume(*subscription._next)
                with pytest.raises(RefusedError, match="harvest queue seek g --to beginning") as refused:
                    await received(subscription, 180)
        if not reading:
            await lose(url, kafka.url, 50)
            with pytest.raises(RefusedError, match="harvest queue seek g --to beginning") as refused:
                async with queue.subscribe("g"):
                    pass
        assert "to 49" in str(refused.value)
        await queue.seek("g", 0)
        (group,) = await queue.groups()
        assert (group.counts["skipped"], group.lag) == (80, 100)
        async with queue.subscribe("g") as subscription:
            assert len(await received(subscription, 100)) == 100


async def test_a_receive_that_does_not_wait_tells_empty_from_not_fetched_yet(kafka: Server) -> None:
    async with open_queue(await made(kafka.url)) as queue:
        await queue.publish(batch(0, 3000))
        async with queue.subscribe("g") as subscription:
            got = 0
            while deliveries := await subscription.receive(500, 0):
                got += len(deliveries)
                await subscription.commit(deliveries)
            assert got == 3000


async def test_counts_of_a_group_survive_a_move_of_its_partitions(kafka: Server) -> None:
    async with two_queues(await made(kafka.url)) as (one, two):
        await one.publish(batch(0, 100))
        for queue in (one, two):
            async with queue.subscribe("g") as subscription:
                await subscription.commit(await received(subscription, 50), {"consumed": 50, "delivered": 50})
                await subscription.commit([], {"repaired": 1})
        (group,) = await one.groups()
        assert group.counts == {"consumed": 100, "delivered": 100, "repaired": 2}
        assert group.position - group.since == 100


async def test_the_age_of_what_waits_is_known_without_reading_what_waits(kafka: Server) -> None:
    async with open_queue(await made(kafka.url, "partitions=4&timeout=30&lz4=false")) as queue:
        for turn in range(40):
            await queue.publish([Message(f"k{turn}", b"x" * 200_000)])
        await queue.size()
        tracemalloc.start()
        try:
            assert (await queue.size()).messages == 40
            assert tracemalloc.get_traced_memory()[1] < 3_000_000, "8 MB wait, a batch of each partition is 200 kB"
        finally:
            tracemalloc.stop()


async def test_f23_what_is_fetched_before_it_is_known_where_the_group_stands_is_not_handed_out_twice(kafka: Server) -> None:
    async with open_queue(await made(kafka.url)) as queue, queue.subscribe("g") as subscription:
        assert isinstance(subscription, KafkaSubscription)
        receiving = asyncio.create_task(subscription.receive(100, PATIENCE))
        await asyncio.sleep(0.3)  # it waits for messages; a rebalance passes meanwhile
        partitions = subscription._consumer.assignment()
        await subscription.on_partitions_revoked(partitions)
        await queue.publish(batch(0, 100))
        assert list(await receiving) == []
        await subscription.on_partitions_assigned(partitions)
        got = await received(subscription, 100)
        assert sorted(texts(got)) == [f"{n:06}" for n in range(100)]
        await subscription.commit(got, {"consumed": 100, "delivered": 100})
        assert list(await subscription.receive(100, 0)) == []
        await balanced(queue, "g")


async def test_f23_a_member_whose_commit_outlasts_a_rebalance_goes_on_reading(
    kafka: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_queue(await made(kafka.url, "session_timeout=1&partitions=2&timeout=30")) as queue:
        await queue.publish(batch(0, 200))
        async with queue.subscribe("g") as subscription:
            assert isinstance(subscription, KafkaSubscription)
            first = await received(subscription, 100)
            sending, commit = asyncio.Event(), subscription._consumer.commit

            async def slow(offsets: object) -> None:
                await sending.wait()
                await commit(offsets)

            monkeypatch.setattr(subscription._consumer, "commit", slow)
            committing = asyncio.create_task(subscription.commit(first, {"consumed": 100, "delivered": 100}))
            await asyncio.sleep(0)
            partitions = subscription._consumer.assignment()
            await subscription.on_partitions_revoked(partitions)
            await subscription.on_partitions_assigned(partitions)
            sending.set()
            await committing
            monkeypatch.undo()
            again = await received(subscription, 200)
            await subscription.commit(again, {"consumed": 200, "delivered": 200})
        await balanced(queue, "g")
        assert (await queue.lag("g")) == {"0": 0, "1": 0}
