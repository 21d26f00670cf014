"""How long the embedded queue keeps messages."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester import queuefile
from harvester.errors import RefusedError
from harvester.protocols import Queue
from harvester.queues.sqlite import open_queue as open_at
from tests.unit.children import BATCH
from tests.unit.queuefiles import batch, everything, numbers, url

DAY = timedelta(days=1)


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
