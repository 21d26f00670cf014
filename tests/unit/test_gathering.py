"""Batches that wait to become full: when they go, and that nothing is committed before they are written."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumers.gathering import Gathered
from tests.consuming import FLOW, Slow, committed, events, position, publish, run
from tests.fakes import Clock, KeyedSink
from tests.taps import Stores, conserve, open_stores, until

GATHERING = FLOW._replace(batch_events=10, gather=3600.0)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(tmp_path, Clock()) as stores:
        yield stores
        await conserve(stores.queue)


@pytest.mark.parametrize(("most", "size", "after"), [(3, 10**6, 0), (99, 1, 0), (99, 10**6, 60)])
def test_a_batch_goes_when_it_has_enough_events_or_bytes_or_has_waited_long_enough(most: int, size: int, after: int) -> None:
    now = 100.0
    gathered = Gathered(most, size, 60.0, clock=lambda: now)
    assert not gathered.ripe(last=True)
    assert gathered.room == most
    first, *rest = events(3)
    if size > 1:
        gathered.add([first])
        assert not gathered.ripe()
        assert gathered.room == most - 1
        gathered.add(rest)
    else:
        gathered.add([first, *rest])
    now += after
    assert gathered.ripe()
    assert gathered.take() == [first, *rest]
    assert not gathered.ripe(last=True)


def test_without_seconds_nothing_is_kept_back() -> None:
    gathered = Gathered(99, 10**6, 0.0)
    gathered.add(events(1))
    assert gathered.ripe()


async def test_what_comes_in_small_pieces_is_written_in_one_batch_and_committed_only_then(stores: Stores) -> None:
    sink, stop = KeyedSink(), asyncio.Event()
    slow = Slow(sink)
    running = asyncio.create_task(run(stores, sink, stop, GATHERING))
    for first in (0, 4, 8):
        await publish(stores, 4, first)
        await asyncio.sleep(2 * FLOW.wait)
        assert await position(stores) == 0
    await until(lambda: slow.started)
    assert (slow.started, slow.most) == (["e0"], 10)
    assert await position(stores) == 0
    slow.free.set()
    await committed(stores, 10)
    stop.set()
    await running
    # The stop writes what was gathered since: a restart has nothing to repeat.
    assert await position(stores) == 12
    assert slow.started == ["e0", "e10"]


async def test_until_empty_does_not_wait_for_more_that_is_not_coming(stores: Stores) -> None:
    sink = KeyedSink()
    slow = Slow(sink)
    slow.free.set()
    await publish(stores, 14)
    async with asyncio.timeout(10):
        await run(stores, sink, None, GATHERING)
    assert (slow.started, len(sink.table)) == (["e0", "e10"], 14)
