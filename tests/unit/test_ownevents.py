"""The harvester's own events: what they tell, that they hold up nothing, and that they are accounted for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from consumers.consume import consume
from consumers.minutes import Minutes
from consumers.records import gives_records, gives_vendor_records, records_of
from consumers.records.harvester import ConsumerMinute, WindowRead
from harvester import tally
from harvester.commands.audit import equations
from harvester.coverage import Coverage, Interval
from harvester.errors import TransientError
from harvester.event import Event, decode_event, encode_event
from harvester.harvest import Harvest
from harvester.ownevents import CONSUMER, SOURCE, WINDOW, Teller, own_event, telling
from harvester.ownwindows import OwnWindows
from harvester.protocols import Delivery, Message
from tests.consuming import FLOW, processing, publish
from tests.fakes import HOUR, MINUTE, NOON, STREAM, Clock, KeyedSink, Vendor, message
from tests.harvesting import opened
from tests.taps import Stores, fails, tap_on, tapped, tapped_stores, until


@pytest.fixture
async def stores(stores: Stores) -> AsyncIterator[Stores]:
    """After every test the equations of the audit hold, too."""
    yield stores
    assert all(equation.equal for equation in await equations(stores.queue))


class Told(list[Event]):
    """What was told."""

    def data(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(event.data) for event in self]


async def telling_harvest(stores: Stores, vendor: Vendor, told: Told, **options: Any) -> Harvest:
    return await opened(stores, vendor, tell=told.append, **options)


def window(hours: int = 1) -> Interval:
    return Interval(NOON - hours * HOUR, NOON)


def own_delivery(n: int = 0) -> Delivery:
    event = own_event(WINDOW, (n,), {})
    return Delivery(Message(event.key, encode_event(event)), n)


async def test_each_window_that_brings_something_is_told_with_what_was_done(stores: Stores, clock: Clock) -> None:
    vendor, told = Vendor(clock), Told()
    vendor.fill(NOON - 3 * HOUR, 12, 15 * MINUTE)
    vendor.broken["row3"] = b"{}"

    async def ask() -> None:
        tally.called()
        tally.waited(0.25)
        tally.allowed(600, 42)

    async def page(_: int) -> None:
        await asyncio.create_task(ask())  # a task of the source's own counts, too

    vendor.before_page = page
    harvest = await telling_harvest(stores, vendor, told)
    await harvest.read([Interval(NOON - 3 * HOUR, NOON)])
    found = told.data()
    assert [(one["window_start"], one["read"], one["published"], one["dead_lettered"]) for one in found] == [
        ("2026-01-10T09:00:00Z", 4, 3, 1),
        ("2026-01-10T10:00:00Z", 4, 4, 0),
        ("2026-01-10T11:00:00Z", 4, 4, 0),
    ]
    first = found[0]
    assert (first["source"], first["stream"], first["windows"], first["filtered"]) == ("vendor", STREAM, 1, 0)
    assert (first["calls"], first["waited_seconds"], first["call_limit"], first["calls_left"]) == (2, 0.5, 600, 42)
    assert (first["lag_seconds"], first["gap_seconds"]) == (7200, 0)
    assert first["seconds"] > 0


async def test_the_record_has_every_field_of_what_is_told(stores: Stores, clock: Clock) -> None:
    vendor, told = Vendor(clock), Told()
    vendor.fill(NOON - HOUR, 2)
    await (await telling_harvest(stores, vendor, told)).read([window()])
    minutes = Minutes("duckdb", told.append)
    minutes.committed({"consumed": 1, "delivered": 1}, [[Delivery(message("e1"), 1)]])
    minutes.end()
    for event, record in zip(told, (WindowRead, ConsumerMinute), strict=True):
        assert list(msgspec.json.decode(event.data)) == [*record.__struct_fields__]
        (made,) = records_of(event)
        assert isinstance(made, record)
        assert made.id == event.subject
        assert gives_records(event)
        assert not gives_vendor_records(event)


async def test_a_window_is_told_once_and_only_after_it_is_durably_covered(stores: Stores, clock: Clock) -> None:
    vendor, told = Vendor(clock), Told()
    vendor.fill(NOON - 2 * HOUR, 8, 15 * MINUTE)
    dying = stores._replace(coverages=tapped(stores.coverages, tap_on({"add": fails(None, RuntimeError("killed"))})))
    first = await telling_harvest(dying, vendor, told)
    await first.read([window(2)][:0])
    with pytest.raises(RuntimeError, match="killed"):
        await first.read([window(2)])
    assert [one["window_start"] for one in told.data()] == ["2026-01-10T10:00:00Z"], "the second is published, and not covered"
    again = await telling_harvest(stores, vendor, told)
    await again.read([Interval(NOON - HOUR, NOON)])
    assert [one["window_start"] for one in told.data()] == ["2026-01-10T10:00:00Z", "2026-01-10T11:00:00Z"]


async def test_while_coverage_waits_for_its_pace_nothing_is_told_until_it_is_written(stores: Stores, clock: Clock) -> None:
    vendor, told, at_write = Vendor(clock), Told(), list[int]()
    vendor.fill(NOON - 4 * HOUR, 16, 15 * MINUTE)

    async def write() -> None:
        at_write.append(len(told))

    slow = stores._replace(coverages=tapped(stores.coverages, tap_on({"add": write})))
    harvest = await telling_harvest(slow, vendor, told, pace=timedelta(hours=1))
    await harvest.read([window(4)])
    assert (at_write, len(told)) == ([0, 1], 4)


def test_windows_that_bring_nothing_are_told_together_after_ten_minutes() -> None:
    told, now = Told(), [1000.0]
    own = OwnWindows("vendor", STREAM, told.append, clock=lambda: now[0])
    totals = {"read": 0, "published": 0, "filtered": 0, "dead_lettered": 0}

    async def poll() -> None:
        async with own.reading():
            tally.called()
        own.read(window(), totals, Coverage(), NOON)
        own.covered()
        now[0] += 120

    for _ in range(11):
        asyncio.run(poll())
    assert [(one["windows"], one["calls"]) for one in told.data()] == [(1, 1), (5, 5), (5, 5)]
    totals["published"] = totals["read"] = 3
    asyncio.run(poll())
    assert [(one["windows"], one["read"]) for one in told.data()][3:] == [(1, 3)], "what brings something is told at once"


def test_a_stream_that_needs_no_call_falls_silent() -> None:
    told, now = Told(), [0.0]
    own = OwnWindows("vendor", STREAM, told.append, clock=lambda: now[0])
    totals = {"read": 0, "published": 0, "filtered": 0, "dead_lettered": 0}
    for _ in range(100):
        own.read(window(), totals, Coverage(), NOON)
        own.covered()
        now[0] += 3600
    assert len(told) == 1


async def test_own_events_go_out_together_and_are_counted_by_the_harvester(stores: Stores) -> None:
    publishes: list[int] = []

    async def publish() -> None:
        publishes.append(1)

    async with telling(tapped(stores.queue, tap_on({"publish": publish})), every=0.02) as tell:
        for n in range(7):
            tell(own_event(WINDOW, (n,), {}))
        await until(lambda: publishes)
        tell(own_event(WINDOW, (7,), {}))
    assert len(publishes) == 2
    assert (await stores.queue.counts())[SOURCE] == {"read": 8, "published": 8}
    async with telling(stores.queue, on=False) as tell:
        tell(own_event(WINDOW, (8,), {}))
    assert (await stores.queue.counts())[SOURCE] == {"read": 8, "published": 8}


async def test_a_queue_that_takes_none_loses_the_oldest_and_holds_up_nothing(stores: Stores, clock: Clock) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 4)
    full = tapped(stores.queue, tap_on({"publish": fails(*[TransientError("full")] * 2)}))
    teller = Teller(full)
    for n in range(1500):
        teller.tell(own_event(WINDOW, (n,), {}))
    assert [await teller.send(), await teller.send()] == [False, False]
    await (await opened(stores, vendor, tell=teller.tell)).read([window()])
    assert await teller.send()
    events = [decode_event(d.message.body) for d in await stores.queue.peek(0, 10_000)]
    own = [event for event in events if event.source == SOURCE]
    assert (len(events), len(own)) == (1004, 1000)
    assert own[0].subject == own_event(WINDOW, (501,), {}).subject


async def test_a_queue_that_hangs_does_not_hold_up_the_end(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harvester.ownevents._LAST", 0.05)
    hang = asyncio.Event()

    async def forever() -> None:
        await hang.wait()

    async with asyncio.timeout(5), telling(tapped(stores.queue, tap_on({"publish": forever}))) as tell:
        tell(own_event(WINDOW, (1,), {}))


def test_an_event_that_is_published_again_is_the_same_document() -> None:
    one = own_event(WINDOW, ("vendor", STREAM, NOON), {"read": 1}, NOON)
    assert one == own_event(WINDOW, ("vendor", STREAM, NOON), {"read": 1}, NOON)
    assert one.subject != own_event(WINDOW, ("vendor", STREAM, NOON + MINUTE), {"read": 1}, NOON).subject


class Member:
    """One member's minutes, by a clock of its own."""

    def __init__(self) -> None:
        self.told, self.now = Told(), 0.0
        self.minutes = Minutes("duckdb", self.told.append, clock=lambda: self.now)

    def minute(self, lag: int = 0, letters: int = 0) -> list[dict[str, Any]]:
        """What is told when it ends."""
        before = len(self.told)
        self.now += 30
        self.minutes.look(lag, letters)
        assert len(self.told) == before, "half a minute is none"
        self.now += 30
        self.minutes.look(lag, letters)
        return self.told.data()[before:]

    def commit(self, *deliveries: Delivery) -> None:
        self.minutes.worked(0.5)
        self.minutes.committed({"consumed": len(deliveries), "delivered": len(deliveries)}, [deliveries])


