"""A batch whose enrichment or parts fail: what waits as a due letter, what is repaired, what poisons nobody else."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumers.protocols import Rejection
from harvester.errors import InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from harvester.letters import open_letters
from harvester.measures import REGISTRY
from harvester.protocols import DeadLetters, Delivery, Message
from tests.consuming import counted, deliveries, events, processing
from tests.fakes import KeyedSink, Titles, failing, message
from tests.taps import all_letters


@pytest.fixture
async def letters(tmp_path: Path) -> AsyncIterator[DeadLetters]:
    async with open_letters(f"sqlite:///{tmp_path}/letters.db") as letters:
        yield letters


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


# Enrichment and repair


async def test_f36_an_event_whose_look_up_failed_is_delivered_and_waits_as_a_due_letter(
    letters: DeadLetters, sink: KeyedSink
) -> None:
    titles = Titles(away=True)
    batch = deliveries(message("e0"), message("plain1"))
    assert await processing(sink, letters, enrichers=[titles]).process(batch) == counted(2, 2, pending=1)
    assert sink.table.keys() == {"e0", "plain1"}
    (letter,) = await all_letters(letters)
    assert (letter.stage, letter.reason, letter.body) == ("enrich", "pending", message("e0").body)
    assert letter.due is not None
    assert timedelta(seconds=4) < letter.due - letter.last <= timedelta(seconds=5)


async def test_a_pending_letter_is_repaired_when_the_service_answers_again(letters: DeadLetters, sink: KeyedSink) -> None:
    titles = Titles(away=True)
    work = processing(sink, letters, enrichers=[titles])
    await work.process(events(2))
    assert await work.repair(await all_letters(letters)) == (0, 2)
    assert [x.attempts for x in await all_letters(letters)] == [2, 2]
    assert all(x.due for x in await all_letters(letters))
    titles.away = False
    assert await work.repair(await all_letters(letters)) == (2, 0)
    assert await all_letters(letters) == []
    assert all(e.context for e in sink.table.values())


async def test_only_a_repair_is_patient_for_events_wait_behind_a_batch(letters: DeadLetters, sink: KeyedSink) -> None:
    asked: list[bool] = []

    class Slow(Titles):
        """Too slow for who has no patience."""

        async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
            asked.append(patient)
            return await super().enrich(events, patient=patient) if patient else events

    work = processing(sink, letters, enrichers=[Slow()])
    await work.process(events(2))
    assert await work.repair(await all_letters(letters)) == (2, 0)
    assert asked == [False, True]


async def test_an_outage_of_the_metadata_is_told_once_and_its_end_once(letters: DeadLetters, sink: KeyedSink) -> None:
    titles = Titles(away=True)
    with capture_logs() as told:
        work = processing(sink, letters, enrichers=[titles])
        for name in "abc":
            await work.process(events(2, name))
        titles.away = False
        for letter in await all_letters(letters):
            await work.repair([letter])
    assert [(x["log_level"], x["event"]) for x in told] == [
        ("warning", "events are written without their enrichment, which is made later by itself"),
        ("info", "what is pending is being completed"),
    ]
    assert told[0]["next"] == "harvest dead-letters list --group keyed --reason pending"


async def test_what_is_pending_repaired_and_left_is_counted(letters: DeadLetters, sink: KeyedSink) -> None:
    def counted_in(name: str) -> float:
        return REGISTRY.get_sample_value(f"harvester_events_{name}_total", {"sink": sink.name}) or 0.0

    before, titles = (counted_in("pending"), counted_in("repaired")), Titles(away=True)
    work = processing(sink, letters, enrichers=[titles])
    await work.process(events(3))
    titles.away = False
    await work.repair((await all_letters(letters))[:2])
    assert (counted_in("pending") - before[0], counted_in("repaired") - before[1]) == (3, 2)


async def test_f34_a_letter_that_is_refused_again_waits_for_a_person_with_one_more_attempt(
    letters: DeadLetters, sink: KeyedSink
) -> None:
    work = processing(sink, letters)
    sink.always = sink.refusing(["e0"])
    await work.process([*events(2), Delivery(Message("k", b"bad"), 3)])
    await letters.requeue([x.id for x in await all_letters(letters)], datetime.now(UTC))
    assert await work.repair(await all_letters(letters)) == (0, 0)
    found = await all_letters(letters)
    assert [(x.attempts, x.due) for x in found] == [(2, None)] * 2
    assert {x.body for x in found} == {message("e0").body, b"bad"}
    sink.always = None
    assert await work.repair(found) == (1, 0)
    assert [x.body for x in await all_letters(letters)] == [b"bad"]


async def test_a_letter_is_removed_only_after_it_was_written(letters: DeadLetters, sink: KeyedSink) -> None:
    work = processing(sink, letters)
    sink.always = sink.refusing(["e0"])
    await work.process(events(1))
    sink.always = failing(PermanentError("gone"))
    with pytest.raises(PermanentError):
        await work.repair(await all_letters(letters))
    assert len(await all_letters(letters)) == 1


# Parts that break their contract, and poison


@pytest.mark.parametrize("at", [0, 3, 6])
async def test_f34_an_event_that_makes_the_sink_raise_becomes_a_letter_and_holds_nobody_up(
    letters: DeadLetters, sink: KeyedSink, at: int
) -> None:
    tries = 0

    async def write(events: Sequence[Event]) -> Sequence[Rejection]:
        nonlocal tries
        tries += len(events) == 7
        if any(e.subject == f"e{at}" for e in events):
            raise KeyError("a mistake of ours")
        return await sink.store(events)

    sink.always = write
    assert await processing(sink, letters).process(events(7)) == counted(7, 6, dead=1)
    (letter,) = await all_letters(letters)
    assert (letter.reason, letter.body) == ("exception", message(f"e{at}").body)
    assert "a mistake of ours" in letter.error
    assert tries == 3


async def test_f34_an_event_that_makes_an_enricher_raise_becomes_a_letter(letters: DeadLetters, sink: KeyedSink) -> None:
    class Poisoned(Titles):
        async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
            if any(e.subject == "e2" for e in events):
                raise RecursionError
            return await super().enrich(events, patient=patient)

    work = processing(sink, letters, enrichers=[Poisoned()])
    assert await work.process(events(4)) == counted(4, 3, dead=1)
    assert [x.body for x in await all_letters(letters)] == [message("e2").body]


async def test_a_socket_that_breaks_is_nobodys_fault(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.script = [failing(ConnectionResetError("reset"))]
    with pytest.raises(ConnectionResetError):
        await processing(sink, letters).process(events(3))
    assert await all_letters(letters) == []


async def test_an_enricher_that_drops_an_event_stops_the_sink_instead_of_losing_it(letters: DeadLetters, sink: KeyedSink) -> None:
    class Dropping(Titles):
        async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
            return events[1:]

    with pytest.raises(PermanentError, match="gave back 2"):
        await processing(sink, letters, enrichers=[Dropping()]).process(events(3))
    assert sink.table == {}


@pytest.mark.parametrize("error", [InvalidEventError("no"), TransientError("busy")])
async def test_a_rejection_of_an_event_that_was_not_given_stops_the_sink_instead_of_losing_it(
    letters: DeadLetters, sink: KeyedSink, error: InvalidEventError | TransientError
) -> None:
    async def copies(events: Sequence[Event]) -> Sequence[Rejection]:
        from msgspec.structs import replace

        return [Rejection(replace(events[0], version=9), error)]

    sink.script = [copies]
    with pytest.raises(PermanentError, match="not given"):
        await processing(sink, letters).process(events(2))
