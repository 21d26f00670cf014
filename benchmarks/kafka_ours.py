"""The product's consumer as `harvest consume elasticsearch` puts it together, on Kafka: a process that tells what it cost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.paths import drained, looked_up, opened_letters, opened_sink, warm_episodes
from benchmarks.peers.work import Meter, given
from consumers.enrichers.episodes import Episodes
from harvester.collector import relaxed
from harvester.queues import open_queue


async def main() -> None:
    """Until so many events are committed."""
    asked = given()
    stop = asyncio.Event()
    with TemporaryDirectory(prefix="harvest-bench-") as folder:
        prefix = asked.topic.removesuffix(".events")
        async with (
            open_queue(f"kafka://{asked.brokers}/{prefix}") as queue,
            opened_letters(Path(folder)) as letters,
            opened_sink(asked.url) as sink,
            _episodes(asked.search) as enricher,
        ):
            meter = Meter()

            def count(counts: Mapping[str, int]) -> None:
                meter.events += counts["consumed"]
                if meter.events >= asked.amount:
                    stop.set()

            with relaxed():
                await drained(queue, letters, sink, enricher=enricher, group=asked.group, stop=stop, on_commit=count)
            meter.tell()


@asynccontextmanager
async def _episodes(search: str) -> AsyncIterator[Episodes]:
    """Looked up at `search` behind a cold cache; all of them in the cache without it."""
    if not search:
        yield await warm_episodes()
        return
    async with looked_up(search) as enricher:
        yield enricher


if __name__ == "__main__":
    asyncio.run(main())
