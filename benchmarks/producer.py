"""A paged API → the SQLite queue."""

from datetime import timedelta
from pathlib import Path

import httpx

from benchmarks import naive
from benchmarks.actions import FIRST_HOUR
from benchmarks.measure import Cost, Scale, Verdict, cheaper, cost_of, in_turn
from benchmarks.paths import harvesting, opened_letters, opened_queue
from benchmarks.servers import serving
from harvester.coverage import Interval

TARGET = 5.0
ROWS = 2000
"""Actions in an hour, which is a window: a busy university at noon."""


async def run(scale: Scale, folder: Path) -> Verdict:
    """CPU an event: source, loop and queue as shipped, beside httpx, json, and a row at a time in transactions of a page."""
    hours = -(-scale.events // ROWS)
    window = Interval(FIRST_HOUR, FIRST_HOUR + timedelta(hours=hours))
    turns = iter(range(1000))
    async with serving("pages", rows=ROWS) as url:

        async def ours() -> Cost:
            place = folder / f"ours{next(turns)}"
            place.mkdir()
            async with opened_queue(place) as queue, opened_letters(place) as letters:
                async with harvesting(url, queue, letters, place) as harvest:
                    cost = await cost_of(hours * ROWS, lambda: harvest.read([window]))
                assert (await queue.lag("any"))["0"] == cost.events
            return cost

        async def theirs() -> Cost:
            connection = naive.open_queue(str(folder / f"naive{next(turns)}.db"))
            async with httpx.AsyncClient(base_url=url, auth=("any", "any")) as client:
                cost = await cost_of(hours * ROWS, lambda: naive.harvest(client, connection, window.start, window.end))
            (found,) = connection.execute("SELECT count(*) FROM messages").fetchone()
            connection.close()
            assert found == cost.events
            return cost

        return cheaper("producer: paged API → SQLite queue", TARGET, await in_turn(scale.rounds, ours, theirs))
