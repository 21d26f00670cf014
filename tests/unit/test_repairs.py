"""Due letters beside live batches: who goes first, how many at once, and what is left alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.protocols import Rejection
from harvester.event import Event
from harvester.protocols import Letter
from harvester.turns import REPAIRS, Owners, Turn
from tests.consuming import FLOW, committed, position, publish, run
from tests.fakes import SINK, Clock, KeyedSink, Titles
from tests.taps import Stores, all_letters, conserve, open_stores, until


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """The real stores; after every test the counts account for everything."""
    async with open_stores(tmp_path, Clock()) as stores:
        yield stores
        await conserve(stores.queue)


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


async def make_due(stores: Stores) -> list[Letter]:
    found = await all_letters(stores.letters)
    await stores.letters.requeue([x.id for x in found], datetime.now(UTC) - timedelta(seconds=1))
    return found


async def pending(stores: Stores, sink: KeyedSink, amount: int) -> Titles:
    """So many events, written without what `Titles` adds, and due; it is still away."""
    titles = Titles(away=True)
    await publish(stores, amount)
    await run(stores, sink, enrichers=[titles])
    await make_due(stores)
    sink.batches.clear()
    return titles


class Broken(Titles):
    """A service that does not answer, which nobody has noticed yet."""

    def __init__(self) -> None:
        super().__init__(away=True)
        self.patient = 0

    @property
    def away(self) -> bool:
        return self.patient >= 3

    @away.setter
    def away(self, value: bool) -> None:
        pass

    async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
        self.patient += patient
        return events


async def test_f36_while_the_service_is_away_what_is_pending_loses_no_attempt_and_the_rest_is_tried(
    stores: Stores, sink: KeyedSink
) -> None:
    titles = await pending(stores, sink, 20)
    await publish(stores, 2, first=20)
    sink.always = sink.refusing(["e20"])
    await run(stores, sink, enrichers=[titles])
    await make_due(stores)
    sink.always = None
    await run(stores, sink, enrichers=[titles])
    found = {x.event_id: x for x in await all_letters(stores.letters)}
    assert {x.reason for x in found.values()} == {"pending"}  # the refused one is written, and pending as all are
    assert sorted(x.attempts for x in found.values()) == [1] * 21 + [2]
    assert "e20" in sink.table


async def test_a_new_process_tries_a_few_before_it_tries_all(stores: Stores, sink: KeyedSink) -> None:
    await pending(stores, sink, 40)
    await run(stores, sink, enrichers=[Broken()])
    assert sink.batches == [["e0"], ["e1"], ["e2"]]
    assert sorted(x.attempts for x in await all_letters(stores.letters)) == [1] * 37 + [2] * 3


async def test_when_the_service_is_back_all_that_is_pending_is_repaired_without_a_person(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 300)
    stop = asyncio.Event()
    running = asyncio.create_task(run(stores, sink, stop, FLOW, enrichers=[titles]))
    await until(lambda: titles.asked)
    assert len(await all_letters(stores.letters)) == 300
    titles.away = False
    await left(stores, 0)
    stop.set()
    await running
    assert all(e.context for e in sink.table.values())
    assert sorted(s for batch in sink.batches for s in batch) == sorted(f"e{n}" for n in range(300))  # none of them twice
    assert sink.batches[0] == ["e0"]
    assert max(map(len, sink.batches)) == FLOW.batch_events


async def left(stores: Stores, amount: int) -> None:
    """Returns once so many letters are left."""
    async with asyncio.timeout(30):
        while len(await all_letters(stores.letters)) > amount:  # noqa: ASYNC110 - the file has no event
            await asyncio.sleep(0.01)


async def test_repairs_take_at_most_half_of_the_bulks_and_one_when_live_events_need_all(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 60)
    titles.away = False
    flow, stop, free = FLOW._replace(in_flight=6), asyncio.Event(), asyncio.Event()
    inside: list[bool] = []

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        if events[0].subject != "e0":
            inside.append(int(events[0].subject[1:]) < 60)
            await free.wait()
        return await sink.store(events)

    sink.always = write
    running = asyncio.create_task(run(stores, sink, stop, flow, enrichers=[titles]))
    await until(lambda: len(inside) >= 3)
    await asyncio.sleep(5 * FLOW.wait)
    assert inside == [True] * 3
    await publish(stores, 40, first=60)
    await until(lambda: len(inside) >= 9)
    await asyncio.sleep(5 * FLOW.wait)
    assert (inside.count(True), inside.count(False)) == (3, 6)
    free.set()
    await committed(stores, 100)
    await left(stores, 0)
    stop.set()
    await running
    assert len(sink.table) == 100


async def test_while_live_events_need_all_bulks_one_more_repairs(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 20)
    held = await all_letters(stores.letters)
    await stores.letters.requeue([x.id for x in held], datetime.now(UTC) + timedelta(hours=1))
    titles.away = False
    stop, free = asyncio.Event(), asyncio.Event()
    inside: list[bool] = []

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        if events[0].subject != "e0":
            inside.append(int(events[0].subject[1:]) < 20)
            await free.wait()
        return await sink.store(events)

    sink.always = write
    await publish(stores, 40, first=20)
    running = asyncio.create_task(run(stores, sink, stop, FLOW._replace(in_flight=6), enrichers=[titles]))
    await until(lambda: len(inside) >= 6)
    await make_due(stores)
    await until(lambda: len(inside) >= 7)
    await asyncio.sleep(10 * FLOW.wait)
    assert inside == [False] * 6 + [True]
    free.set()
    await left(stores, 0)
    stop.set()
    await running


async def test_no_letter_is_under_repair_twice_however_long_it_takes(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 5)
    titles.away = False
    stop, free = asyncio.Event(), asyncio.Event()
    begun: list[str] = []

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        begun.extend(e.subject for e in events)
        if "e0" not in begun[-1:]:
            await free.wait()
        return await sink.store(events)

    sink.always = write
    running = asyncio.create_task(run(stores, sink, stop, FLOW._replace(in_flight=8), enrichers=[titles]))
    await until(lambda: len(begun) == 5)
    await asyncio.sleep(10 * FLOW.due_every)
    free.set()
    await left(stores, 0)
    stop.set()
    await running
    assert begun == ["e0", "e1", "e2", "e3", "e4"]


async def test_when_the_service_is_back_nobody_waits_for_the_next_look(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 3)
    stop = asyncio.Event()
    running = asyncio.create_task(run(stores, sink, stop, FLOW._replace(due_every=3600), enrichers=[titles]))
    await publish(stores, 1, first=3)
    await committed(stores, 4)
    titles.away = False
    await make_due(stores)
    await left(stores, 0)
    stop.set()
    await running


async def test_due_letters_are_repaired_however_many_live_events_there_are(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 10)
    titles.away = False
    stop = asyncio.Event()

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        if not stop.is_set():  # the queue never gets empty
            await publish(stores, 2, first=1000 * (1 + len(sink.batches)))
        return await sink.store(events)

    sink.always = write
    await publish(stores, 20, first=10)
    running = asyncio.create_task(run(stores, sink, stop, FLOW._replace(in_flight=2), enrichers=[titles]))
    await left(stores, 0)
    stop.set()
    await running
    assert all(sink.table[f"e{n}"].context for n in range(10))


async def test_f36_a_repeat_while_the_service_is_away_makes_nothing_poorer(stores: Stores, sink: KeyedSink) -> None:
    await publish(stores, 5)
    titles = Titles()
    await run(stores, sink, enrichers=[titles])
    titles.away = True
    await publish(stores, 5)
    await run(stores, sink, enrichers=[titles])
    assert all(e.context for e in sink.table.values())
    assert len(await all_letters(stores.letters)) == 5
    assert await position(stores, SINK) == 10


async def test_what_cannot_be_looked_up_is_tried_less_and_less_often(stores: Stores, sink: KeyedSink) -> None:
    class Unlucky(Titles):
        """It is there, but knows nothing to say of e0."""

        async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
            found = await super().enrich(events, patient=patient)
            return [old if old.subject == "e0" else new for old, new in zip(events, found, strict=True)]

    await publish(stores, 4)
    for attempts, seconds in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80)]:
        await run(stores, sink, enrichers=[Unlucky()])
        (letter,) = await make_due(stores)
        assert letter.due is not None
        assert letter.attempts == attempts
        assert (letter.due - letter.last).total_seconds() == pytest.approx(seconds, abs=1)


async def test_due_letters_are_one_members_turn_and_the_next_takes_over_when_he_is_gone(stores: Stores, sink: KeyedSink) -> None:
    titles = await pending(stores, sink, 20)
    titles.away = False
    turn, stop = Turn(Owners(stores.coverages, REPAIRS), SINK), asyncio.Event()
    async with stores.coverages.lease(REPAIRS, SINK, "another member"):
        await publish(stores, 5, first=20)
        await run(stores, sink, enrichers=[titles], turn=turn)
        assert sorted(x.attempts for x in await all_letters(stores.letters)) == [1] * 20
        assert await position(stores) == 25  # what the queue gives is not held up
        running = asyncio.create_task(run(stores, sink, stop, enrichers=[titles], turn=turn))
        await until(lambda: sink.batches != [])
        assert not turn.ours
    await until(lambda: turn.ours)
    async with asyncio.timeout(30):
        while await all_letters(stores.letters):  # noqa: ASYNC110 - the file has no event
            await asyncio.sleep(0.001)
    stop.set()
    await running
    assert await stores.coverages.owners(REPAIRS) == {}
