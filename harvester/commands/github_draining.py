"""The writing half of a collection: what is in the queue into one sink, until nothing is left or the sink does not answer."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from consumers.consume import consume
from consumers.deaths import open_deaths
from consumers.sinks import RAW
from harvester.commands import parts
from harvester.commands.progress import bar
from harvester.errors import HarvesterError, TransientError
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.settings import CoreSettings
from harvester.turns import REPAIRS, Owners, Turn
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


async def drain(name: str, loaded: Loaded, stores: parts.Stores) -> Drained:
    """Feed one sink until the queue has nothing more for it. What it cannot take stays in the queue."""
    core, counts, stop = loaded.get(CoreSettings), Counter[str](), asyncio.Event()
    failures: list[str] = []

    def waits(error: Exception, _: float) -> None:
        failures.append(str(error))
        if len(failures) == TRIES:
            stop.set()

    try:
        async with (
            parts.open_enrichers(loaded, parts.QUICK, wanted=parts.group_of(name) not in RAW) as enrichers,
            parts.sink_named(name, loaded) as sink,
            open_deaths(parts.work_folder(core), sink.name, stores.queue.id) as deaths,
        ):
            processing = parts.processing(sink, stores.letters, stop, enrichers, deaths=deaths, on_wait=waits)
            waiting = sum((await stores.queue.lag(sink.name)).values())
            with bar(f"into {sink.name}", waiting) as shown:

                def committed(more: Mapping[str, int]) -> None:
                    counts.update(more)
                    failures.clear()
                    shown.update(counts["consumed"], count=counts["consumed"])

                await consume(
                    stores.queue,
                    sink.name,
                    processing,
                    stores.letters,
                    stop,
                    flow=parts.flow(core, sink),
                    turn=Turn(Owners(stores.coverages, REPAIRS), sink.name),
                    until_empty=True,
                    on_commit=committed,
                )
    except HarvesterError as error:
        return Drained(counts, str(error))
    return Drained(counts, failures[-1] if stop.is_set() else "")
