"""What a replay holds at once: bounded in events, in batches and in bytes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from consumers.archived import Archived
from consumers.protocols import Pace
from harvester.commands.replay_feed import batches, feed, most_of
from harvester.commands.replay_read import Reading
from harvester.event import encode_event
from harvester.protocols import Delivery
from harvester.settings import CoreSettings
from tests.useractions import useraction_event


def one(number: int, size: int = 0) -> Archived:
    event = useraction_event(number, title="x" * size)
    return Archived(event, encode_event(event), f"segment:{number}")


def reading(*parts: Sequence[Archived]) -> Reading:
    async def found() -> AsyncIterator[Sequence[Archived]]:
        for part in parts:
            yield part

    read = Reading(sum(map(len, parts)))
    read.events = found()
    return read


SMALL = len(one(10).body)
LARGE = len(one(10, 10_000).body)


@pytest.mark.parametrize(
    ("most", "size", "expected"),
    [(4, 10**9, [4, 4, 3]), (100, 3 * SMALL, [3, 3, 3, 1, 1]), (100, 1, [1] * 11), (100, LARGE + 10 * SMALL, [11])],
)
async def test_a_batch_has_no_more_events_nor_bytes_than_are_set(most: int, size: int, expected: list[int]) -> None:
    parts = [one(n) for n in range(10, 15)], [one(n) for n in range(15, 20)], [one(20, 10_000)]
    found = [list(batch) async for batch in batches(reading(*parts), most, size)]
    assert [len(batch) for batch in found] == expected
    assert [event for batch in found for event in batch] == [event for part in parts for event in part]


class Way:
    """A sink to which a batch takes two turns of the loop; what was in it at most at the same time."""

    def __init__(self, shared: dict[str, int]) -> None:
        self._shared = shared

    async def process(self, deliveries: Sequence[Delivery]) -> dict[str, int]:
        size = sum(len(delivery.message.body) for delivery in deliveries)
        now = self._shared
        now["batches"] += 1
        now["bytes"] += size
        now["most batches"], now["most bytes"] = max(now["most batches"], now["batches"]), max(now["most bytes"], now["bytes"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now["batches"] -= 1
        now["bytes"] -= size
        return {"consumed": len(deliveries)}


@pytest.mark.parametrize(("in_flight", "size", "batches_", "bytes_"), [(4, 10**9, 4, 10**9), (8, 2 * LARGE, 2, 2 * LARGE)])
async def test_all_sinks_together_have_no_more_batches_nor_bytes_in_work_than_are_set(
    in_flight: int, size: int, batches_: int, bytes_: int
) -> None:
    shared = dict.fromkeys(("batches", "bytes", "most batches", "most bytes"), 0)
    ways: Any = {"one": Way(shared), "two": Way(shared)}
    core = SimpleNamespace(in_flight=in_flight, in_flight_bytes=size, batch_events=1, batch_bytes=10**9)
    counts = await feed(reading([one(n, 10_000) for n in range(10, 22)]), ways, cast("CoreSettings", core))
    assert {name: found["consumed"] for name, found in counts.items()} == {"one": 12, "two": 12}
    assert shared["most batches"] == batches_
    assert shared["most bytes"] <= bytes_


def test_a_replay_gives_larger_batches_and_what_a_sink_to_which_each_costs_asks_for() -> None:
    core = cast("CoreSettings", SimpleNamespace(batch_events=1000))
    plain: Any = SimpleNamespace(name="duckdb")
    costly: Any = SimpleNamespace(name="bigquery", pace=Pace(20_000, 300.0))
    assert (most_of([plain], core), most_of([plain, costly], core)) == (5000, 20_000)
