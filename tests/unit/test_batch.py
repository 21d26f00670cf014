"""One batch on its way through a sink: what is written, what becomes a letter, what is tried again."""

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from consumers.batch import BreakerError, Processing
from consumers.breaker import Breaker
from consumers.protocols import Rejection
from consumers.writing import Patience, StoppedError
from harvester import measures
from harvester.errors import ConfigError, InvalidEventError, PermanentError, TransientError
from harvester.event import Event, encode_event
from harvester.letters import open_letters
from harvester.metrics import SinkMetrics
from harvester.protocols import DeadLetters, Message
from tests.consuming import counted, deliveries, events, processing
from tests.fakes import SINK, KeyedSink, Titles, failing, message
from tests.taps import all_letters, fails, tap_on, tapped


@pytest.fixture
async def letters(tmp_path: Path) -> AsyncIterator[DeadLetters]:
    async with open_letters(f"sqlite:///{tmp_path}/letters.db") as letters:
        yield letters


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


class _Too:
    """A sink that refuses whole whatever holds a guilty event, as an API does that answers 400 or 413."""

    def __init__(self, sink: KeyedSink, guilty: set[str], most: int = 10**9) -> None:
        self.calls = 0
        self._sink, self._guilty, self._most = sink, guilty, most

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        self.calls += 1
        if len(events) > self._most or any(e.subject in self._guilty for e in events):
            raise InvalidEventError("400 for all of it", reason="mapping")
        return await self._sink.store(events)


async def test_a_batch_is_written_and_counted(letters: DeadLetters, sink: KeyedSink) -> None:
    assert await processing(sink, letters).process(events(3)) == counted(3, 3)
    assert sink.batches == [["e0", "e1", "e2"]]


async def test_how_late_a_change_is_counts_from_the_change_and_not_from_when_the_thing_began(
    letters: DeadLetters, sink: KeyedSink
) -> None:
    told: list[float] = []
    metrics = SinkMetrics("told")
    metrics.latency = lambda seconds: told.append(float(str(seconds)))  # type: ignore[method-assign]
    now = datetime.now(UTC)
    began, changed = now - timedelta(days=200), int((now - timedelta(seconds=60)).timestamp() * 1000)
    for version in (changed, 12, 2**61):
        event = Event(
            id=str(version), source="s", type="t", subject="x", version=version, time=began, read_at=now, data=msgspec.Raw(b"{}")
        )
        await processing(sink, letters, metrics=metrics).process(deliveries(Message(event.key, encode_event(event))))
    assert 60 <= told[0] < 120
    assert [round(seconds / 86400) for seconds in told[1:]] == [200, 200], "a version that is no time of a change says nothing"


class _Knowing(KeyedSink):
    """A sink that tells what it had already."""

    had = 2

    def duplicates(self) -> int:
        had, self.had = self.had, 0
        return had


async def test_what_the_sink_says_it_had_already_is_counted_once(letters: DeadLetters) -> None:
    metrics = SinkMetrics("knowing")
    work = Processing(_Knowing("knowing"), letters, asyncio.Event(), metrics=metrics)
    for _ in range(2):
        await work.process(events(3))
    assert measures.REGISTRY.get_sample_value("harvester_events_duplicate_total", {"sink": "knowing"}) == 2


async def test_what_is_waited_out_is_told_with_its_reason_and_its_seconds(letters: DeadLetters, sink: KeyedSink) -> None:
    told: list[tuple[str, float]] = []
    sink.script = [failing(TransientError("busy", retry_after=0.001)), failing(TransientError("away"))]
    work = Processing(sink, letters, asyncio.Event(), first_pause=0.001, on_wait=lambda e, s: told.append((str(e), s)))
    await work.process(events(1))
    assert [reason for reason, _ in told] == ["busy", "away"]
    assert told[0][1] == 0.001
    assert all(0 < seconds <= 0.002 for _, seconds in told)


class _Request(bytearray):
    """A body, which tells whether anybody holds it."""


