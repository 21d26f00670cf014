"""What the embedded queue promises beyond the contract of every queue."""

import asyncio
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester import queuefile
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.protocols import Delivery, Message, Queue
from harvester.queues import open_queue
from harvester.queues.sqlite import open_queue as open_at
from tests.unit import children

BATCH = children.BATCH
DAY = timedelta(days=1)


def url(directory: Path, options: str = "ballast=0") -> str:
    return f"sqlite:///{directory}/queue.db?{options}"


def batch(first: int, amount: int = BATCH, size: int = 0) -> list[Message]:
    return [Message("k", f"{n}".encode().ljust(size)) for n in range(first, first + amount)]


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [int(delivery.message.body.split()[-1]) for delivery in deliveries]


async def everything(queue: Queue) -> list[Delivery]:
    return list(await queue.peek(0, 1_000_000))


def edit(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / "queue.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# Kills


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


# Several processes and tasks


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


# Retention


class Days:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def consume(queue: Queue, group: str, amount: int) -> None:
    async with queue.subscribe(group) as subscription:
        await subscription.commit(await subscription.receive(amount, 0))


def open_days(directory: Path, clock: Days) -> AbstractAsyncContextManager[Queue]:
    return open_at(url(directory, "ballast=0&retention_days=7"), now=clock)


async def test_old_messages_go_when_every_group_has_committed_them_and_no_sooner(tmp_path: Path) -> None:
    clock = Days()
    async with open_days(tmp_path, clock) as queue:
        await queue.publish(batch(0))
        clock.now += DAY
        await queue.publish(batch(BATCH))
        await consume(queue, "quick", 2 * BATCH)
        await consume(queue, "slow", BATCH // 2)
        clock.now += 6.5 * DAY
        await queue.publish(batch(2 * BATCH))
        assert numbers(await everything(queue))[0] == BATCH // 2
        await consume(queue, "slow", BATCH)
        clock.now += DAY / 4
        await queue.publish(batch(3 * BATCH))
        assert numbers(await everything(queue))[0] == BATCH
        assert list(await queue.check()) == []
        assert (await queue.counts())[""]["published"] == 4 * BATCH
        async with queue.subscribe("late") as subscription:
            assert numbers(list(await subscription.receive(1, 0))) == [BATCH]
        await queue.seek("quick", 0)
        assert await queue.lag("quick") == {"0": 3 * BATCH}
        with pytest.raises(RefusedError, match=f"holds {BATCH + 1} to"):
            await queue.seek("quick", 1)


async def test_without_a_group_nothing_is_trimmed(tmp_path: Path) -> None:
    clock = Days()
    async with open_days(tmp_path, clock) as queue:
        for day in range(4):
            clock.now += 30 * day * DAY
            await queue.publish(batch(day * BATCH))
        assert numbers(await everything(queue)) == list(range(4 * BATCH))


async def test_a_forgotten_group_no_longer_keeps_messages(tmp_path: Path) -> None:
    clock = Days()
    async with open_days(tmp_path, clock) as queue:
        await queue.publish(batch(0))
        await consume(queue, "quick", BATCH)
        await consume(queue, "gone", 0)
        await queue.forget("gone")
        clock.now += 8 * DAY
        await queue.publish(batch(BATCH))
        assert numbers(await everything(queue)) == list(range(BATCH, 2 * BATCH))


async def test_a_large_backlog_is_trimmed_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queuefile, "TRIM_AT_ONCE", 4)
    clock = Days()
    async with open_days(tmp_path, clock) as queue:
        await queue.publish(batch(0))
        await consume(queue, "g", BATCH)
        clock.now += 8 * DAY
        firsts = []
        for n in range(3):
            await queue.publish(batch(BATCH + n, 1))
            firsts.append(numbers(await everything(queue))[0])
        assert firsts == [4, 8, 10]


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
