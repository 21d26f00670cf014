"""The product's consumer as `harvest consume elasticsearch` puts it together, on Kafka: a process that tells what it cost."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.paths import drained, opened_letters, opened_sink, warm_episodes
from benchmarks.peers.work import Meter, given
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
        ):
            enricher = await warm_episodes()
            meter = Meter()

            def count(counts: Mapping[str, int]) -> None:
                meter.events += counts["consumed"]
                if meter.events >= asked.amount:
                    stop.set()

            with relaxed():
                await drained(queue, letters, sink, enricher=enricher, group=asked.group, stop=stop, on_commit=count)
            meter.tell()


if __name__ == "__main__":
    asyncio.run(main())