async def test_while_an_outage_is_waited_out_no_request_that_failed_is_held(letters: DeadLetters, sink: KeyedSink) -> None:
    held: list[weakref.ref[_Request]] = []
    alive: list[bool] = []

    async def refused(_: Sequence[Event]) -> Sequence[Rejection]:
        body = _Request(b"all of it")
        held.append(weakref.ref(body))
        error = TransientError("away")
        cycle = [error]  # as clients make them: only the collector of cycles, which rests in a daemon, would find it
        cycle.append(cycle)  # type: ignore[arg-type]
        raise error

    sink.script = [refused, refused]
    gc.disable()
    try:
        work = Processing(
            sink, letters, asyncio.Event(), first_pause=0.001, on_wait=lambda *_: alive.append(any(ref() for ref in held))
        )
        await work.process(events(1))
    finally:
        gc.enable()
    assert alive == [False, False]


async def test_what_the_sink_does_not_want_is_filtered(letters: DeadLetters, sink: KeyedSink) -> None:
    wanted = processing(sink, letters, wants=lambda e: e.subject != "e1")
    assert await wanted.process(events(3)) == counted(3, 2, filtered=1)
    assert sink.versions() == {"e0": 0, "e2": 0}
    nothing = processing(sink, letters, wants=lambda _: False)
    assert await nothing.process(events(3)) == counted(3, 0, filtered=3)
    assert len(sink.batches) == 1


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_f34_an_undecodable_message_is_a_letter_with_its_bytes_and_its_neighbours_pass(
    letters: DeadLetters, sink: KeyedSink, at: int
) -> None:
    batch = [message("e0"), message("e1")]
    batch.insert(at, Message("k", b"\xff no envelope"))
    assert await processing(sink, letters).process(deliveries(*batch)) == counted(3, 2, dead=1)
    (letter,) = await all_letters(letters)
    assert (letter.group, letter.stage, letter.reason) == (SINK, "decode", "undecodable")
    assert (letter.body, letter.key, letter.position, letter.due) == (b"\xff no envelope", "k", str(at + 1), None)


async def test_an_envelope_of_a_newer_format_stops_and_is_no_letter(letters: DeadLetters, sink: KeyedSink) -> None:
    newer = Message("k", message("e0").body.replace(b'"format":1', b'"format":2'))
    with pytest.raises(ConfigError):
        await processing(sink, letters).process(deliveries(newer))
    assert (await all_letters(letters), sink.table) == ([], {})


