"""The SQLite queue → warm enrichment → a bulk endpoint."""

from pathlib import Path

import msgspec
from elasticsearch import AsyncElasticsearch

from benchmarks import naive
from benchmarks.actions import RECORDINGS, episode, messages, mpid
from benchmarks.measure import Cost, Scale, Verdict, cheaper, cost_of, in_turn
from benchmarks.paths import drained, opened_letters, opened_queue, opened_sink, warm_episodes
from benchmarks.servers import serving
from consumers.caches.memory import MemoryCache
from consumers.enrichers.episodes import EXPIRE

TARGET = 6.0


async def run(scale: Scale, folder: Path) -> Verdict:
    """CPU an event of 1.6 KB: the loop as shipped, beside json, pydantic, a dict an event and the client's `async_bulk`."""
    held = list(messages(scale.events, large=True))
    connection = naive.open_queue(str(folder / "naive.db"))
    cache = MemoryCache()
    await cache.set_many({mpid(n): msgspec.json.encode(episode(n)) for n in range(RECORDINGS)}, EXPIRE)
    turns = iter(range(1000))
    async with (
        serving("bulk") as url,
        opened_queue(folder) as queue,
        opened_letters(folder) as letters,
        opened_sink(url) as sink,
        AsyncElasticsearch(url) as client,
    ):
        for first in range(0, len(held), 1000):
            await queue.publish(held[first : first + 1000])
        enricher = await warm_episodes()

        async def ours() -> Cost:
            group = f"bench{next(turns)}"
            cost = await cost_of(scale.events, lambda: drained(queue, letters, sink, enricher=enricher, group=group))
            assert (await queue.lag(group))["0"] == 0
            return cost

        async def theirs() -> Cost:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO messages (key, body) VALUES (?, ?)", ((m.key, m.body.decode()) for m in held))
            connection.execute("COMMIT")
            return await cost_of(scale.events, lambda: naive.consume(connection, client, cache))

        pairs = await in_turn(scale.rounds, ours, theirs)
    connection.close()
    return cheaper("consumer: SQLite queue → enrich → bulk", TARGET, pairs)