def test_a_minute_in_which_something_came_is_told_with_the_sums() -> None:
    member = Member()
    member.commit(Delivery(message("e1"), 1), own_delivery())
    member.commit(Delivery(message("e2"), 2))
    (told,) = member.minute(lag=5, letters=2)
    assert (told["sink"], told["received"], told["delivered"], told["batches"], told["batch_seconds"]) == ("duckdb", 3, 3, 2, 1.0)
    assert (told["lag"], told["letters"], told["seconds"]) == (5, 2, 60.0)
    assert told["memory_bytes"] > 10 << 20


def test_own_events_alone_make_no_member_tell_of_them() -> None:
    member = Member()
    for n in range(5):
        member.commit(own_delivery(n))
        assert member.minute() == []
    member.minutes.end()
    assert member.told == []


def test_a_sink_that_stands_still_is_told_and_one_that_only_has_something_before_it_is_not() -> None:
    member = Member()
    assert member.minute(lag=1) == []
    member.commit(own_delivery())
    assert member.minute(lag=1) == [], "it went on, and something new came"
    assert [one["lag"] for one in member.minute(lag=9)] == [9]
    member.minutes.repaired(3)
    assert [one["repaired"] for one in member.minute()] == [3]


def test_what_came_since_the_last_minute_is_told_at_the_end() -> None:
    member = Member()
    member.commit(Delivery(message("e1"), 1))
    member.now += 5
    member.minutes.end()
    assert [(one["received"], one["seconds"]) for one in member.told.data()] == [(1, 5.0)]


async def test_the_loop_tells_of_what_it_did_and_an_idle_installation_falls_silent(stores: Stores) -> None:
    await publish(stores, 5)
    looks: list[int] = []

    async def look() -> None:
        looks.append(1)

    tapping = tapped_stores(stores, tap_on({"lag": look}))
    sink, stop = KeyedSink(), asyncio.Event()
    async with telling(stores.queue, every=0.01) as tell:
        work = processing(sink, stores.letters, stop=stop)
        running = asyncio.create_task(
            consume(tapping.queue, sink.name, work, stores.letters, stop, flow=FLOW._replace(minute=0.05), tell=tell)
        )
        await until(lambda: sum(one["delivered"] for one in minutes_in(sink)) >= 5)
        told = len(minutes_in(sink))
        looks.clear()
        await until(lambda: len(looks) > 12)  # several minutes of this test
        stop.set()
        await running
    assert len(minutes_in(sink)) == told
    assert {one["sink"] for one in minutes_in(sink)} == {sink.name}
    (group,) = await stores.queue.groups()
    assert (group.lag, group.counts["consumed"]) == (0, 5 + told)


def minutes_in(sink: KeyedSink) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.data) for event in sink.table.values() if event.type == CONSUMER]