async def test_f31_a_refused_item_is_a_letter_and_the_others_are_delivered(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.always = sink.refusing(["e1"])
    assert await processing(sink, letters).process(events(3)) == counted(3, 2, dead=1)
    (letter,) = await all_letters(letters)
    assert (letter.stage, letter.reason, letter.body) == ("write", "mapping", message("e1").body)
    assert (letter.error, letter.attempts) == ("InvalidEventError: e1 does not fit", 1)


async def test_f31_a_busy_item_is_tried_again_alone(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.script = [sink.refusing(["e1", "e3"], lambda _: TransientError("429")), sink.refusing(["e3"])]
    assert await processing(sink, letters).process(events(4)) == counted(4, 3, dead=1)
    assert sink.batches == [["e0", "e2"], ["e1"]]
    assert [x.event_id for x in await all_letters(letters)]


@pytest.mark.parametrize("guilty", [0, 1, 999, 1000, 1998, 1999])
async def test_f32_halving_finds_exactly_the_guilty_one_of_two_thousand(
    letters: DeadLetters, sink: KeyedSink, guilty: int
) -> None:
    whole = _Too(sink, {f"e{guilty}"})
    sink.always = whole.write
    assert await processing(sink, letters).process(events(2000)) == counted(2000, 1999, dead=1)
    assert [x.body for x in await all_letters(letters)] == [message(f"e{guilty}").body]
    assert len(sink.table) == 1999
    assert whole.calls <= 23


async def test_f32_halving_finds_all_that_are_guilty_and_nobody_else(letters: DeadLetters, sink: KeyedSink) -> None:
    guilty = {f"e{n}" for n in random.Random(7).sample(range(500), 20)}
    sink.always = _Too(sink, guilty).write
    assert await processing(sink, letters).process(events(500)) == counted(500, 480, dead=20)
    assert {x.body for x in await all_letters(letters)} == {message(s).body for s in guilty}
    assert sink.table.keys() == {f"e{n}" for n in range(500)} - guilty


async def test_f32_a_batch_that_is_too_large_is_written_in_parts_and_nothing_is_refused(
    letters: DeadLetters, sink: KeyedSink
) -> None:
    sink.always = _Too(sink, set(), most=100).write
    assert await processing(sink, letters).process(events(1000)) == counted(1000, 1000)


async def test_f32_a_timeout_writes_the_whole_batch_again(letters: DeadLetters, sink: KeyedSink) -> None:
    async def applied_but_cut(events: Sequence[Event]) -> Sequence[Rejection]:
        await sink.store(events)
        raise TransientError("the answer was cut")

    sink.script = [applied_but_cut, failing(TransientError("503"))]
    assert await processing(sink, letters).process(events(2)) == counted(2, 2)
    assert sink.batches == [["e0", "e1"]] * 2


async def test_an_outage_is_never_the_events_fault(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.script = [failing(TransientError("503"))] * 50
    assert await processing(sink, letters).process(events(200)) == counted(200, 200)
    assert await all_letters(letters) == []


async def test_a_permanent_error_stops_with_nothing_decided(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.script = [failing(PermanentError("401"))]
    with pytest.raises(PermanentError):
        await processing(sink, letters).process(events(2))
    assert await all_letters(letters) == []


async def test_a_told_wait_is_kept_and_zero_is_no_answer(
    letters: DeadLetters, sink: KeyedSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def pause(_: Patience, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(Patience, "pause", pause)
    sink.script = [failing(TransientError("x", retry_after=told)) for told in (7, 0, None, 10**9)]
    await Processing(sink, letters, asyncio.Event(), first_pause=1.0).process(events(1))
    assert waits[0] == 7
    assert all(wait >= 0.5 for wait in waits), "a storm"
    assert waits[3] <= 900


async def test_a_stop_ends_the_wait_at_once_with_nothing_decided(letters: DeadLetters, sink: KeyedSink) -> None:
    stop = asyncio.Event()
    sink.always = failing(TransientError("down", retry_after=600))
    batch = asyncio.create_task(processing(sink, letters, stop=stop).process(events(2)))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(30):
        with pytest.raises(StoppedError):
            await batch
    assert await all_letters(letters) == []


async def test_f34_no_letter_no_end_while_letters_cannot_be_stored(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.always = sink.refusing(["e1"])
    closed = tapped(letters, tap_on({"add": fails(TransientError("locked"))}))
    with pytest.raises(TransientError, match="locked"):
        await processing(sink, closed).process(events(3))


async def test_f35_too_many_refused_raise_and_store_nothing(letters: DeadLetters, sink: KeyedSink) -> None:
    sink.always = sink.refusing({f"e{n}" for n in range(100)})
    with pytest.raises(BreakerError, match=r"100 of 200 .*e0 does not fit.*--accept-rejections"):
        await processing(sink, letters).process(events(200))
    assert await all_letters(letters) == []
    accepting = processing(sink, letters, breaker=Breaker(accept=True))
    assert await accepting.process(events(200)) == counted(200, 100, dead=100)


async def test_f35_what_waits_for_its_enrichment_does_not_count(letters: DeadLetters, sink: KeyedSink) -> None:
    away = processing(sink, letters, enrichers=[Titles(away=True)])
    assert await away.process(events(500)) == counted(500, 500, pending=500)


async def test_f35_undecodable_messages_count(letters: DeadLetters, sink: KeyedSink) -> None:
    bad = deliveries(*(Message("k", b"bad %d" % n) for n in range(100)))
    with pytest.raises(BreakerError):
        await processing(sink, letters).process(bad)
