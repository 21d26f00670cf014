"""S31: a source that would fill the memory is held to what it is allowed, and the one beside it does not notice."""

import asyncio
import tracemalloc
from datetime import timedelta
from pathlib import Path

from harvester.harvest import Limits
from tests.fakes import HOUR, NOON, Clock, Vendor
from tests.harvesting import opened, published
from tests.taps import open_stores, tap_on, tapped, until

KIB = 2**10
ALLOWED = Limits(batch_events=800, batch_bytes=512 * KIB, in_flight=4, in_flight_bytes=2048 * KIB)
ROW, ROWS = 64 * KIB, 1600


async def test_s31_a_greedy_source_keeps_to_its_budget_and_takes_nothing_from_another(tmp_path: Path) -> None:
    clock, pages, gate = Clock(), 0, asyncio.Event()
    greedy, normal = Vendor(clock, page=4), Vendor(clock)
    greedy.fill(NOON - HOUR, ROWS, step=timedelta(seconds=2), padding="x" * ROW)
    normal.fill(NOON - HOUR, 20)

    async def count(_: int) -> None:
        nonlocal pages
        pages += 1

    async def stands_still() -> None:
        await gate.wait()

    greedy.before_page = count
    async with open_stores(tmp_path / "greedy", clock) as one, open_stores(tmp_path / "normal", clock) as other:
        slow = one._replace(queue=tapped(one.queue, tap_on({"publish": stands_still})))
        tracemalloc.start()
        try:
            harvest = await opened(slow, greedy, limits=ALLOWED)
            task = asyncio.create_task(harvest.poll(NOON - HOUR))
            allowed = (ALLOWED.in_flight_bytes + ALLOWED.batch_bytes) // (4 * ROW)
            await until(lambda: pages >= allowed - 2)
            await (await opened(other, normal)).poll(NOON - HOUR)
            assert len(await published(other.queue)) == 20, "the queue of the greedy one stands still meanwhile"
            assert pages <= allowed, "and it reads no further"
            gate.set()
            await task
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (await one.queue.counts())[""]["published"] == ROWS, "held up, not cut short"
    assert peak < 16 * 1024 * KIB, f"{peak:,} of {ROWS * ROW:,} bytes that were read"
