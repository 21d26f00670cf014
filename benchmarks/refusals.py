"""Events that the mapping of a real Elasticsearch refuses: what they cost, what becomes of them, and too many of them."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from benchmarks import index
from benchmarks.actions import FIRST_HOUR, batched, row
from benchmarks.measure import Cost, Scale, Verdict, cost_of, faster, in_turn
from benchmarks.paths import drained, opened_letters, opened_queue, opened_sink, warm_episodes
from consumers.batch import BreakerError
from consumers.protocols import Sink
from harvester.event import encode_event
from harvester.protocols import Message, Queue
from harvester.sources.opencast_rows import useraction_event

TARGET = 0.7
SOON = 30.0
FEW, MANY = 100, 5
"""Every hundredth event is refused, and every fifth: 1 % and 20 %."""
_NUMBER = re.compile(rb'"userId":\d+')
# As somebody wrote it who had only seen numbers. Ours is a keyword.
WRONG = {"huid": {"type": "long"}}
MENDED = {"properties": {"huid": {"type": "long", "ignore_malformed": True}}}


class Mended(NamedTuple):
    """What became of the refused after the mapping was put right."""

    seconds: float
    letters: int
    documents: int
    reasons: Mapping[str, int]
    """Of the letters there were."""


async def run(scale: Scale, folder: Path) -> list[Verdict]:
    """Throughput with 1 % refused beside none; then the mapping is mended and the letters are made due; then 20 % are refused."""
    events, rounds = scale.events * 10, max(1, scale.rounds // 3)
    with index.running() as url:
        async with opened_sink(url) as sink:
            pairs = await _pairs(url, sink, folder, events, rounds)
            mended = await proof(url, sink, folder / "proof", events)
            stopped = await too_many(url, sink, folder / "many", min(events, 10_000))
    told = f"{mended.documents:,} documents, {mended.letters} letters left of {dict(mended.reasons)}"
    return [
        faster("refusals: 1 % by the mapping", TARGET, pairs, "none"),
        Verdict("refusals: made due, and written", [mended.seconds], SOON, "s", at_least=False, details=told),
        Verdict("refusals: 20 %, nothing is committed", [0.0], 0.0, "events", at_least=False, details=stopped),
    ]


async def _pairs(url: str, sink: Sink, folder: Path, events: int, rounds: int) -> list[tuple[Cost, Cost]]:
    turns = iter(range(1000))
    async with held_in(folder / "refused", events, FEW) as some, held_in(folder / "clean", events, 0) as none:

        async def into(queue: Queue, refused: int) -> Cost:
            group = f"bench{next(turns)}"
            await begun(url, events)
            enricher = await warm_episodes()
            async with opened_letters(folder / group) as letters:
                cost = await cost_of(events, lambda: drained(queue, letters, sink, enricher=enricher, group=group))
                assert (await letters.counts()).get(sink.name, {}).get("mapping", 0) == refused
            return cost

        return await in_turn(rounds, lambda: into(some, events // FEW), lambda: into(none, 0))


@asynccontextmanager
async def held_in(place: Path, events: int, refused: int) -> AsyncIterator[Queue]:
    """A queue that holds so many events, of which every `refused`-th has a viewer whose id is no number; 0: none has."""
    await asyncio.to_thread(place.mkdir)
    async with opened_queue(place) as queue:
        for some in batched(messages(events, refused), 1000):
            await queue.publish(some)
        yield queue


async def begun(url: str, events: int) -> None:
    """Indexes for the days of the events, with the wrong mapping."""
    days = {f"{FIRST_HOUR + timedelta(seconds=second):%Y.%m.%d}" for second in range(0, events + 86400, 86400)}
    await index.begin(url, **dict.fromkeys(days, WRONG))


def messages(amount: int, refused: int) -> Iterator[Message]:
    """The events of `held_in`."""
    zone = ZoneInfo("UTC")
    for number in range(1, amount + 1):
        created = FIRST_HOUR + timedelta(seconds=number)
        data = row(number, created)
        if refused and number % refused == 0:
            data = _NUMBER.sub(b'"userId":"guest"', data)
        event = useraction_event(data, "opencast", created, zone)
        yield Message(event.key, encode_event(event))


async def proof(url: str, sink: Sink, place: Path, events: int) -> Mended:
    """1 % refused, the mapping mended, and the letters made due: nothing is left and everything is there."""
    async with held_in(place, events, FEW) as queue, opened_letters(place) as letters:
        await begun(url, events)
        enricher = await warm_episodes()
        await drained(queue, letters, sink, enricher=enricher, group=sink.name)
        held = [letter async for letter in letters.scan(sink.name)]
        assert len(held) == events // FEW == events - await index.count(url)
        assert all("huid" in letter.error and letter.due is None for letter in held)
        await index.ask(url, "PUT", f"/{index.PATTERN}/_mapping", MENDED)
        began = time.perf_counter()
        for some in batched(held, 500):
            await letters.requeue([letter.id for letter in some], datetime.now(UTC) - timedelta(seconds=1))
        await drained(queue, letters, sink, enricher=enricher, group=sink.name)
        seconds = time.perf_counter() - began
        left = [letter async for letter in letters.scan("")]
        found = Mended(seconds, len(left), await index.count(url), Counter(letter.reason for letter in held))
        assert (found.letters, found.documents) == (0, events)
        return found


async def too_many(url: str, sink: Sink, place: Path, events: int) -> str:
    """20 % refused: what the sink says when it stops; nothing is committed, and nothing is a letter."""
    async with held_in(place, events, MANY) as queue, opened_letters(place) as letters:
        await begun(url, events)
        try:
            await drained(queue, letters, sink, enricher=await warm_episodes(), group=sink.name)
        except BreakerError as error:
            assert sum((await queue.lag(sink.name)).values()) == events
            assert [letter async for letter in letters.scan("")] == []
            return str(error)
    raise AssertionError("the sink went on with 20 % refused")
