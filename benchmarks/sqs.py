"""SQS: packs of events, beside one event a message, both through the driver, on a real server that speaks SQS."""

from pathlib import Path

from pydantic import SecretStr

from benchmarks.actions import messages
from benchmarks.measure import Cost, Scale, Verdict, cheaper, cost_of, in_turn
from harvester.access import Access
from harvester.queues import open_queue
from tests.services import MissingServerError, find

TARGET = 8.0
BATCH = 1000
_SHARE = 4
"""One event a message is slow: a quarter of the events is enough to know what one costs."""


async def run(scale: Scale, folder: Path) -> Verdict:  # noqa: ARG001 - nothing is kept
    """CPU of an event that is published, received and committed; the naive side does so with `pack=1`."""
    try:
        with find("sqs") as server:
            pairs = await _compared(server.url, scale)
    except MissingServerError as error:
        raise SystemExit(str(error)) from error
    return cheaper("SQS: packs, beside one event a message", TARGET, pairs)


async def _compared(url: str, scale: Scale) -> list[tuple[Cost, Cost]]:
    held = list(messages(scale.events))
    access = Access(aws_access_key_id="any", aws_secret_access_key=SecretStr("any"), aws_endpoint_url=url)

    async def through(amount: int, options: str) -> Cost:
        async with open_queue(f"sqs://eu-west-1/bench?{options}", access) as queue, queue.subscribe("g") as member:

            async def work() -> None:
                for first in range(0, amount, BATCH):
                    await queue.publish(held[first : min(first + BATCH, amount)])
                left = amount
                while left:
                    deliveries = await member.receive(BATCH, 5)
                    await member.commit(deliveries)
                    left -= len(deliveries)

            return await cost_of(amount, work)

    async def packed() -> Cost:
        return await through(len(held), "pack=1000")

    async def single() -> Cost:
        return await through(len(held) // _SHARE, "pack=1")

    return await in_turn(scale.rounds, packed, single)
