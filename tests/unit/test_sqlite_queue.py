"""What the embedded queue promises beyond the contract of every queue."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harvester import queuefile
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.queues import open_queue
from tests.unit.children import BATCH
from tests.unit.queuefiles import batch, edit, everything, numbers, url

# Positions


async def test_a_commit_that_would_pass_over_messages_is_refused(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0, 4))
        async with queue.subscribe("g") as subscription:
            deliveries = list(await subscription.receive(4, 0))
            for wrong in (deliveries[1:], [deliveries[0], deliveries[2]], [deliveries[1], deliveries[0]]):
                with pytest.raises(RefusedError):
                    await subscription.commit(wrong, {"consumed": len(wrong)})
            await subscription.commit(deliveries[:1])
            with pytest.raises(RefusedError):
                await subscription.commit(deliveries[:2])
        with pytest.raises(RefusedError, match="no longer read"):
            await subscription.commit(deliveries[1:2])
        assert (await queue.groups())[0].counts == {}
        assert await queue.lag("g") == {"0": 3}


async def test_f28_messages_gone_before_they_were_read_stop_the_reader_with_the_way_on(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0, 6))
        async with queue.subscribe("g"):
            pass
    edit(tmp_path, "DELETE FROM messages WHERE position IN (1, 2)")
    async with open_queue(url(tmp_path)) as queue:
        async with queue.subscribe("g") as subscription:
            with pytest.raises(RefusedError, match="harvest queue seek g 3"):
                await subscription.receive(10, 0)
        await queue.seek("g", 3)
        async with queue.subscribe("g") as subscription:
            assert numbers(list(await subscription.receive(10, 0))) == [2, 3, 4, 5]


async def test_a_batch_ends_where_its_bytes_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queuefile, "RECEIVE_AT_ONCE", 2500)
    async with open_queue(url(tmp_path)) as queue, queue.subscribe("g") as subscription:
        await queue.publish(batch(0, 5, size=1000))
        assert [len(await subscription.receive(100, 0)) for _ in range(3)] == [3, 2, 0]


# The file


async def test_the_directory_of_a_queue_is_made(tmp_path: Path) -> None:
    async with open_queue(f"sqlite:///{tmp_path}/a/b/queue.db?ballast=0") as queue:
        await queue.publish(batch(0))


async def test_a_relative_path_begins_where_the_process_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_queue("sqlite:///var/queue%20one.db?ballast=0"):
        pass
    assert (tmp_path / "var/queue one.db").exists()


async def test_a_file_removed_while_in_use_stops_its_user_before_anything_is_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0))
        await asyncio.to_thread(path.rename, tmp_path / "elsewhere.db")
        for _ in range(2):
            with pytest.raises(PermanentError, match="removed or replaced"):
                await queue.publish(batch(BATCH))


@pytest.mark.parametrize(
    "options", ["max_bytes=1KiB", "ballast=-1", "retention_days=week", "max_message=0", "busy_timeout=", "a=1&b=2"]
)
def test_wrong_options_are_told_all_at_once(tmp_path: Path, options: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_queue(url(tmp_path, options))
    assert len(refused.value.faults) == options.count("=")
    for option in options.split("&"):
        assert option.split("=")[0] in str(refused.value)


async def test_a_ballast_is_really_allocated_and_made_once(tmp_path: Path) -> None:
    ballast = tmp_path / "queue.db.ballast"
    for _ in range(2):
        async with open_queue(url(tmp_path, "ballast=1MiB")) as queue:
            await queue.publish(batch(0))
        status = ballast.stat()
        assert status.st_size == 1 << 20
        assert status.st_blocks * 512 >= 1 << 20


async def test_f26_a_locked_file_is_told_as_busy_and_works_again_when_it_is_free(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path, "ballast=0&busy_timeout=0.05")) as queue, queue.subscribe("g") as subscription:
        await queue.publish(batch(0, 1))
        deliveries = await subscription.receive(1, 0)
        with closing(sqlite3.connect(tmp_path / "queue.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TransientError, match="locked"):
                await queue.publish(batch(1, 1))
            with pytest.raises(TransientError, match="locked"):
                await subscription.commit(deliveries)
            assert numbers(await everything(queue)) == [0]
        await subscription.commit(deliveries)
        await queue.publish(batch(1, 1))
        assert await queue.lag("g") == {"0": 1}


# What check sees


@pytest.mark.parametrize(
    ("harm", "seen"),
    [
        ("DELETE FROM messages WHERE position = 5", "positions 1 to 10 hold 9 messages, not 10"),
        ("UPDATE sqlite_sequence SET seq = 7", "message 10 lies behind the sequence"),
        ("UPDATE groups SET position = 99", "group g stands at 99"),
        ("UPDATE groups SET base = 6", "group g stands at 5, begun at 6"),
        ("UPDATE groups SET position = 6", "group g counted 4 consumed, but moved over 5"),
        ('UPDATE groups SET counts = \'{"delivered":3,"filtered":2}\'', "group g accounts for 5 messages, but moved over 4"),
        ("UPDATE groups SET counts = 'no json'", "cannot be read"),
        ("UPDATE counts SET amount = 9 WHERE name = 'published'", "owners counted 9 published, but the sequence stands at 10"),
    ],
)
async def test_check_tells_what_is_not_as_promised(tmp_path: Path, harm: str, seen: str) -> None:
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0), {"published": BATCH}, "s")
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await subscription.receive(4, 0), {"consumed": 4, "delivered": 4})
        assert list(await queue.check()) == []
    edit(tmp_path, harm)
    async with open_queue(url(tmp_path)) as queue:
        assert seen in "\n".join(await queue.check())
