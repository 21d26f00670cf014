"""What every queue does with messages. Drivers stand in `queues.py`."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from harvester.errors import ConfigError, PayloadTooLargeError, RefusedError
from harvester.protocols import Message
from harvester.queues import open_queue
from tests.contracts.queues import Driver, Maker, Opener, apart, bodies, drain, messages


async def test_every_group_receives_every_message(opened: Opener) -> None:
    async with opened() as queue:
        await queue.publish(messages("a", "b", "c"))
        for group in ("one", "two"):
            async with queue.subscribe(group) as subscription:
                assert sorted(bodies(await drain(subscription, 3))) == ["a", "b", "c"]


async def test_messages_of_one_key_stay_in_order(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        for batch in range(5):
            await queue.publish([Message(f"k{n % 3}", f"{batch * 10 + n:03}".encode()) for n in range(10)])
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 50)
    for key in ("k0", "k1", "k2"):
        of_key = bodies([d for d in deliveries if d.message.key == key])
        if queue_driver.ordered:
            assert of_key == sorted(of_key)
        else:  # then the version orders the states of one subject, at the sink: it is enough that all come
            assert len(of_key) == len(set(of_key))
    assert len(deliveries) == 50


async def test_bytes_keys_and_headers_come_through_unchanged(opened: Opener) -> None:
    sent = [
        Message("opencast/1", bytes(range(256)), {"type": "opencast.useraction", "ü": "\N{SNOWMAN}\n"}),
        Message("zoom/ä\0b", b""),
        Message("", b"\0\xff", {"": ""}),
    ]
    async with opened() as queue:
        await queue.publish(sent)
        async with queue.subscribe("g") as subscription:
            received = [delivery.message for delivery in await drain(subscription, 3)]
    assert sorted(received, key=lambda m: m.key) == sorted(sent, key=lambda m: m.key)


async def test_what_was_published_outlives_the_process(opened: Opener) -> None:
    async with opened() as queue:
        await queue.publish(messages("a"))
        await queue.publish(messages("b"))
    async with opened() as queue, queue.subscribe("g") as subscription:
        assert sorted(bodies(await drain(subscription, 2))) == ["a", "b"]


async def test_a_queue_keeps_its_id_and_no_other_queue_has_it(queue_named: Maker) -> None:
    one, two = await queue_named("one"), await queue_named("two")
    async with one() as queue:
        first = queue.id
    async with one() as queue:
        assert queue.id == first
    async with two() as queue:
        assert queue.id
        assert queue.id != first


async def test_what_was_not_committed_comes_again_and_what_was_does_not(opened: Opener) -> None:
    async with opened() as queue:
        await apart(queue, "a", "b", "c", "d")
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 4)
            await subscription.commit(deliveries[:2])
    async with opened() as queue, queue.subscribe("g") as subscription:
        assert sorted(bodies(await drain(subscription, 2))) == sorted(bodies(deliveries[2:]))
        assert list(await subscription.receive(10, 0)) == []


async def test_several_batches_may_be_received_before_the_first_is_committed(opened: Opener) -> None:
    async with opened() as queue:
        await apart(queue, *"abcdef")
        async with queue.subscribe("g") as subscription:
            batches = [await drain(subscription, 2) for _ in range(3)]
            assert sorted(bodies([*batches[0], *batches[1], *batches[2]])) == list("abcdef")
            await subscription.commit(batches[0], {"consumed": 2})
            await subscription.commit(batches[1], {"consumed": 2})
        async with queue.subscribe("g") as subscription:
            assert sorted(bodies(await drain(subscription, 2))) == sorted(bodies(batches[2]))


async def test_receive_gives_at_most_its_limit_and_nothing_for_none(opened: Opener) -> None:
    async with opened() as queue:
        await queue.publish(messages(*"abcdef"))
        async with queue.subscribe("g") as subscription:
            assert list(await subscription.receive(0, 5)) == []
            assert 0 < len(await subscription.receive(4, 5)) <= 4


async def test_receive_comes_back_empty_when_its_wait_is_over(opened: Opener) -> None:
    async with opened() as queue, queue.subscribe("g") as subscription:
        assert list(await subscription.receive(10, 0)) == []
        began = time.monotonic()
        assert list(await subscription.receive(10, 0.2)) == []
        assert time.monotonic() - began >= 0.2


async def test_a_waiting_receive_wakes_when_a_message_is_published(opened: Opener) -> None:
    async with opened() as queue, queue.subscribe("g") as subscription:
        receiving = asyncio.create_task(subscription.receive(10, 60))
        await asyncio.sleep(0)
        began = time.monotonic()
        await queue.publish(messages("a"))
        assert bodies(await receiving) == ["a"]
        assert time.monotonic() - began < 30


async def test_a_cancelled_receive_loses_nothing(opened: Opener) -> None:
    async with opened() as queue, queue.subscribe("g") as subscription:
        receiving = asyncio.create_task(subscription.receive(10, 20))
        await asyncio.sleep(0.01)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await queue.publish(messages("a"))
        assert bodies(await drain(subscription, 1)) == ["a"]


async def test_publishers_and_readers_work_at_the_same_time(opened: Opener) -> None:
    async with opened() as queue, queue.subscribe("g") as subscription:

        async def publish(name: str) -> None:
            for n in range(20):
                await queue.publish([Message(name, f"{name}{n:02}".encode())])

        _, _, received = await asyncio.gather(publish("a"), publish("b"), drain(subscription, 40))
    assert sorted(bodies(received)) == sorted(f"{name}{n:02}" for name in "ab" for n in range(20))


async def test_counts_given_to_publish_add_up_by_owner_beside_what_the_queue_proves(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        assert (await queue.counts())[""]["published"] == 0
        await queue.publish(messages("a", "b"), {"read": 3, "published": 2}, "opencast")
        await queue.publish(messages("c"), {"read": 1, "published": 1}, "opencast")
        await queue.publish([], {"read": 5, "dead_lettered": 5}, "github/acme")
        counts = await queue.counts()
    if queue_driver.counted:
        async with opened() as queue:
            counts = await queue.counts()
    assert counts["opencast"] == {"read": 4, "published": 3}
    assert counts["github/acme"] == {"read": 5, "dead_lettered": 5}
    assert counts[""]["published"] == 3


async def test_f22_a_message_too_large_is_named_and_nothing_of_its_batch_is_published(opened: Opener) -> None:
    large = Message("k", random.Random(22).randbytes(1025))  # no compression helps it
    async with opened() as queue:
        with pytest.raises(PayloadTooLargeError) as refused:
            await queue.publish([*messages("a"), large, *messages("b"), large], {"read": 4}, "s")
        assert refused.value.indexes == (1, 3)
        assert "s" not in await queue.counts()
        await queue.publish([Message("k", b"x" * 1024)])
        async with queue.subscribe("g") as subscription:
            assert [len(d.message.body) for d in await subscription.receive(10, 5)] == [1024]


async def test_peek_shows_messages_without_a_group(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        await queue.publish(messages(*"abcde"))
        if not queue_driver.log:
            with pytest.raises(RefusedError, match="cannot"):
                await queue.peek(0, 2)
            return
        first = await queue.peek(0, 2)
        assert bodies(first) == ["a", "b"]
        if queue_driver.seekable:
            assert bodies(await queue.peek(int(first[1].position), 1)) == ["b"]
        else:
            with pytest.raises(RefusedError):
                await queue.peek(2, 1)
        assert bodies(await queue.peek(-2, 10)) == ["d", "e"]
        assert bodies(await queue.peek(-99, 1)) == ["a"]
        assert list(await queue.peek(0, 0)) == []
        assert list(await queue.groups()) == []


async def test_a_whole_queue_passes_its_check(opened: Opener) -> None:
    async with opened() as queue:
        assert list(await queue.check()) == []
        await queue.publish(messages("a", "b"), {"published": 2}, "s")
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await drain(subscription, 1), {"consumed": 1, "delivered": 1})
            assert list(await queue.check()) == []


@pytest.mark.parametrize(
    "url", ["queue.db", "ftp://host/queue", "sqlite://var/queue.db", "sqlite:///q.db?max_byte=1", "sqlite:///q.db#x"]
)
def test_a_wrong_url_is_told_before_anything_is_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        open_queue(url)
    assert list(tmp_path.iterdir()) == []
