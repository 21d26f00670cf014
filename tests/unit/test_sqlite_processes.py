"""The embedded queue under several processes, and under one that is killed."""

import asyncio
from pathlib import Path

import pytest

from harvester.errors import RefusedError
from harvester.protocols import Delivery
from harvester.queues import open_queue
from tests.unit import children
from tests.unit.children import BATCH
from tests.unit.queuefiles import batch, everything, numbers, url


@pytest.mark.parametrize("place", ["queue.before_publish", "queue.in_publish", "queue.after_publish"])
async def test_f26_a_kill_while_publishing_leaves_whole_batches_and_all_that_were_acknowledged(
    tmp_path: Path, place: str
) -> None:
    done = await asyncio.to_thread(children.run, children.PUBLISH, url(tmp_path), "s", "9", crash_at=f"{place}:4")
    acknowledged = len(done.stdout.splitlines())
    assert acknowledged == 3
    async with open_queue(url(tmp_path)) as queue:
        assert list(await queue.check()) == []
        kept = numbers(await everything(queue))
        counts = await queue.counts()
    stored = acknowledged + (place == "queue.after_publish")
    assert kept == list(range(stored * BATCH))
    assert counts[""]["published"] == counts["s"]["published"] == counts["s"]["read"] == stored * BATCH


@pytest.mark.parametrize("place", ["queue.before_commit", "queue.in_commit", "queue.after_commit"])
async def test_f26_a_kill_while_committing_moves_position_and_counts_together_or_not_at_all(tmp_path: Path, place: str) -> None:
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0, 5 * BATCH))
    await asyncio.to_thread(children.run, children.CONSUME, url(tmp_path), "g", crash_at=f"{place}:3")
    committed = (2 + (place == "queue.after_commit")) * BATCH
    async with open_queue(url(tmp_path)) as queue:
        (group,) = await queue.groups()
        assert (group.lag, group.owner) == (5 * BATCH - committed, "")
        assert group.counts == {"consumed": committed, "delivered": committed}
        assert list(await queue.check()) == []
        async with queue.subscribe("g") as subscription:
            assert numbers(list(await subscription.receive(1, 0))) == [committed]


async def test_the_lock_of_a_group_ends_with_its_process(tmp_path: Path) -> None:
    hold = (
        "import asyncio, sys\n"
        "from harvester.queues import open_queue\n"
        "async def main():\n"
        "    async with open_queue(sys.argv[1]) as queue, queue.subscribe('g'):\n"
        "        print('held', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    async with open_queue(url(tmp_path)) as queue:
        with children.running(hold, url(tmp_path)) as process:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == "held\n"
            with pytest.raises(RefusedError, match=f"pid {process.pid}"):
                await queue.subscribe("g").__aenter__()
            with pytest.raises(RefusedError, match=f"pid {process.pid}"):
                await queue.forget("g")
            assert f"pid {process.pid}" in (await queue.groups())[0].owner
        async with queue.subscribe("g"):
            pass


async def test_a_queue_that_was_killed_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "queue.db.new").write_bytes(b"half of a file")
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0))
        assert list(await queue.check()) == []
    assert not (tmp_path / "queue.db.new").exists()


async def test_two_processes_publish_at_the_same_time_and_nothing_is_lost_or_reordered(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path)) as queue, queue.subscribe("g") as subscription:
        writing = asyncio.gather(
            *(asyncio.to_thread(children.run, children.PUBLISH, url(tmp_path), name, "30") for name in ("a", "b"))
        )
        received: list[Delivery] = []
        while len(received) < 60 * BATCH:
            deliveries = list(await subscription.receive(100, 20))
            assert deliveries, "a process came to nothing"
            await subscription.commit(deliveries)
            received += deliveries
        await writing
        assert list(await queue.check()) == []
        assert await queue.lag("g") == {"0": 0}
    for name in ("a", "b"):
        assert numbers([d for d in received if d.message.key == name]) == list(range(30 * BATCH))


async def test_a_cancelled_subscribe_leaves_the_group_free(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path)) as queue:

        async def subscribe() -> None:
            async with queue.subscribe("g"):
                await asyncio.Event().wait()

        for turns in range(6):
            subscribing = asyncio.create_task(subscribe())
            for _ in range(turns):
                await asyncio.sleep(0)
            subscribing.cancel()
            await asyncio.gather(subscribing, return_exceptions=True)
            async with queue.subscribe("g"):
                pass
