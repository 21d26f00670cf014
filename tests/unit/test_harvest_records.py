"""The loop of a source and what is not an ordinary event: broken records, large ones, letters, notes, and much at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.coverage import Interval, Intervals
from harvester.errors import TransientError
from harvester.harvest import Limits
from harvester.protocols import Page
from tests.fakes import HOUR, MINUTE, NOON, OWNER, SOURCE, TIMING, Clock, Vendor, VendorStream, message
from tests.harvesting import SMALL, before_page, newest, opened, published, stored
from tests.taps import Stores, all_letters, conserve, fails, open_stores, tap_on, tapped, until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[Stores]:
    """The real stores, with a small limit for a message; after every test the counts account for everything."""
    async with open_stores(tmp_path, clock, options="ballast=0&max_message=2KiB") as stores:
        yield stores
        await conserve(stores.queue)


# Broken and large records


async def test_a_broken_record_is_a_durable_letter_before_its_window_is_covered(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 4)
    vendor.broken["row3"] = b'{"subject": 3}'
    letters = tapped(stores.letters, tap_on({"add": fails(*[TransientError("locked")] * 4)}))
    harvest = await opened(stores._replace(letters=letters), vendor)
    with pytest.raises(TransientError, match="locked"):
        await harvest.poll(NOON - HOUR)
    assert (await stored(stores)).read == ()
    assert await published(stores.queue) == []
    await harvest.poll(NOON)
    (letter,) = await all_letters(stores.letters, SOURCE)
    assert (letter.body, letter.stage, letter.reason, letter.stream) == (b'{"subject": 3}', "read", "schema", "stream")
    assert len(await published(stores.queue)) == 3
    assert harvest.totals == {"read": 4, "published": 3, "filtered": 0, "dead_lettered": 1}


async def test_f22_a_record_too_large_for_the_queue_is_a_letter_and_its_neighbours_pass(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 3)
    vendor.fill(NOON - HOUR, 1, padding="x" * 3000)
    vendor.fill(NOON - HOUR, 2)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    (letter,) = await all_letters(stores.letters, SOURCE)
    assert letter.reason == "payload_too_large"
    assert letter.body == vendor.record("row3", NOON)
    assert set(await newest(stores.queue)) == {"row0", "row1", "row2", "row4", "row5"}
    assert (await stored(stores)).read == Intervals([(NOON - HOUR, NOON)])
    assert (await stores.queue.counts())[OWNER] == {"read": 6, "published": 5, "filtered": 0, "dead_lettered": 1}


@pytest.mark.parametrize(("over", "letters"), [(-1, 0), (0, 0), (1, 1)])
async def test_f22_a_record_of_just_the_limit_passes(stores: Stores, clock: Clock, over: int, letters: int) -> None:
    vendor = Vendor(clock)
    bare = len(message("row0").body)
    vendor.put("row0", NOON - MINUTE, padding="x" * (2048 + over - bare))
    await (await opened(stores, vendor)).poll(NOON - HOUR)
    assert len(await all_letters(stores.letters)) == letters
    assert len(await published(stores.queue)) == 1 - letters


async def test_a_vendor_that_breaks_every_record_fills_no_memory(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, page=1)
    vendor.fill(NOON - HOUR, 40)
    vendor.broken = {s: f'{{"subject": {s!r}}}'.encode() for s in vendor.rows}
    added: list[int] = []

    async def page(_: int) -> None:
        added.append(len(await all_letters(stores.letters)))

    vendor.before_page = page
    await (await opened(stores, vendor, limits=SMALL._replace(in_flight=1))).poll(NOON - HOUR)
    # A batch accumulates, one is on its way, and all before are stored.
    assert all(read - stored <= 2 * SMALL.batch_events for read, stored in enumerate(added))
    assert len(await all_letters(stores.letters)) == 40


# Letters that are tried again


async def test_a_due_letter_that_has_become_readable_is_published_and_gone(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 1)
    vendor.broken["row0"] = b'{"version": "a"}'
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    (letter,) = await all_letters(stores.letters)
    assert await harvest.reread() == 0, "it is not due"
    await stores.letters.requeue([letter.id], datetime.now(UTC))
    good = vendor.record("row0", NOON)
    assert good is not None
    vendor.stream.event = lambda record, read_at: VendorStream.event(vendor.stream, good, read_at)  # type: ignore[method-assign]
    assert await harvest.reread() == 1
    assert await all_letters(stores.letters) == []
    assert await published(stores.queue) == [("row0", 0)]
    assert harvest.totals == {"read": 2, "published": 1, "filtered": 0, "dead_lettered": 1}


async def test_f34_a_due_letter_that_is_still_broken_comes_back_with_one_more_attempt(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 2)
    vendor.broken["row0"] = b'{"version": "a"}'
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    for attempts in (2, 3):
        (letter,) = await all_letters(stores.letters)
        await stores.letters.requeue([letter.id], datetime.now(UTC))
        assert await harvest.reread() == 0
        (again,) = await all_letters(stores.letters)
        assert (again.attempts, again.due, again.first) == (attempts, None, letter.first)


async def test_f34_a_due_letter_that_is_still_too_large_stops_no_other(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 1, padding="x" * 3000)
    vendor.fill(NOON - HOUR, 1)
    vendor.broken["row1"] = b'{"subject":"row1","time":"2026-01-10T11:00:00Z","version":"one"}'
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    ids = [letter.id for letter in await all_letters(stores.letters)]
    await stores.letters.requeue(ids, datetime.now(UTC))
    assert await harvest.reread() == 0
    assert [x.due for x in await all_letters(stores.letters)] == [None, None]
    assert [x.reason for x in await all_letters(stores.letters)] == ["schema", "payload_too_large"]


# Pages that cover as they go, and notes


async def test_a_covered_part_is_durable_before_it_counts_with_all_that_came_before_it(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, timing=TIMING._replace(window=None), covers=True)
    vendor.fill(NOON - 20 * MINUTE, 10)
    harvest = await opened(stores, vendor)

    async def look(_: int) -> None:
        coverage = await stored(stores)
        until_ = coverage.read[-1].end if coverage.read else NOON - HOUR
        found = await newest(stores.queue)
        assert set(vendor.truth(until=until_)) <= found.keys()

    vendor.before_page = look
    await harvest.poll(NOON - HOUR)
    assert len(vendor.windows) == 1
    assert await newest(stores.queue) == vendor.truth()


async def test_what_an_interrupted_stream_covered_stays_covered(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, timing=TIMING._replace(window=None, overlap=0 * MINUTE), covers=True)
    vendor.fill(NOON - 20 * MINUTE, 10)
    vendor.before_page = before_page(3, fails(TransientError("cut")))
    with pytest.raises(TransientError):
        await (await opened(stores, vendor)).poll(NOON - HOUR)
    assert (await stored(stores)).read == Intervals([(NOON - HOUR, NOON - 14 * MINUTE)])
    await (await opened(stores, vendor)).poll(NOON)
    assert vendor.windows[-1].start == NOON - 14 * MINUTE
    assert await published(stores.queue) == [(f"row{n}", 0) for n in range(10)]


async def test_notes_are_handed_to_live_polls_alone_and_kept_from_them_alone(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, timing=TIMING._replace(window=None), covers=True)
    vendor.fill(NOON - 20 * MINUTE, 10)
    await (await opened(stores, vendor)).read([Interval(NOON - HOUR, NOON - 10 * MINUTE)])
    assert (await stored(stores)).notes == b""
    await (await opened(stores, vendor)).poll(NOON - HOUR)
    assert (await stored(stores)).notes == b"note 12:00"
    clock.advance(7 * HOUR)
    vendor.notes.clear()
    await (await opened(stores, vendor)).poll(NOON)
    assert vendor.notes[0] == b"note 12:00"
    assert set(vendor.notes[1:]) == {b""}
    assert len(vendor.notes) > 1


async def test_notes_of_a_stream_that_covers_whole_windows_are_kept_with_the_window(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    fetch = vendor.stream.fetch

    async def noting(window: Interval, notes: bytes) -> AsyncIterator[Page]:
        async for page in fetch(window, notes):
            yield page
        yield Page([], notes=b"etag")

    vendor.stream.fetch = noting  # type: ignore[method-assign]
    await (await opened(stores, vendor)).poll(NOON - HOUR)
    coverage = await stored(stores)
    assert (coverage.notes, coverage.notes_at) == (b"etag", NOON)


async def test_notes_of_a_window_behind_the_live_edge_replace_those_of_before(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, timing=TIMING._replace(overlap=2 * HOUR))
    fetch = vendor.stream.fetch

    async def noting(window: Interval, notes: bytes) -> AsyncIterator[Page]:
        if clock.now > NOON and window.end >= NOON:
            raise TransientError("no calls are left")
        async for page in fetch(window, notes):
            yield page
        yield Page([], notes=f"{clock.now:%H:%M} of {window.start:%H:%M}".encode())

    vendor.stream.fetch = noting  # type: ignore[method-assign]
    await (await opened(stores, vendor)).poll(NOON - 2 * HOUR)
    assert (await stored(stores)).notes == b"12:00 of 11:00"
    clock.advance(HOUR)
    with pytest.raises(TransientError):
        await (await opened(stores, vendor)).poll(NOON)
    assert (await stored(stores)).notes == b"13:00 of 10:00"


# Much at once


@pytest.mark.parametrize("by", ["events", "bytes"])
async def test_f20_while_the_queue_hangs_no_more_than_the_bound_is_on_its_way(stores: Stores, clock: Clock, by: str) -> None:
    vendor = Vendor(clock, page=1)
    vendor.fill(NOON - HOUR, 60, padding="x" * 200)
    size = len(message("row0", padding="x" * 200).body)
    limits = SMALL if by == "events" else Limits(batch_bytes=4 * size, in_flight_bytes=12 * size)
    free, pages = asyncio.Event(), 0

    async def hang() -> None:
        await free.wait()

    async def page(number: int) -> None:
        nonlocal pages
        pages = number
        await asyncio.sleep(0)

    vendor.before_page = page
    queue = tapped(stores.queue, tap_on({"publish": hang}))
    harvest = await opened(stores._replace(queue=queue), vendor, limits=limits)
    polling = asyncio.create_task(harvest.poll(NOON - HOUR))
    await until(lambda: pages >= 10)
    for _ in range(1000):
        await asyncio.sleep(0)
    # Twelve in flight, and a batch that waits for room.
    assert pages <= 16
    free.set()
    await polling
    assert await newest(stores.queue) == vendor.truth()


async def test_a_harvest_that_is_cancelled_leaves_no_task_behind_and_covers_nothing(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 60)
    calls = 0

    async def hang() -> None:
        nonlocal calls
        calls += 1
        await asyncio.Event().wait()

    queue = tapped(stores.queue, tap_on({"publish": hang}))
    harvest = await opened(stores._replace(queue=queue), vendor)
    polling = asyncio.create_task(harvest.poll(NOON - HOUR))
    await until(lambda: calls == 3)
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert vendor.closed == 1
    assert (await stored(stores)).read == ()
