"""Printing: what a source publishes is written at once; what cannot be is not covered, or is a letter."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from consumers.direct import DirectQueue
from consumers.protocols import Rejection
from harvester.coverage import Intervals
from harvester.errors import InvalidEventError, PermanentError, TransientError
from harvester.event import Event
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from tests.fakes import HOUR, NOON, SINK, STREAM, Clock, KeyedSink, Titles, Vendor, failing, message
from tests.harvesting import AT_ONCE, SMALL
from tests.taps import Stores, all_letters, open_stores


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[Stores]:
    async with open_stores(tmp_path, clock) as stores:
        yield stores


@pytest.fixture
def sink() -> KeyedSink:
    return KeyedSink()


async def test_what_is_published_is_enriched_and_written_when_it_returns(stores: Stores, sink: KeyedSink) -> None:
    direct = DirectQueue(sink, [Titles()], stores.letters)
    await direct.publish([message("e0"), message("e1")], {"read": 2})
    assert sink.batches == [["e0", "e1"]]
    assert all(e.context for e in sink.table.values())
    assert direct.id == SINK


async def test_counts_without_messages_write_nothing(stores: Stores, sink: KeyedSink) -> None:
    await DirectQueue(sink, [], stores.letters).publish([], {"filtered": 3})
    assert sink.batches == []


async def test_what_the_sink_refuses_is_a_letter_and_the_others_are_written(stores: Stores, sink: KeyedSink) -> None:
    sink.always = sink.refusing(["e1"])
    direct = DirectQueue(sink, [], stores.letters)
    await direct.publish([message(f"e{n}") for n in range(3)])
    (letter,) = await all_letters(stores.letters)
    assert (letter.group, letter.stage, letter.reason, letter.body) == (SINK, "write", "mapping", message("e1").body)
    assert sink.table.keys() == {"e0", "e2"}
    assert direct.refused == [message("e1").key]


async def test_a_batch_that_is_refused_whole_is_halved_until_the_guilty_one_is_alone(stores: Stores, sink: KeyedSink) -> None:
    async def whole(events: Sequence[Event]) -> Sequence[Rejection]:
        if any(e.subject == "e5" for e in events):
            raise InvalidEventError("400", reason="mapping")
        return await sink.store(events)

    sink.always = whole
    await DirectQueue(sink, [], stores.letters).publish([message(f"e{n}") for n in range(9)])
    assert [x.body for x in await all_letters(stores.letters)] == [message("e5").body]
    assert len(sink.table) == 8


@pytest.mark.parametrize("error", [TransientError("busy"), PermanentError("the reader is gone")])
async def test_what_could_not_be_written_is_not_covered(stores: Stores, sink: KeyedSink, clock: Clock, error: Exception) -> None:
    vendor = Vendor(clock)
    vendor.fill(NOON - HOUR, 6)
    book = OpenBook(stores.coverages, "vendor.stdout", SINK)
    await book.load()
    direct = DirectQueue(sink, [], stores.letters)
    harvest = Harvest(vendor, vendor.stream, direct, book, stores.letters, limits=SMALL, retry=AT_ONCE)
    sink.always = failing(error)
    with pytest.raises(type(error)):
        await harvest.poll(NOON - HOUR)
    assert book.coverage(STREAM).read == ()
    sink.always = None
    await harvest.poll(NOON)
    assert book.coverage(STREAM).read == Intervals([(NOON - HOUR, NOON)])
    assert sink.versions() == vendor.truth()


async def test_a_busy_item_is_an_error_of_the_whole_batch_that_is_tried_again(stores: Stores, sink: KeyedSink) -> None:
    sink.script = [sink.refusing(["e1"], lambda _: TransientError("429"))]
    direct = DirectQueue(sink, [], stores.letters)
    batch = [message("e0"), message("e1")]
    with pytest.raises(TransientError):
        await direct.publish(batch)
    await direct.publish(batch)
    assert sink.table.keys() == {"e0", "e1"}


async def test_what_has_no_enrichment_is_printed_without_it(stores: Stores, sink: KeyedSink) -> None:
    await DirectQueue(sink, [Titles(away=True)], stores.letters).publish([message("e0")])
    assert sink.table["e0"].context == {}
