"""The writing half of a collection: what is in the queue into its sinks, until nothing is left or one does not answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from harvester.behind import Placed
from harvester.commands import parts
from harvester.commands.run import feed
from harvester.errors import HarvesterError, TransientError
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.settings import CoreSettings
from harvester.states import Component
from harvester.url import parse

TRIES = 4
"""How often a sink that does not answer is asked: one-shot commands do not wait for ever."""
LOOKS, PAUSE = 60, 1.0
"""How often, and so many seconds apart, it is looked whether other members of the archive's group wrote what they took."""


class Drained(NamedTuple):
    """What was written, and why not all of it, "" when it was all."""

    counts: Mapping[str, int]
    why: str = ""


async def known(names: Sequence[str], loaded: Loaded, stores: parts.Stores) -> None:
    """Make the groups of these sinks known to the embedded queue, which keeps messages for those that it knows.

    ConfigError: one of the sinks cannot be opened as it is set. RefusedError: another process feeds it.
    """
    for name in names:
        try:
            async with parts.sink_named(name, loaded) as sink:
                if parse(loaded.get(CoreSettings).queue_url).scheme == "sqlite":
                    async with stores.queue.subscribe(sink.name):
                        pass
        except TransientError as error:  # what was read waits for it
            get_logger("github").warning("a sink does not answer", sink=parts.group_of(name), error=str(error))


class _Patience(Component):
    """Stops the feeding when the sink did not answer so often in a row."""

    def __init__(self, name: str, stop: asyncio.Event) -> None:
        super().__init__(name, "sink")
        self.failures: list[str] = []
        self._stop = stop

    def waiting(self, reason: object, *, seconds: float | None = None, breaker: bool = False) -> None:
        super().waiting(reason, seconds=seconds, breaker=breaker)
        self.failures.append(str(reason))
        if len(self.failures) == TRIES:
            self._stop.set()

    def worked(self) -> None:
        super().worked()
        self.failures.clear()


async def drained(sinks: Sequence[str], archive: str, loaded: Loaded, stores: parts.Stores) -> AsyncIterator[tuple[str, Drained]]:
    """Feed the archive, and only when it has everything the others, as far as it has it: none of them is ever ahead of it.

    A queue that keeps no order (SQS) cannot tell how far that is: what others publish meanwhile comes to all that are fed later.
    """
    bound: Mapping[str, int] | None = None
    for name in sinks:
        if name == archive and isinstance(stores.queue, Placed):
            done, bound = await _archived(name, loaded, stores, stores.queue)
        else:
            done = await drain(name, loaded, stores, bound)
        yield name, done
        if name == archive and done.why:
            return


async def _archived(name: str, loaded: Loaded, stores: parts.Stores, queue: Placed) -> tuple[Drained, Mapping[str, int]]:
    """The archive, fed with everything that is in the queue now; and how far it has all."""
    done = Drained({})
    try:
        ends = await queue.ends()
        done = await drain(name, loaded, stores)
        return done, {} if done.why else await _acknowledged(queue, name, ends)
    except HarvesterError as error:
        return Drained(done.counts, str(error)), {}


async def _acknowledged(queue: Placed, group: str, ends: Mapping[str, int]) -> Mapping[str, int]:
    """How far the group has all, once that is up to `ends`. TransientError: other members of it keep some for too long."""
    for _ in range(LOOKS):
        reached = await queue.reached(group)
        if all(reached.get(partition, 0) >= end for partition, end in ends.items()):
            return reached
        await asyncio.sleep(PAUSE)
    raise TransientError(f"another member of group {group} has not written what it took: warehouses wait for it")


async def drain(name: str, loaded: Loaded, stores: parts.Stores, bound: Mapping[str, int] | None = None) -> Drained:
    """Feed one sink until the queue has nothing more for it before the bound. What it cannot take stays in the queue."""
    counts, stop = Counter[str](), asyncio.Event()
    patience = _Patience(name, stop)
    try:
        await feed(
            name,
            loaded,
            stores,
            stop,
            accept_rejections=False,
            until_empty=True,
            component=patience,
            counts=counts,
            title="into",
            bound=bound,
        )
    except HarvesterError as error:
        return Drained(counts, str(error))
    return Drained(counts, patience.failures[-1] if stop.is_set() else "")
