"""The loop of a sink under load and in trouble: back-pressure, due letters, the breaker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumers.batch import BreakerError
from consumers.protocols import Rejection
from harvester.errors import TransientError
from harvester.event import Event
from tests.consuming import FLOW, Slow, committed, position, publish, run
from tests.fakes import SINK, Clock, KeyedSink, Titles, failing, message
from tests.taps import Stores, all_letters, conserve, open_stores, tap_on, tapped, tapped_stores, until


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """The real stores; after every test the counts account for everything."""
    async with open_stores(tmp_path, Clock()) as stores:
        yield stores
        await conserve(stores.queue)


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


# Back-pressure


async def test_f20_while_the_sink_hangs_no_more_events_than_the_bound_are_in_flight(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 30)
    received = 0
    slow, stop = Slow(sink), asyncio.Event()

    async def tap(name: str, moment: str) -> None:
        nonlocal received
        received += (name, moment) == ("receive", "after")

    running = asyncio.create_task(run(tapped_stores(stores, tap), sink, stop, FLOW._replace(wait=0.005)))
    # Four batches of events, and then empty receives that only keep the membership.
    await until(lambda: received >= 10)
    assert slow.most == 8
    slow.free.set()
    await committed(stores, 30)
    assert slow.most <= 8
    stop.set()
    await running


@pytest.mark.parametrize("room", [1.0, 2.5, 3.0, 3.99])
async def test_f20_a_bound_in_bytes_holds_and_never_blocks_the_loop_that_makes_room(
    stores: Stores, sink: KeyedSink, room: float
) -> None:
    """A batch that does not fit any more was received already: it waits, and the loop goes on to commit and to stop."""
    await publish(stores, 40, first=10, padding="x" * 300)
    size = 2 * len(message("e10", padding="x" * 300).body)
    slow, stop = Slow(sink), asyncio.Event()
    flow = FLOW._replace(in_flight=8, in_flight_bytes=int(room * size))
    running = asyncio.create_task(run(stores, sink, stop, flow))
    await until(lambda: len(slow.started) >= max(1, int(room - 0.01)))
    await asyncio.sleep(3 * FLOW.wait)
    assert len(slow.started) <= max(1, int(room))
    slow.free.set()
    await committed(stores, 40)
    assert slow.most_bytes <= max(1.0, room) * size
    stop.set()
    async with asyncio.timeout(30):
        await running


async def test_until_empty_waits_for_what_is_in_flight_without_asking_again_and_again(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    asked = 0

    async def receive() -> None:
        nonlocal asked
        asked += 1

    slow = Slow(sink)
    tapping = stores._replace(queue=tapped(stores.queue, tap_on({"receive": receive})))
    running = asyncio.create_task(run(tapping, sink, None, FLOW._replace(due_every=60)))
    await until(lambda: slow.started)
    await asyncio.sleep(0.1)
    assert asked <= 10
    slow.free.set()
    await running
    assert await position(stores) == 2


# The breaker


async def test_f35_the_breaker_stops_the_sink_with_nothing_committed_and_it_goes_on_when_mended(
    stores: Stores, sink: KeyedSink
) -> None:
    await publish(stores, 300)
    flow, tries = FLOW._replace(batch_events=150), 0

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        nonlocal tries
        tries += 1
        return await sink.refusing([e.subject for e in events])(events)

    sink.always = write
    with pytest.raises(BreakerError):
        await run(stores, sink, None, flow)
    assert (await position(stores), await all_letters(stores.letters)) == (0, [])
    stop, tries = asyncio.Event(), 0
    running = asyncio.create_task(run(stores, sink, stop, flow))
    await until(lambda: tries >= 3)
    assert await position(stores) == 0
    sink.always = None
    await committed(stores, 300)
    stop.set()
    await running
    assert len(sink.table) == 300


async def test_f33_a_sink_that_is_down_holds_up_no_other(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 6)
    other, stop = KeyedSink("other"), asyncio.Event()
    sink.always = failing(TransientError("red", retry_after=600))
    running = asyncio.create_task(run(stores, sink, stop))
    await run(stores, other)
    assert (await position(stores, "other"), await position(stores)) == (6, 0)
    stop.set()
    await running


# Due letters


async def letter_of(stores: Stores, sink: KeyedSink, subject: str) -> None:
    """One message that the sink refused, and that is due again."""
    sink.always = sink.refusing([subject])
    await run(stores, sink)
    await stores.letters.requeue([x.id for x in await all_letters(stores.letters)], datetime.now(UTC))


async def test_a_due_letter_is_written_by_its_group_removed_and_counted(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 3)
    await letter_of(stores, sink, "e1")
    sink.always = None
    await run(stores, KeyedSink("other"))
    assert len(await all_letters(stores.letters)) == 1, "it is not the letter of that group"
    await run(stores, sink)
    assert sink.table.keys() == {"e0", "e1", "e2"}
    assert await all_letters(stores.letters) == []
    (group,) = [g for g in await stores.queue.groups() if g.name == SINK]
    assert group.counts == {"consumed": 3, "delivered": 2, "filtered": 0, "dead_lettered": 1, "repaired": 1}


async def test_f34_a_due_letter_that_is_refused_again_comes_back_once_with_one_more_attempt(
    stores: Stores, sink: KeyedSink
) -> None:
    await publish(stores, 3)
    await letter_of(stores, sink, "e1")
    await run(stores, sink)
    (letter,) = await all_letters(stores.letters)
    assert (letter.attempts, letter.due) == (2, None)


async def test_more_due_letters_than_a_batch_are_all_repaired_beside_new_messages(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 21)
    away = [Titles(away=True)]
    await run(stores, sink, enrichers=away)
    assert len(await all_letters(stores.letters)) == 21
    await stores.letters.requeue([x.id for x in await all_letters(stores.letters)], datetime.now(UTC))
    await publish(stores, 4, first=21)
    away[0].away = False
    await run(stores, sink, enrichers=away)
    assert len(sink.table) == 25
    assert all(e.context for e in sink.table.values())
    assert await all_letters(stores.letters) == []
    (group,) = await stores.queue.groups()
    assert (group.counts["delivered"], group.counts["pending"], group.counts["repaired"]) == (25, 21, 21)


async def test_due_letters_are_taken_a_few_bytes_at_a_time(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 8, padding="x" * 300)
    away = [Titles(away=True)]
    await run(stores, sink, enrichers=away)
    await stores.letters.requeue([x.id for x in await all_letters(stores.letters)], datetime.now(UTC))
    away[0].away = False
    sink.batches.clear()
    size = len(message("e0", padding="x" * 300).body)
    await run(stores, sink, None, FLOW._replace(batch_events=100, in_flight=2, in_flight_bytes=6 * size), enrichers=away)
    assert [len(batch) for batch in sink.batches] == [1, 3, 3, 1]  # one goes first


async def test_f50_a_stop_while_a_letter_cannot_be_repaired_ends_at_once_and_keeps_it(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    await letter_of(stores, sink, "e1")
    stop, failed = asyncio.Event(), asyncio.Event()

    async def down(events: Sequence[Event]) -> Sequence[Rejection]:
        failed.set()
        raise TransientError("down", retry_after=600)

    sink.always = down
    running = asyncio.create_task(run(stores, sink, stop))
    await failed.wait()
    stop.set()
    async with asyncio.timeout(30):
        await running
    (letter,) = await all_letters(stores.letters)
    assert (letter.attempts, letter.due is None) == (1, False)


async def test_f50_a_stop_during_a_commit_ends_a_repair_that_waits_without_an_error(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    await letter_of(stores, sink, "e1")
    stop, failed = asyncio.Event(), asyncio.Event()

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        if events[0].subject == "e1":
            failed.set()
            raise TransientError("down", retry_after=600)
        await failed.wait()
        return await sink.store(events)

    async def commit() -> None:
        stop.set()
        await asyncio.sleep(0.01)  # the repair ends meanwhile

    sink.always = write
    await publish(stores, 1, first=2)
    await run(stores._replace(queue=tapped(stores.queue, tap_on({"commit": commit}))), sink, stop)
    assert await position(stores) == 3
    assert len(await all_letters(stores.letters)) == 1
