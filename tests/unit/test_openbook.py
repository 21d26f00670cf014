"""The open book: facts reach the store in the end, or are known to be void; none is lost in between."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from harvester.coverage import Book, Coverage, Interval, Intervals
from harvester.errors import CoverageResetError, RefusedError, TransientError
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from harvester.protocols import CoverageStore
from tests.fakes import HOUR, MINUTE, NOON, SOURCE, STREAM, TIMING, Clock, Vendor
from tests.harvesting import AT_ONCE, SMALL, newest, opened, stored
from tests.taps import Stores, fails, tap_on, tapped

QUEUE = "this queue"


def hour(n: int) -> Coverage:
    """The fact that the n-th hour before noon was read."""
    return Coverage(read=Intervals([(NOON - n * HOUR, NOON - (n - 1) * HOUR)]))


async def open_book(store: CoverageStore, *, pace: float = 0, clock: Clock | None = None, queue: str = QUEUE) -> OpenBook:
    book = OpenBook(store, SOURCE, queue, pace=timedelta(seconds=pace), clock=lambda: clock().timestamp() if clock else 0.0)
    await book.load()
    return book


async def read(store: CoverageStore, stream: str = STREAM) -> Intervals:
    return (await store.load(SOURCE)).streams.get(stream, Coverage()).read


async def test_with_pace_zero_what_was_added_is_durable(stores: Stores) -> None:
    book = await open_book(stores.coverages)
    await book.add(STREAM, hour(3))
    await book.add(STREAM, hour(1))
    assert await read(stores.coverages) == hour(3).read | hour(1).read == book.coverage(STREAM).read


async def test_a_book_that_gathers_is_written_at_its_pace_whoever_flushes_and_at_once_by_store(
    stores: Stores, clock: Clock
) -> None:
    book = OpenBook(stores.coverages, SOURCE, QUEUE, pace=timedelta(seconds=1), gathers=True, clock=lambda: clock().timestamp())
    await book.load()
    await book.add(STREAM, hour(3))
    await book.add(STREAM, hour(2))
    await book.flush(STREAM)
    assert await read(stores.coverages) == hour(3).read, "the pace is not over"
    clock.advance(timedelta(seconds=1))
    await book.flush(STREAM)
    assert await read(stores.coverages) == hour(3).read | hour(2).read
    await book.add(STREAM, hour(1))
    await book.store()
    assert await read(stores.coverages) == hour(3).read | hour(2).read | hour(1).read


async def test_streams_that_share_a_book_wait_for_one_write_together_and_what_each_added_is_durable(stores: Stores) -> None:
    writes, pace, streams = 0, 0.2, [f"stream {n}" for n in range(100)]

    async def count() -> None:
        nonlocal writes
        writes += 1
        await asyncio.sleep(0.001)  # others add meanwhile

    async def poll(stream: str, pause: float) -> None:
        await book.begin(stream, NOON - 9 * HOUR)
        await asyncio.sleep(pause)
        await book.add(stream, hour(1))
        await book.flush(stream)
        assert book.stored(stream)
        assert (await read(stores.coverages, stream)) == hour(1).read

    coverages = tapped(stores.coverages, tap_on({"add": count}))
    book = OpenBook(coverages, SOURCE, QUEUE, pace=timedelta(seconds=pace), shared=True)
    await book.load()
    began = time.monotonic()
    await asyncio.gather(*(poll(stream, n / 1000) for n, stream in enumerate(streams)))
    assert writes <= 2 + (time.monotonic() - began) / pace


async def test_who_waits_for_a_shared_write_is_told_when_it_fails_or_the_book_was_reset(stores: Stores) -> None:
    adds = fails(None, TransientError("away"))
    book = OpenBook(tapped(stores.coverages, tap_on({"add": adds})), SOURCE, QUEUE, pace=timedelta(seconds=0.01), shared=True)
    await book.load()
    await book.begin(STREAM, NOON - 9 * HOUR)
    await book.add(STREAM, hour(3))
    with pytest.raises(TransientError):
        await book.flush(STREAM)
    assert not book.stored(STREAM)
    await book.flush(STREAM)
    assert await read(stores.coverages) == hour(3).read
    await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - 4 * HOUR))
    await book.add(STREAM, hour(2))
    results = await asyncio.gather(book.flush(STREAM), book.flush(STREAM), return_exceptions=True)
    assert {type(one) for one in results} == {CoverageResetError, type(None)}
    assert (book.generation, await read(stores.coverages)) == (1, Intervals())


async def test_facts_are_written_at_most_once_a_pace_and_all_of_them_by_flush(stores: Stores, clock: Clock) -> None:
    writes = 0

    async def count() -> None:
        nonlocal writes
        writes += 1

    book = await open_book(tapped(stores.coverages, tap_on({"add": count})), pace=1, clock=clock)
    for n in range(9, 0, -1):
        await book.add(STREAM, hour(n))
        clock.advance(timedelta(seconds=0.25))
    assert writes == 3
    assert book.coverage(STREAM).read == Intervals([(NOON - 9 * HOUR, NOON)])
    await book.flush(STREAM)
    await book.flush(STREAM)
    assert writes == 3 + (await read(stores.coverages) != book.coverage(STREAM).read)
    assert await read(stores.coverages) == Intervals([(NOON - 9 * HOUR, NOON)])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_f13_a_write_that_fails_keeps_its_facts_for_the_next(stores: Stores, moment: str) -> None:
    errors: list[BaseException] = [TransientError("away"), asyncio.CancelledError()]

    async def tap(name: str, when: str) -> None:
        if (name, when) == ("add", moment) and errors:
            raise errors.pop(0)

    book = await open_book(tapped(stores.coverages, tap))
    with pytest.raises(TransientError):
        await book.add(STREAM, hour(5))
    with pytest.raises(asyncio.CancelledError):
        await book.add("other", hour(4))
    assert book.coverage(STREAM) == hour(5)
    await book.add(STREAM, hour(3))
    assert await read(stores.coverages) == hour(5).read | hour(3).read
    assert await read(stores.coverages, "other") == hour(4).read


async def test_what_is_being_written_is_known_all_the_while(stores: Stores) -> None:
    seen: list[Coverage] = []

    async def look() -> None:
        seen.append(book.coverage(STREAM))

    book = await open_book(tapped(stores.coverages, tap_on({"add": look})))
    await book.add(STREAM, hour(2))
    await book.add("other", hour(1))
    assert seen == [hour(2), hour(2)]


async def test_f09_a_book_that_was_deleted_voids_what_is_not_stored_and_begins_anew(stores: Stores, tmp_path: Path) -> None:
    book = await open_book(stores.coverages)
    await book.begin(STREAM, NOON - 9 * HOUR)
    await book.add(STREAM, hour(9))
    (tmp_path / "coverage" / f"{SOURCE}.json").unlink()
    with pytest.raises(CoverageResetError):
        await book.add(STREAM, hour(8))
    assert (book.generation, book.coverage(STREAM), book.begun(STREAM)) == (1, Coverage(), False)
    await book.begin(STREAM, NOON - HOUR)
    assert (await stored(stores)) == Coverage(start=NOON - HOUR)


async def test_f11_facts_from_before_a_reset_are_refused_and_the_book_is_loaded_again(stores: Stores) -> None:
    book = await open_book(stores.coverages)
    await book.add(STREAM, hour(9))
    await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - 4 * HOUR))
    with pytest.raises(CoverageResetError):
        await book.add(STREAM, hour(8))
    assert (book.generation, book.coverage(STREAM)) == (1, Coverage(start=NOON - 4 * HOUR))
    await book.add(STREAM, hour(4))
    assert await read(stores.coverages) == hour(4).read


async def test_two_that_begin_at_once_both_keep_what_they_read(stores: Stores) -> None:
    one, other = await open_book(stores.coverages), await open_book(stores.coverages)
    await asyncio.gather(one.add(STREAM, hour(2)), other.add(STREAM, hour(1)))
    assert await read(stores.coverages) == hour(2).read | hour(1).read
    assert one.generation == other.generation == 0
    await asyncio.gather(one.add(STREAM, hour(4)), other.add(STREAM, hour(3)))
    assert await read(stores.coverages) == Intervals([(NOON - 4 * HOUR, NOON)])


async def test_f09_a_book_that_is_true_for_another_queue_is_refused_with_the_two_ways_on(stores: Stores) -> None:
    await (await open_book(stores.coverages)).add(STREAM, hour(1))
    with pytest.raises(RefusedError, match=r"(?s)HARVESTER_QUEUE_URL.*harvest coverage reset"):
        await open_book(stores.coverages, queue="another")


async def test_f09_a_book_that_another_queue_took_meanwhile_is_refused(stores: Stores) -> None:
    book, other = await open_book(stores.coverages), await open_book(stores.coverages, queue="another")
    await other.add(STREAM, hour(2))
    with pytest.raises(RefusedError):
        await book.add(STREAM, hour(1))
    assert await read(stores.coverages) == hour(2).read


# Resets while windows are read


async def test_f11_a_reset_during_a_window_voids_it_whoever_met_the_reset_first(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 4 * HOUR, 20, 12 * MINUTE)
    harvest = await opened(stores, vendor)
    book = harvest._book
    await harvest.poll(NOON - 4 * HOUR)
    clock.advance(3 * HOUR)

    async def reset_in_the_second_window(_: int) -> None:
        if len(vendor.windows) == 2 and not book.generation:
            await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - 4 * HOUR))
            with pytest.raises(CoverageResetError):
                await book.add("other stream", hour(1))  # another task of this process notices

    vendor.fill(NOON, 30, 6 * MINUTE)
    vendor.windows.clear()
    vendor.before_page = reset_in_the_second_window
    with pytest.raises(CoverageResetError):
        await harvest.poll(NOON)
    assert (await stored(stores)).read == (), "neither this window nor one before or after it counts"
    await harvest.poll(NOON)
    coverage = await stored(stores)
    assert (coverage.read, coverage.gaps()) == (Intervals([(NOON - 4 * HOUR, clock())]), ())
    assert await newest(stores.queue) == vendor.truth()


async def test_f11_a_reset_voids_what_this_process_remembers_to_leave_out(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 5)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - HOUR))
    clock.advance(MINUTE)
    with pytest.raises(CoverageResetError):
        await harvest.poll(NOON)
    await harvest.poll(NOON)
    assert harvest.totals["published"] == 10


async def test_f11_a_reset_found_at_the_end_by_another_is_told_to_who_waits_to_write(stores: Stores, clock: Clock) -> None:
    """Two streams share a book; both have facts that are not written when one of them meets the reset."""
    vendor = Vendor(clock)
    book = OpenBook(stores.coverages, SOURCE, stores.queue.id, pace=timedelta(0))
    await book.load()
    streams = [Harvest(vendor, vendor.stream, stores.queue, book, stores.letters, limits=SMALL, retry=AT_ONCE) for _ in "ab"]
    await streams[0].poll(NOON - HOUR)
    await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - HOUR))
    clock.advance(MINUTE)
    spans = [Interval(NOON - HOUR, NOON)]
    results = await asyncio.gather(*(s.read(spans) for s in streams), return_exceptions=True)
    assert [type(r) for r in results] == [CoverageResetError] * 2
    assert (await stored(stores)).read == ()


# Two harvesters


async def test_f12_two_harvesters_without_a_lease_lose_nothing_and_their_coverage_is_the_union(
    stores: Stores, clock: Clock
) -> None:
    vendor = Vendor(clock, timing=TIMING._replace(overlap=0 * MINUTE))
    vendor.fill(NOON - 8 * HOUR, 48, 10 * MINUTE)
    first, second = await opened(stores, vendor), await opened(stores, vendor)
    await asyncio.gather(first.poll(NOON - 4 * HOUR), second.poll(NOON - 8 * HOUR))
    coverage = await stored(stores)
    assert (coverage.start, coverage.read) == (NOON - 8 * HOUR, Intervals([(NOON - 8 * HOUR, NOON)]))
    clock.advance(HOUR)
    vendor.fill(NOON, 6, 10 * MINUTE)
    for harvest in (second, first):
        await harvest.poll(NOON)
    clock.advance(9 * HOUR)
    await asyncio.gather(first.poll(NOON), second.poll(NOON))
    assert (await stored(stores)).read == Intervals([(NOON - 8 * HOUR, clock())])
    assert await newest(stores.queue) == vendor.truth()


async def test_a_store_that_is_away_while_the_epoch_is_learnt_forgets_nothing(stores: Stores) -> None:
    loads = fails(None, TransientError("away"))
    book = await open_book(tapped(stores.coverages, tap_on({"load": loads})))
    with pytest.raises(TransientError):
        await book.add(STREAM, hour(2))
    await book.add(STREAM, hour(1))
    assert await read(stores.coverages) == hour(2).read | hour(1).read


async def test_a_flush_without_anything_new_writes_nothing(stores: Stores) -> None:
    book = await open_book(stores.coverages)
    await book.flush(STREAM)
    assert await stores.coverages.load(SOURCE) == Book()


class Ticking:
    """A clock that no two looks find at the same time."""

    def __init__(self) -> None:
        self.looks = 0.0

    def __call__(self) -> float:
        self.looks += 1
        return self.looks


async def ticking_book(store: CoverageStore, *, pace: float = 0) -> OpenBook:
    book = OpenBook(store, SOURCE, QUEUE, pace=timedelta(seconds=pace), clock=Ticking())
    await book.load()
    return book


async def test_renewing_shows_what_others_have_added_and_keeps_what_is_not_stored_yet(stores: Stores) -> None:
    one, other = await ticking_book(stores.coverages), await ticking_book(stores.coverages, pace=1e9)
    await one.begin(STREAM, NOON - 9 * HOUR)
    await other.renew()
    await other.add(STREAM, hour(2))
    await one.add(STREAM, hour(1))
    await other.renew()
    assert other.coverage(STREAM).read == hour(2).read | hour(1).read
    assert other.generation == 0
    await other.flush(STREAM)
    assert await read(stores.coverages) == hour(2).read | hour(1).read


async def test_what_others_have_added_is_looked_for_again_only_after_a_while(stores: Stores, clock: Clock) -> None:
    mine, other = await open_book(stores.coverages, clock=clock), await open_book(stores.coverages)
    await other.begin(STREAM, NOON)
    await mine.renew(after=timedelta(seconds=15))
    assert not mine.begun(STREAM), "it was loaded just now"
    clock.advance(timedelta(seconds=16))
    await mine.renew(after=timedelta(seconds=15))
    assert mine.begun(STREAM)


async def test_f11_renewing_after_a_reset_voids_what_was_read_under_the_old_book(stores: Stores) -> None:
    book = await ticking_book(stores.coverages, pace=1e9)
    await book.begin(STREAM, NOON - 9 * HOUR)
    await book.add(STREAM, hour(9))
    await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - 4 * HOUR))
    await book.renew()
    assert (book.generation, book.coverage(STREAM)) == (1, Coverage(start=NOON - 4 * HOUR))
    await book.flush(STREAM)
    assert (await stored(stores)) == Coverage(start=NOON - 4 * HOUR)


async def test_of_many_streams_that_begin_at_once_few_load_the_book(stores: Stores) -> None:
    loads = 0

    async def count() -> None:
        nonlocal loads
        loads += 1

    book = await ticking_book(tapped(stores.coverages, tap_on({"load": count})))
    await asyncio.gather(*[book.renew() for _ in range(500)])
    assert loads <= 3
