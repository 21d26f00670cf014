"""A sink: whether it can be opened and asked."""

import asyncio
import time

from consumers.protocols import Finder
from consumers.sinks import known
from harvester.commands import parts
from harvester.commands.checks import Check, Finding, Tell, split
from harvester.errors import TransientError
from harvester.loading import Loaded
from harvester.settings import CoreSettings

_NOTHING = "0"
"""A name to look up: what matters is that there is an answer."""


def sink_check(name: str, loaded: Loaded, seconds: float) -> Check:
    """The check of a sink whose settings hold."""
    title = f"sink {name}"

    async def look(tell: Tell) -> None:
        if known(name) == "elasticsearch":
            from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
            from harvester.commands.checks import elasticsearch

            await elasticsearch.look(loaded.get(ElasticsearchSettings), name, tell, seconds)
            return
        if known(name) == "archive":
            from consumers.sinks.archive_settings import ArchiveSettings
            from harvester.commands.checks import archive

            await archive.look(loaded.get(ArchiveSettings), loaded.get(CoreSettings), title, tell)
            return
        async with parts.sink_named(name, loaded) as sink:
            if not isinstance(sink, Finder):
                tell(Finding(title, "ok", "a stream: there is nothing to look at"))
                return
            await _ask(sink, title, tell, seconds / 2)

    return Check(title, look)


async def _ask(sink: Finder, title: str, tell: Tell, seconds: float) -> None:
    """Ask, and again while it is busy writing."""
    until = time.monotonic() + seconds
    while True:
        try:
            await sink.find(_NOTHING)
        except TransientError as error:
            if time.monotonic() > until:
                tell(Finding(title, "warn", *split(str(error))))
                return
            await asyncio.sleep(0.1)
        else:
            tell(Finding(title, "ok", "it answers"))
            return
