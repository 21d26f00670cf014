"""The price of judging each item of a bulk, when one of them was not written."""

from pathlib import Path

from benchmarks.actions import messages
from benchmarks.measure import Cost, Scale, Verdict, cost_of, dearer, in_turn
from benchmarks.paths import drained, opened_letters, opened_queue, opened_sink
from benchmarks.servers import serving
from consumers.protocols import Sink

TARGET = 1.25
CONFLICTS = 100


async def run(scale: Scale, folder: Path) -> Verdict:
    """CPU an event when every hundredth is there in a newer state, so that all items are read, beside a bulk without errors."""
    turns = iter(range(1000))
    async with (
        serving("bulk") as smooth,
        serving("bulk", conflicts=CONFLICTS) as rough,
        opened_queue(folder) as queue,
        opened_letters(folder) as letters,
        opened_sink(smooth) as written,
        opened_sink(rough) as judged,
    ):
        await queue.publish(list(messages(scale.events)))

        async def into(sink: Sink) -> Cost:
            return await cost_of(scale.events, lambda: drained(queue, letters, sink, group=f"bench{next(turns)}"))

        pairs = await in_turn(scale.rounds, lambda: into(judged), lambda: into(written))
    return dearer("consumer: items judged, `errors` is true", TARGET, pairs, "without")
