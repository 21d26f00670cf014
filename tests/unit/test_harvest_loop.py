"""The loop of a source: what is covered is in the queue, and what was read is accounted for."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from harvester import measures
from harvester.coverage import Coverage, Interval, Intervals, Timing
from harvester.errors import PermanentError, RefusedError, TransientError
from harvester.openbook import OpenBook
from tests.fakes import HOUR, MINUTE, NOON, SOURCE, STREAM, TIMING, Clock, Vendor
from tests.harvesting import SMALL, before_page, newest, opened, published, stored
from tests.taps import Stores, conserve, fails, open_stores, tap_on, tapped, until


async def test_a_poll_publishes_all_there_is_and_covers_it(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 10 * HOUR, 30, 20 * MINUTE)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - 12 * HOUR)
    assert dict(await published(stores.queue)) == vendor.truth()
    coverage = await stored(stores)
    assert coverage.read == Intervals([(NOON - 12 * HOUR, NOON)])
    assert coverage.settled == Intervals([(NOON - 12 * HOUR, NOON - TIMING.settle)])
    assert harvest.totals == {"read": 30, "published": 30, "filtered": 0, "dead_lettered": 0}


async def test_the_start_is_stored_before_the_first_fetch(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 3)
    seen: list[Coverage] = []

    async def look() -> None:
        seen.append(await stored(stores))

    vendor.before_page = before_page(0, look)
    await (await opened(stores, vendor)).poll(NOON - HOUR)
    assert seen == [Coverage(start=NOON - HOUR)]


async def test_f13_while_the_start_cannot_be_stored_nothing_is_fetched(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    away = [TransientError("the store is away")] * 2
    store = tapped(stores.coverages, tap_on({"add": fails(*away)}))
    harvest = await opened(stores._replace(coverages=store), vendor)
    for _ in away:
        with pytest.raises(TransientError):
            await harvest.poll(NOON - HOUR)
        clock.advance(MINUTE)
    assert vendor.windows == []
    await harvest.poll(clock() - HOUR)
    assert (await stored(stores)).start == NOON - HOUR


async def test_a_start_in_the_future_begins_now(stores: Stores, clock: Clock) -> None:
    await (await opened(stores, Vendor(clock))).poll(NOON + HOUR)
    assert (await stored(stores)).start == NOON


async def test_f06_a_clock_that_jumps_back_reads_nothing_and_loses_nothing(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    before, asked = await stored(stores), len(vendor.windows)
    clock.advance(-2 * HOUR)
    await harvest.poll(NOON - HOUR)
    clock.advance(2 * HOUR)
    assert (await stored(stores), len(vendor.windows)) == (before, asked)


async def test_an_unchanged_source_publishes_nothing_from_the_second_poll_on(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 8 * HOUR, 200, 2 * MINUTE)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - 8 * HOUR)
    first = await published(stores.queue)
    for step in (timedelta(0), MINUTE, HOUR, 6 * HOUR, 2 * HOUR):
        clock.advance(step)
        await harvest.poll(NOON)
    assert await published(stores.queue) == first
    assert harvest.totals["filtered"] > 0
    assert (await stored(stores)).watermark == NOON + 3 * HOUR


async def test_f03_the_settling_reading_finds_late_rows_and_rows_that_grew(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 2 * HOUR, 10, 10 * MINUTE)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - 2 * HOUR)
    vendor.put("late", NOON - 90 * MINUTE, seen=NOON + HOUR)
    vendor.put("row0", NOON, 7, seen=NOON + 5 * HOUR)
    clock.advance(8 * HOUR)
    await harvest.poll(NOON)
    assert await newest(stores.queue) == vendor.truth()
    assert [s for s, _ in await published(stores.queue)].count("row1") == 1


async def test_f03_a_row_that_appears_within_the_overlap_is_found_by_the_next_poll(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    harvest = await opened(stores, vendor)
    await harvest.poll(NOON - HOUR)
    clock.advance(MINUTE)
    vendor.put("late", NOON - MINUTE)
    await harvest.poll(NOON)
    assert await published(stores.queue) == [("late", 0)]


async def test_f02_rows_of_one_moment_at_the_edge_are_published_once_each(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    harvest = await opened(stores, vendor)
    for n in range(5):
        vendor.put(f"tie{n}", NOON - timedelta(microseconds=1), seen=clock())
        await harvest.poll(NOON - HOUR)
        clock.advance(timedelta(seconds=1))
    assert await published(stores.queue) == [(f"tie{n}", 0) for n in range(5)]


async def test_each_window_is_committed_alone_and_oldest_first(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 4 * HOUR, 4, HOUR)
    harvest = await opened(stores, vendor)
    done: list[Interval] = []
    harvest.on_window = done.append

    async def breaks(_: int) -> None:
        if len(vendor.windows) == 3:
            raise TransientError("502")

    vendor.before_page = breaks
    with pytest.raises(TransientError, match="502"):
        await harvest.poll(NOON - 4 * HOUR)
    assert done == vendor.windows[:2] == [Interval(NOON - n * HOUR, NOON - (n - 1) * HOUR) for n in (4, 3)]
    assert (await stored(stores)).read == Intervals([(NOON - 4 * HOUR, NOON - 2 * HOUR)])


async def test_f04_a_window_that_breaks_in_its_middle_is_not_covered(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 20)
    vendor.before_page = before_page(7, fails(TransientError("cut"), None))
    harvest = await opened(stores, vendor)
    with pytest.raises(TransientError, match="cut"):
        await harvest.poll(NOON - HOUR)
    assert (await stored(stores)).read == ()
    assert vendor.closed == 1
    await harvest.poll(NOON)
    assert await newest(stores.queue) == vendor.truth()


async def test_a_page_that_covers_is_no_silence_though_its_window_has_no_end_yet(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, page=2, covers=True)
    vendor.fill(NOON - HOUR, 6)
    labels = {"source": SOURCE, "stream": STREAM}

    async def breaks(number: int) -> None:
        if number == 0:
            measures.success.labels(SOURCE, STREAM).set(0)
        if number == 2:
            raise TransientError("the vendor is away")

    vendor.before_page = breaks
    with pytest.raises(TransientError):
        await (await opened(stores, vendor)).poll(NOON - HOUR)
    assert measures.REGISTRY.get_sample_value("harvester_last_success_timestamp_seconds", labels)


async def test_f20_a_window_whose_publish_fails_is_not_covered(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 20)
    queue = tapped(stores.queue, tap_on({"publish": fails(None, PermanentError("gone"))}))
    harvest = await opened(stores._replace(queue=queue), vendor)
    with pytest.raises(PermanentError, match="gone"):
        await harvest.poll(NOON - HOUR)
    assert (await stored(stores)).read == ()
    assert vendor.closed == 1


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_one_failed_publish_ends_the_others_in_flight_and_covers_nothing(
    stores: Stores, clock: Clock, failing: int
) -> None:
    vendor = Vendor(clock, page=4)
    vendor.fill(NOON - HOUR, 12)
    calls, cancelled = 0, 0

    async def publish() -> None:
        nonlocal calls, cancelled
        calls += 1
        if calls - 1 == failing:
            await until(lambda: calls == 3)
            raise PermanentError("no more")
        if calls - 1 > failing:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                raise

    queue = tapped(stores.queue, tap_on({"publish": publish}))
    harvest = await opened(stores._replace(queue=queue), vendor)
    with pytest.raises(PermanentError, match="no more"):
        await harvest.poll(NOON - HOUR)
    assert (calls, cancelled) == (3, 2 - failing)
    assert (await stored(stores)).read == ()
    assert len(asyncio.all_tasks()) == 1


async def test_f20_a_short_outage_of_the_queue_is_waited_out_without_asking_the_vendor_again(
    stores: Stores, clock: Clock
) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 20)
    full = TransientError("full", retry_after=5)
    queue = tapped(stores.queue, tap_on({"publish": fails(full, None, full, full)}))
    await (await opened(stores._replace(queue=queue), vendor)).poll(NOON - HOUR)
    assert len(vendor.windows) == 1
    assert dict(await published(stores.queue)) == vendor.truth()


async def test_f20_a_one_shot_gives_up_on_a_queue_that_stays_full_and_covers_nothing(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 3)
    queue = tapped(stores.queue, tap_on({"publish": fails(*[TransientError("full", retry_after=5)] * 9)}))
    with pytest.raises(TransientError, match="full"):
        await (await opened(stores._replace(queue=queue), vendor)).poll(NOON - HOUR)
    assert (await stored(stores)).read == ()


async def test_what_was_published_but_not_acknowledged_is_published_again(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 4)
    answers = [TransientError("the answer was lost")] * 4

    async def lose(name: str, moment: str) -> None:
        if (name, moment) == ("publish", "after") and answers:
            raise answers.pop()

    harvest = await opened(stores._replace(queue=tapped(stores.queue, lose)), vendor)
    with pytest.raises(TransientError):
        await harvest.poll(NOON - HOUR)
    assert harvest.totals["published"] == 0
    await harvest.poll(NOON)
    assert [s for s, _ in await published(stores.queue)].count("row0") == 5
    assert (await stored(stores)).read == Intervals([(NOON - HOUR, NOON)])


@pytest.mark.parametrize(("policy", "starts"), [("windows", [4, 2]), ("gap", [2])])
async def test_f07_a_long_span_is_read_in_pieces_or_leaves_a_visible_gap(
    stores: Stores, clock: Clock, policy: str, starts: list[int]
) -> None:
    vendor = Vendor(clock, timing=TIMING._replace(window=None))
    limits = SMALL._replace(max_span=2 * HOUR, span_policy=policy)  # type: ignore[arg-type]
    harvest = await opened(stores, vendor, limits=limits)
    await harvest.poll(NOON - 4 * HOUR)
    assert [w.start for w in vendor.windows] == [NOON - n * HOUR for n in starts]
    gaps = Intervals() if policy == "windows" else Intervals([(NOON - 4 * HOUR, NOON - 2 * HOUR)])
    assert (await stored(stores)).gaps() == gaps


async def test_f07_a_span_of_whole_days_and_an_hour_is_refused_by_the_policy_abort(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    harvest = await opened(stores, vendor, limits=SMALL._replace(max_span=24 * HOUR, span_policy="abort"))
    with pytest.raises(RefusedError, match="90000 s"):
        await harvest.read([Interval(NOON - 25 * HOUR, NOON)])
    assert vendor.windows == []
    await harvest.read([Interval(NOON - 25 * HOUR, NOON)], whole=True)
    assert vendor.windows == [Interval(NOON - 25 * HOUR, NOON)]


async def test_a_gap_is_filled_by_reading_it_and_history_by_moving_the_start(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 9 * HOUR, 27, 20 * MINUTE)
    harvest = await opened(stores, vendor, limits=SMALL._replace(max_span=HOUR, span_policy="gap"))
    await harvest.poll(NOON - 3 * HOUR)
    filling = await opened(stores, vendor)
    await filling.read((await stored(stores)).gaps())
    assert (await stored(stores)).gaps() == ()
    book = OpenBook(stores.coverages, SOURCE, stores.queue.id)
    await book.load()
    await book.begin(STREAM, NOON - 9 * HOUR)
    backfill = await opened(stores, vendor)
    await backfill.read((await stored(stores)).gaps())
    assert (await stored(stores)).gaps() == ()
    assert await newest(stores.queue) == vendor.truth()


async def test_reading_a_range_without_recording_publishes_it_and_leaves_the_coverage_alone(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, covers=True)
    vendor.fill(NOON - 2 * HOUR, 10)
    harvest = await opened(stores, vendor)
    await harvest.read([Interval(NOON - 2 * HOUR, NOON)], record=False)
    assert len(await published(stores.queue)) == 10
    assert (await stores.coverages.load(SOURCE)).epoch == ""


async def test_nothing_behind_the_horizon_is_ever_claimed(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock, timing=Timing(overlap=timedelta(0), settle=timedelta(0), horizon=5 * HOUR))
    harvest = await opened(stores, vendor)
    await harvest.read([Interval(NOON - 9 * HOUR, NOON - 2 * HOUR)])
    assert (await stored(stores)).settled == Intervals([(NOON - 5 * HOUR, NOON - 2 * HOUR)])


async def test_f13_what_could_not_be_stored_is_stored_before_the_vendor_is_asked_again(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - 3 * HOUR, 12, 15 * MINUTE)
    begun, *away = [None, *[TransientError("the store is away")] * 5]
    store = tapped(stores.coverages, tap_on({"add": fails(begun, *away)}))
    harvest = await opened(stores._replace(coverages=store), vendor)
    with pytest.raises(TransientError):
        await harvest.poll(NOON - 3 * HOUR)
    assert len(vendor.windows) == 1
    for _ in away[1:]:
        with pytest.raises(TransientError):
            await harvest.poll(NOON - 3 * HOUR)
    assert len(vendor.windows) == 1
    await harvest.poll(NOON - 3 * HOUR)
    assert (await stored(stores)).read == Intervals([(NOON - 3 * HOUR, NOON)])
    assert dict(await published(stores.queue)) == vendor.truth()


async def test_f06_a_host_clock_that_jumps_back_stops_the_book_and_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    host = Clock(NOON)
    async with open_stores(tmp_path, host) as stores:
        vendor = Vendor(clock)
        vendor.fill(NOON - 3 * HOUR, 12, 15 * MINUTE)
        harvest = await opened(stores, vendor)
        await harvest.poll(NOON - 3 * HOUR)
        before = await stored(stores)
        host.advance(-2 * HOUR)
        clock.advance(10 * MINUTE)
        vendor.put("late", NOON + MINUTE)
        for _ in range(3):
            with pytest.raises(RefusedError, match="correct this host's clock"):
                await harvest.poll(NOON)
        host.advance(2 * HOUR + 10 * MINUTE)
        assert await stored(stores) == before
        await harvest.poll(NOON)
        assert (await stored(stores)).read == Intervals([(NOON - 3 * HOUR, NOON + 10 * MINUTE)])
        assert dict(await published(stores.queue)) == vendor.truth()
        host.advance(2 * HOUR)
        clock.advance(MINUTE)
        await harvest.poll(NOON)
        assert (await stored(stores)).live_edge == NOON + 11 * MINUTE
        await conserve(stores.queue)


async def test_what_a_second_reading_finds_in_time_that_was_read_is_counted_as_late(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 4, 10 * MINUTE)
    harvest = await opened(stores, vendor)
    late = partial(measures.REGISTRY.get_sample_value, "harvester_events_late_total", {"source": SOURCE, "stream": STREAM})
    before = late() or 0
    await harvest.poll(NOON - HOUR)
    clock.advance(MINUTE)
    vendor.put("new", NOON + MINUTE / 2)
    await harvest.poll(NOON)
    assert late() == before
    vendor.put("came late", NOON - 2 * MINUTE)
    vendor.put("new", NOON + MINUTE / 2, 1)
    clock.advance(MINUTE / 2)
    await harvest.poll(NOON)
    assert late() == before + 2
    again = await opened(stores, vendor)  # another process knows nothing of what is late
    clock.advance(12 * HOUR)
    await again.poll(NOON)
    assert late() == before + 2
    assert await newest(stores.queue) == vendor.truth()


async def test_what_is_left_to_catch_up_is_all_that_is_not_read_since_the_start(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    await stores.coverages.reset(SOURCE, STREAM, Coverage(start=NOON - 10 * HOUR, read=Intervals([(NOON - 2 * HOUR, NOON)])))
    await (await opened(stores, vendor)).poll(NOON)
    found = measures.REGISTRY.get_sample_value
    labels = {"source": SOURCE, "stream": STREAM}
    assert found("harvester_catchup_remaining_seconds", labels) == 8 * 3600
    assert found("harvester_source_lag_seconds", labels) == 0
