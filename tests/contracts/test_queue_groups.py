"""What every queue does with consumer groups. Drivers stand in `queues.py`."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from harvester.behind import Behind, Placed
from harvester.errors import ConfigError, RefusedError
from harvester.protocols import Message
from tests.contracts.queues import Driver, Opener, apart, bodies, drain, left, messages


async def test_committing_again_moves_and_counts_nothing(opened: Opener) -> None:
    async with opened() as queue:
        await apart(queue, "a", "b", "c")
        async with queue.subscribe("g") as subscription:
            first = await drain(subscription, 1)
            second = await drain(subscription, 1)
            await subscription.commit(first, {"consumed": 1})
            await subscription.commit(second, {"consumed": 1})
            await subscription.commit(first, {"consumed": 1})
        assert await left(queue, "g") == 1
        (group,) = [g for g in await queue.groups() if g.name == "g"]
        assert group.counts == {"consumed": 2}


async def test_a_new_group_begins_at_the_oldest_message_and_is_kept(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        await queue.publish(messages("a"))
        async with queue.subscribe("one") as subscription:
            await subscription.commit(await drain(subscription, 1))
        async with queue.subscribe("two") as subscription:
            assert bodies(await drain(subscription, 1)) == ["a"]
        names = sorted(group.name for group in await queue.groups())
        assert names == ["one", "two"] if queue_driver.log else {"one", "two"} <= set(names)


async def test_counts_given_to_commit_add_up_by_group(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        await queue.publish(messages("a", "b", "c"))
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await drain(subscription, 2), {"consumed": 2, "delivered": 2})
            await subscription.commit(await drain(subscription, 1), {"consumed": 1, "filtered": 1})
            await subscription.commit([], {"repaired": 4})
        (group,) = [g for g in await queue.groups() if g.name == "g"]
    if queue_driver.counted:
        async with opened() as queue:
            (group,) = await queue.groups()
    assert group.counts == {"consumed": 3, "delivered": 2, "filtered": 1, "repaired": 4}


async def test_lag_is_what_a_group_has_not_committed(opened: Opener) -> None:
    async with opened() as queue:
        await apart(queue, "a", "b", "c")
        assert await left(queue, "g") == 3
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 3)
            assert await left(queue, "g") == 3
            await subscription.commit(deliveries[:2])
            assert await left(queue, "g") == 1
        (group,) = [g for g in await queue.groups() if g.name == "g"]
        assert group.lag == 1


async def test_size_is_what_is_kept_and_since_when_something_waits(opened: Opener) -> None:
    async with opened() as queue:
        empty = await queue.size()
        assert (empty.messages or 0, empty.oldest) == (0, None)
        began = datetime.now(UTC)
        await queue.publish(messages("a", "b", "c"))
        found = await queue.size()
        assert found.messages in (3, None)
        assert found.bytes is None or found.bytes > 0
        assert found.oldest is None or abs(found.oldest - began) < timedelta(minutes=2)
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 3)
            await subscription.commit(deliveries[:2])
            assert (await queue.size()).oldest == found.oldest
            await subscription.commit(deliveries[2:])
        done = await queue.size()
        assert (done.oldest, done.messages) == (None, found.messages)


async def two_members_share(opened: Opener) -> None:
    """What a driver does that takes several members: each message goes to one of them, and both are named."""
    async with opened() as queue, opened() as other:
        await queue.publish([Message(f"k{n}", f"{n:03}".encode()) for n in range(200)])
        async with queue.subscribe("g") as one, other.subscribe("g") as two:
            got: set[str] = set()
            until = asyncio.get_running_loop().time() + 60
            while len(got) < 200:
                assert asyncio.get_running_loop().time() < until
                for member in (one, two):
                    deliveries = await member.receive(50, 0.2)
                    got.update(bodies(deliveries))
                    await member.commit(deliveries, {"consumed": len(deliveries)})
            assert got == {f"{n:03}" for n in range(200)}
        assert await left(queue, "g") == 0


async def test_e21_a_second_member_is_refused_with_the_name_of_the_first(queue_driver: Driver, opened: Opener) -> None:
    if not queue_driver.one_member:
        await two_members_share(opened)
        return
    async with opened() as queue, opened() as other:
        async with queue.subscribe("g"):
            (group,) = await other.groups()
            assert group.owner
            for each in (queue, other):
                with pytest.raises(RefusedError, match=group.owner):
                    await each.subscribe("g").__aenter__()
            async with other.subscribe("two"):
                pass
        async with other.subscribe("g"):
            pass
        assert {group.owner for group in await queue.groups()} == {""}


async def test_a_member_that_is_cancelled_while_the_queue_is_busy_gives_its_group_back(opened: Opener) -> None:
    async with opened() as queue:
        for turns in range(8):
            joined, leave = asyncio.Event(), asyncio.Event()

            async def read(joined: asyncio.Event = joined, leave: asyncio.Event = leave) -> None:
                async with queue.subscribe("g"):
                    joined.set()
                    await leave.wait()

            reading = asyncio.create_task(read())
            await joined.wait()
            busy = [asyncio.create_task(queue.publish(messages("a"))) for _ in range(50)]
            await asyncio.sleep(0)
            leave.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, *busy, return_exceptions=True)
            async with queue.subscribe("g"):
                pass


async def test_seek_reads_again_and_begins_the_counts_anew(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        if not queue_driver.log:
            with pytest.raises(RefusedError, match="cannot"):
                await queue.seek("g", 0)
            return
        await queue.publish(messages("a", "b", "c"))
        async with queue.subscribe("g") as subscription:
            deliveries = await drain(subscription, 3)
            await subscription.commit(deliveries, {"consumed": 3})
        await queue.seek("g", 0)
        (group,) = await queue.groups()
        assert (group.lag, group.counts) == (3, {})
        if not queue_driver.seekable:
            with pytest.raises(RefusedError):
                await queue.seek("g", 2)
            async with queue.subscribe("g") as subscription:
                assert bodies(await drain(subscription, 3)) == ["a", "b", "c"]
                with pytest.raises(RefusedError):
                    await queue.seek("g", 0)
            return
        await queue.seek("g", int(deliveries[1].position))
        (group,) = await queue.groups()
        assert (group.position, group.since) == (deliveries[1].position, deliveries[1].position)
        async with queue.subscribe("g") as subscription:
            assert bodies(await drain(subscription, 2)) == ["b", "c"]
            with pytest.raises(RefusedError):
                await queue.seek("g", 0)


async def test_seek_to_the_end_passes_over_what_was_not_read_and_says_so(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        if not queue_driver.log:
            with pytest.raises(RefusedError, match="cannot"):
                await queue.seek("g", 1)
            return
        await queue.publish(messages("a", "b", "c"))
        async with queue.subscribe("g") as subscription:
            await subscription.commit((await drain(subscription, 3))[:1], {"consumed": 1})
        (group,) = await queue.groups()
        await queue.seek("g", group.position + group.lag)
        (group,) = await queue.groups()
        assert (group.lag, group.counts["skipped"]) == (0, 2)


async def test_seek_refuses_what_is_not_kept_and_groups_that_do_not_exist(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        if not queue_driver.log:
            with pytest.raises(RefusedError, match="cannot"):
                await queue.seek("g", 99)
            return
        async with queue.subscribe("g"):
            pass
        with pytest.raises(RefusedError):
            await queue.seek("g", 99)
        with pytest.raises(RefusedError, match="g"):
            await queue.seek("mistyped", 0)
        assert [group.name for group in await queue.groups()] == ["g"]


async def test_forget_drops_a_group_that_is_not_read(queue_driver: Driver, opened: Opener) -> None:
    async with opened() as queue:
        if not queue_driver.log:
            with pytest.raises(RefusedError, match="cannot"):
                await queue.forget("g")
            return
        await queue.publish(messages("a"))
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await drain(subscription, 1))
            with pytest.raises(RefusedError):
                await queue.forget("g")
        await queue.forget("g")
        assert list(await queue.groups()) == []
        async with queue.subscribe("g") as subscription:
            assert bodies(await drain(subscription, 1)) == ["a"]


@pytest.mark.parametrize("group", ["", "..", "a/b", "../x", ".hidden", "a b", "ä", "x" * 65])
async def test_a_group_whose_name_could_leave_its_place_is_refused(opened: Opener, group: str) -> None:
    async with opened() as queue:
        with pytest.raises(ConfigError):
            await queue.subscribe(group).__aenter__()


async def test_b43_a_group_that_stays_behind_another_gets_what_that_has_committed_and_the_rest_when_it_has_more(
    queue_driver: Driver, opened: Opener
) -> None:
    async with opened() as queue:
        if not isinstance(queue, Placed):
            assert not queue_driver.ordered
            return
        await queue.publish([Message(f"k{n}", f"{n:03}".encode()) for n in range(50)])
        got: list[str] = []
        for amount in (50, 80):
            async with queue.subscribe("one") as first:
                await first.commit(await drain(first, amount - len(got)))
            bound = await queue.reached("one")
            assert bound == await queue.ends()
            await queue.publish([Message(f"k{n}", f"{n:03}".encode()) for n in range(amount, amount + 30)])
            async with Behind(queue, bound).subscribe("two") as behind:
                while found := await behind.receive(20, 0):
                    got += bodies(found)
                    await behind.commit(found)
            assert sorted(got) == [f"{n:03}" for n in range(amount)]
            assert await queue.reached("two") == bound
        assert await Behind(queue, bound).lag("two") == await queue.lag("two") != {}
