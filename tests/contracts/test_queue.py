"""What every queue does. A new driver adds a line to DRIVERS."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from harvester.errors import ConfigError, PayloadTooLargeError, RefusedError
from harvester.protocols import Delivery, Message, Queue, Subscription
from harvester.queues import open_queue


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


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    found = request.param
    assert isinstance(found, Driver)
    return found


@pytest.fixture
def url(driver: Driver, tmp_path: Path) -> str:
    return driver.url(tmp_path, "queue")


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


async def test_every_group_receives_every_message(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a", "b", "c"))
        for group in ("one", "two"):
            async with queue.subscribe(group) as subscription:
                assert sorted(bodies(await drain(subscription, 3))) == ["a", "b", "c"]


async def test_messages_of_one_key_stay_in_order(url: str) -> None:
    async with open_queue(url) as queue:
        for batch in range(5):
            await queue.publish([Message(f"k{n % 3}", f"{batch * 10 + n:03}".encode()) for n in range(10)])
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 50)
    for key in ("k0", "k1", "k2"):
        of_key = bodies([d for d in deliveries if d.message.key == key])
        assert of_key == sorted(of_key)
    assert len(deliveries) == 50


async def test_bytes_keys_and_headers_come_through_unchanged(url: str) -> None:
    sent = [
        Message("opencast/1", bytes(range(256)), {"type": "opencast.useraction", "ü": "\N{SNOWMAN}\n"}),
        Message("zoom/ä\0b", b""),
        Message("", b"\0\xff", {"": ""}),
    ]
    async with open_queue(url) as queue:
        await queue.publish(sent)
        async with queue.subscribe("g") as subscription:
            received = [delivery.message for delivery in await drain(subscription, 3)]
    assert sorted(received, key=lambda m: m.key) == sorted(sent, key=lambda m: m.key)


async def test_what_was_published_outlives_the_process(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a"))
        await queue.publish(messages("b"))
    async with open_queue(url) as queue, queue.subscribe("g") as subscription:
        assert bodies(await drain(subscription, 2)) == ["a", "b"]


async def test_a_queue_keeps_its_id_and_no_other_queue_has_it(driver: Driver, tmp_path: Path) -> None:
    async with open_queue(driver.url(tmp_path, "one")) as queue:
        first = queue.id
    async with open_queue(driver.url(tmp_path, "one")) as queue:
        assert queue.id == first
    async with open_queue(driver.url(tmp_path, "two")) as queue:
        assert queue.id
        assert queue.id != first


async def test_what_was_not_committed_comes_again_and_what_was_does_not(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a", "b", "c", "d"))
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 4)
            await subscription.commit(deliveries[:2])
    async with open_queue(url) as queue, queue.subscribe("g") as subscription:
        assert bodies(await drain(subscription, 2)) == bodies(deliveries[2:])


async def test_several_batches_may_be_received_before_the_first_is_committed(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages(*"abcdef"))
        async with queue.subscribe("g") as subscription:
            batches = [await drain(subscription, 2) for _ in range(3)]
            assert sorted(bodies([*batches[0], *batches[1], *batches[2]])) == list("abcdef")
            await subscription.commit(batches[0], {"consumed": 2})
            await subscription.commit(batches[1], {"consumed": 2})
        async with queue.subscribe("g") as subscription:
            assert sorted(bodies(await drain(subscription, 2))) == sorted(bodies(batches[2]))


async def test_committing_again_moves_and_counts_nothing(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a", "b", "c"))
        async with queue.subscribe("g") as subscription:
            first = await drain(subscription, 1)
            second = await drain(subscription, 1)
            await subscription.commit(first, {"consumed": 1})
            await subscription.commit(second, {"consumed": 1})
            await subscription.commit(first, {"consumed": 1})
        assert await left(queue, "g") == 1
        (group,) = await queue.groups()
        assert group.counts == {"consumed": 2}


async def test_a_new_group_begins_at_the_oldest_message_and_is_kept(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a"))
        async with queue.subscribe("early") as subscription:
            await subscription.commit(await drain(subscription, 1))
        async with queue.subscribe("late") as subscription:
            assert bodies(await drain(subscription, 1)) == ["a"]
        assert sorted(group.name for group in await queue.groups()) == ["early", "late"]


async def test_receive_gives_at_most_its_limit_and_nothing_for_none(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages(*"abcdef"))
        async with queue.subscribe("g") as subscription:
            assert list(await subscription.receive(0, 5)) == []
            assert 0 < len(await subscription.receive(4, 5)) <= 4


async def test_receive_comes_back_empty_when_its_wait_is_over(url: str) -> None:
    async with open_queue(url) as queue, queue.subscribe("g") as subscription:
        assert list(await subscription.receive(10, 0)) == []
        began = time.monotonic()
        assert list(await subscription.receive(10, 0.2)) == []
        assert time.monotonic() - began >= 0.2


async def test_a_waiting_receive_wakes_when_a_message_is_published(url: str) -> None:
    async with open_queue(url) as queue, queue.subscribe("g") as subscription:
        receiving = asyncio.create_task(subscription.receive(10, 20))
        await asyncio.sleep(0)
        began = time.monotonic()
        await queue.publish(messages("a"))
        assert bodies(await receiving) == ["a"]
        assert time.monotonic() - began < 5


async def test_a_cancelled_receive_loses_nothing(url: str) -> None:
    async with open_queue(url) as queue, queue.subscribe("g") as subscription:
        receiving = asyncio.create_task(subscription.receive(10, 20))
        await asyncio.sleep(0.01)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await queue.publish(messages("a"))
        assert bodies(await drain(subscription, 1)) == ["a"]


async def test_publishers_and_readers_work_at_the_same_time(url: str) -> None:
    async with open_queue(url) as queue, queue.subscribe("g") as subscription:

        async def publish(name: str) -> None:
            for n in range(20):
                await queue.publish([Message(name, f"{name}{n:02}".encode())])

        _, _, received = await asyncio.gather(publish("a"), publish("b"), drain(subscription, 40))
    assert sorted(bodies(received)) == sorted(f"{name}{n:02}" for name in "ab" for n in range(20))


async def test_counts_given_to_publish_add_up_by_owner_beside_what_the_queue_proves(url: str) -> None:
    async with open_queue(url) as queue:
        assert (await queue.counts())[""]["published"] == 0
        await queue.publish(messages("a", "b"), {"read": 3, "published": 2}, "opencast")
        await queue.publish(messages("c"), {"read": 1, "published": 1}, "opencast")
        await queue.publish([], {"read": 5, "dead_lettered": 5}, "github/acme")
    async with open_queue(url) as queue:
        counts = await queue.counts()
    assert counts["opencast"] == {"read": 4, "published": 3}
    assert counts["github/acme"] == {"read": 5, "dead_lettered": 5}
    assert counts[""]["published"] == 3


async def test_counts_given_to_commit_add_up_by_group(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a", "b", "c"))
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await drain(subscription, 2), {"consumed": 2, "delivered": 2})
            await subscription.commit(await drain(subscription, 1), {"consumed": 1, "filtered": 1})
            await subscription.commit([], {"repaired": 4})
    async with open_queue(url) as queue:
        (group,) = await queue.groups()
    assert group.counts == {"consumed": 3, "delivered": 2, "filtered": 1, "repaired": 4}


async def test_f22_a_message_too_large_is_named_and_nothing_of_its_batch_is_published(url: str) -> None:
    large = Message("k", b"x" * 1025)
    async with open_queue(url) as queue:
        with pytest.raises(PayloadTooLargeError) as refused:
            await queue.publish([*messages("a"), large, *messages("b"), large], {"read": 4}, "s")
        assert refused.value.indexes == (1, 3)
        assert "s" not in await queue.counts()
        await queue.publish([Message("k", b"x" * 1024)])
        async with queue.subscribe("g") as subscription:
            assert [len(d.message.body) for d in await subscription.receive(10, 5)] == [1024]


async def test_lag_is_what_a_group_has_not_committed(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a", "b", "c"))
        assert await left(queue, "g") == 3
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 3)
            assert await left(queue, "g") == 3
            await subscription.commit(deliveries[:2])
            assert await left(queue, "g") == 1
        (group,) = await queue.groups()
        assert group.lag == 1


async def test_e21_a_second_member_is_refused_with_the_name_of_the_first(driver: Driver, url: str) -> None:
    if not driver.one_member:
        return
    async with open_queue(url) as queue, open_queue(url) as other:
        async with queue.subscribe("g"):
            (group,) = await other.groups()
            assert group.owner
            for each in (queue, other):
                with pytest.raises(RefusedError, match=group.owner):
                    await each.subscribe("g").__aenter__()
            async with other.subscribe("another"):
                pass
        async with other.subscribe("g"):
            pass
        assert {group.owner for group in await queue.groups()} == {""}


async def test_seek_reads_again_and_begins_the_counts_anew(driver: Driver, url: str) -> None:
    if not driver.seekable:
        return
    async with open_queue(url) as queue:
        await queue.publish(messages("a", "b", "c"))
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 3)
            await subscription.commit(deliveries, {"consumed": 3})
        await queue.seek("g", 0)
        (group,) = await queue.groups()
        assert (group.lag, group.counts) == (3, {})
        await queue.seek("g", int(deliveries[1].position))
        (group,) = await queue.groups()
        assert (group.position, group.since) == (deliveries[1].position, deliveries[1].position)
        async with queue.subscribe("g") as subscription:
            assert bodies(await drain(subscription, 2)) == ["b", "c"]
            with pytest.raises(RefusedError):
                await queue.seek("g", 0)


async def test_seek_refuses_what_is_not_kept_and_groups_that_do_not_exist(driver: Driver, url: str) -> None:
    if not driver.seekable:
        return
    async with open_queue(url) as queue:
        async with queue.subscribe("g"):
            pass
        with pytest.raises(RefusedError):
            await queue.seek("g", 99)
        with pytest.raises(RefusedError, match="g"):
            await queue.seek("mistyped", 0)
        assert [group.name for group in await queue.groups()] == ["g"]


async def test_forget_drops_a_group_that_is_not_read(url: str) -> None:
    async with open_queue(url) as queue:
        await queue.publish(messages("a"))
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await drain(subscription, 1))
            with pytest.raises(RefusedError):
                await queue.forget("g")
        await queue.forget("g")
        assert list(await queue.groups()) == []
        async with queue.subscribe("g") as subscription:
            assert bodies(await drain(subscription, 1)) == ["a"]


async def test_peek_shows_messages_without_a_group(driver: Driver, url: str) -> None:
    if not driver.seekable:
        return
    async with open_queue(url) as queue:
        await queue.publish(messages(*"abcde"))
        first = await queue.peek(0, 2)
        assert bodies(first) == ["a", "b"]
        assert bodies(await queue.peek(int(first[1].position), 1)) == ["b"]
        assert bodies(await queue.peek(-2, 10)) == ["d", "e"]
        assert bodies(await queue.peek(-99, 1)) == ["a"]
        assert list(await queue.peek(0, 0)) == []
        assert list(await queue.groups()) == []


async def test_a_whole_queue_passes_its_check(url: str) -> None:
    async with open_queue(url) as queue:
        assert list(await queue.check()) == []
        await queue.publish(messages("a", "b"), {"published": 2}, "s")
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await drain(subscription, 1), {"consumed": 1, "delivered": 1})
            assert list(await queue.check()) == []


@pytest.mark.parametrize("group", ["", "..", "a/b", "../x", ".hidden", "a b", "ä", "x" * 65])
async def test_a_group_whose_name_could_leave_its_place_is_refused(url: str, group: str) -> None:
    async with open_queue(url) as queue:
        with pytest.raises(ConfigError):
            await queue.subscribe(group).__aenter__()


@pytest.mark.parametrize(
    "url", ["queue.db", "ftp://host/queue", "sqlite://var/queue.db", "sqlite:///q.db?max_byte=1", "sqlite:///q.db#x"]
)
def test_a_wrong_url_is_told_before_anything_is_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        open_queue(url)
    assert list(tmp_path.iterdir()) == []
