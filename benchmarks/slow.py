"""A sink that takes its time."""

from pathlib import Path

from benchmarks.actions import messages
from benchmarks.measure import Cost, Scale, Verdict, cost_of, faster, in_turn
from benchmarks.paths import drained, opened_letters, opened_queue, opened_sink
from benchmarks.servers import serving
from consumers.consume import Flow

TARGET = 6.0
DELAY = 0.05
BATCH = 100


async def run(scale: Scale, folder: Path) -> Verdict:
    """Throughput against a server that answers after 50 ms: the loop as shipped, beside itself with one batch at a time."""
    turns = iter(range(1000))
    events = min(scale.events, 8_000)
    async with (
        serving("bulk", delay=DELAY) as url,
        opened_queue(folder) as queue,
        opened_letters(folder) as letters,
        opened_sink(url) as sink,
    ):
        await queue.publish(list(messages(events)))

        async def with_flow(flow: Flow) -> Cost:
            return await cost_of(events, lambda: drained(queue, letters, sink, group=f"bench{next(turns)}", flow=flow))

        pairs = await in_turn(
            scale.rounds,
            lambda: with_flow(Flow(batch_events=BATCH)),
            lambda: with_flow(Flow(batch_events=BATCH, in_flight=1)),
        )
    return faster("consumer: sink that answers after 50 ms", TARGET, pairs, "one batch at a time")
