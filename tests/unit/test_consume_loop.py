"""The loop of a sink: a position moves only behind what is written or a durable letter, in the order received."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from consumers.consume import consume
from consumers.protocols import Rejection
from harvester.errors import PermanentError, TransientError
from harvester.event import Event
from tests.consuming import FLOW, Slow, committed, position, processing, publish, run
from tests.fakes import SINK, Clock, KeyedSink, failing
from tests.taps import Stores, all_letters, conserve, fails, open_stores, tap_on, tapped, tapped_stores, until


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """The real stores; after every test the counts account for everything."""
    async with open_stores(tmp_path, Clock()) as stores:
        yield stores
        await conserve(stores.queue)


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


async def test_all_messages_are_delivered_once_and_counted_with_the_position(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 11)
    seen: list[int] = []
    stop = asyncio.Event()
    work = processing(sink, stores.letters, stop=stop)
    await consume(
        stores.queue,
        SINK,
        work,
        stores.letters,
        stop,
        flow=FLOW,
        until_empty=True,
        on_commit=lambda c: seen.append(c["consumed"]),
    )
    assert sorted(s for batch in sink.batches for s in batch) == sorted(f"e{n}" for n in range(11))
    (group,) = await stores.queue.groups()
    assert (group.lag, group.counts["delivered"], sum(seen)) == (0, 11, 11)


async def test_behind_a_slow_head_nothing_is_committed_until_it_is_done_and_then_all_at_once(
    stores: Stores, sink: KeyedSink
) -> None:
    await publish(stores, 6)
    commits: list[str] = []

    async def commit() -> None:
        commits.append("commit")

    slow, stop = Slow(sink, "e0"), asyncio.Event()
    tapping = stores._replace(queue=tapped(stores.queue, tap_on({"commit": commit})))
    running = asyncio.create_task(run(tapping, sink, stop))
    await until(lambda: len(sink.batches) == 2)
    await asyncio.sleep(3 * FLOW.wait)
    assert (await position(stores), commits) == (0, [])
    slow.free.set()
    await committed(stores, 6)
    assert commits == ["commit"]
    stop.set()
    await running


async def test_nothing_behind_a_head_that_failed_is_committed(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 6)
    slow = Slow(sink, "e0")

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        await slow.write(events)
        if events[0].subject == "e0":
            raise PermanentError("gone")
        return []

    sink.always = write
    running = asyncio.create_task(run(stores, sink))
    await until(lambda: len(sink.batches) == 2)
    slow.free.set()
    with pytest.raises(PermanentError):
        await running
    assert await position(stores) == 0
    sink.always = None
    await run(stores, sink)
    assert await position(stores) == 6
    assert len(sink.table) == 6


async def test_what_was_done_before_a_failed_batch_is_committed(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 6)
    sink.script = [sink.store, failing(PermanentError("gone")), sink.store]
    with pytest.raises(PermanentError):
        await run(stores, sink)
    assert await position(stores) == 2


async def test_a_commit_that_fails_repeats_events_and_loses_none(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 3)
    tap = tap_on({"commit": fails(TransientError("locked"))})
    with pytest.raises(TransientError, match="locked"):
        await run(tapped_stores(stores, tap), sink)
    assert await position(stores) == 0
    await run(stores, sink)
    assert len(sink.table) == 3


async def test_letters_are_stored_before_the_position_moves(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    sink.always = sink.refusing(["e1"])
    acts: list[str] = []

    async def tap(name: str, moment: str) -> None:
        if name in ("add", "commit"):
            acts.append(f"{moment} {name}")

    await run(tapped_stores(stores, tap), sink)
    assert acts == ["before add", "after add", "before commit", "after commit"]


async def test_f34_without_its_letter_nothing_is_committed(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    sink.always = sink.refusing(["e1"])
    tap = tap_on({"add": fails(TransientError("locked"))})
    with pytest.raises(TransientError):
        await run(tapped_stores(stores, tap), sink)
    assert (await position(stores), await all_letters(stores.letters)) == (0, [])
    await run(stores, sink)
    assert (await position(stores), len(await all_letters(stores.letters))) == (2, 1)


async def test_a_batch_that_was_cancelled_from_within_is_an_error_and_no_silent_end(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    sink.script = [failing(asyncio.CancelledError())]
    with pytest.raises(TransientError, match="cancelled from within"):
        await run(stores, sink)
    assert await position(stores) == 0


# Stop


async def test_f50_a_stop_ends_a_receive_that_waits_for_messages(stores: Stores, sink: KeyedSink) -> None:
    stop, receiving = asyncio.Event(), asyncio.Event()

    async def receive() -> None:
        receiving.set()

    tapping = stores._replace(queue=tapped(stores.queue, tap_on({"receive": receive})))
    running = asyncio.create_task(run(tapping, sink, stop, FLOW._replace(wait=60.0)))
    await receiving.wait()
    stop.set()
    async with asyncio.timeout(30):
        await running
    await publish(stores, 1)
    await run(stores, sink)
    assert sink.table.keys() == {"e0"}


async def test_f50_a_stop_finishes_what_is_in_flight_and_commits_it(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 20)
    slow, stop = Slow(sink), asyncio.Event()
    running = asyncio.create_task(run(stores, sink, stop))
    await until(lambda: len(slow.started) == 4)
    stop.set()
    await asyncio.sleep(0.01)
    slow.free.set()
    async with asyncio.timeout(30):
        await running
    assert (await position(stores), len(slow.started)) == (8, 4)


@pytest.mark.parametrize("down", ["all", "e0", "e2"])
async def test_f50_a_stop_while_the_sink_is_down_ends_at_once_and_loses_nothing(
    stores: Stores, sink: KeyedSink, down: str
) -> None:
    await publish(stores, 8)
    stop, failed = asyncio.Event(), asyncio.Event()

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        if down == "all" or down in {e.subject for e in events}:
            failed.set()
            raise TransientError("down", retry_after=600)
        return await sink.store(events)

    sink.always = write
    running = asyncio.create_task(run(stores, sink, stop))
    await failed.wait()
    began = time.monotonic()
    stop.set()
    await running
    assert time.monotonic() - began < 20  # the pause that was told is 600 s
    assert await position(stores) == (2 if down == "e2" else 0)
    sink.always = None
    await run(stores, sink)
    assert len(sink.table) == 8


async def test_a_sink_that_was_told_to_stop_before_it_began_receives_nothing(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 2)
    stop = asyncio.Event()
    stop.set()
    await run(stores, sink, stop)
    assert sink.batches == []
