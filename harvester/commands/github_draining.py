"""The writing half of a collection: what is in the queue into one sink, until nothing is left or the sink does not answer."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


async def drain(name: str, loaded: Loaded, stores: parts.Stores) -> Drained:
    """Feed one sink until the queue has nothing more for it. What it cannot take stays in the queue."""
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
        )
    except HarvesterError as error:
        return Drained(counts, str(error))
    return Drained(counts, patience.failures[-1] if stop.is_set() else "")
