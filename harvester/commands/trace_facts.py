"""What `harvest trace` finds: the things that a name means, and what queue, letters, sinks and books know of each."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from consumers.protocols import Finder, Held
from harvester.commands import parts, presence, trace_scan
from harvester.commands.trace_scan import Name, Thing
from harvester.coverage import Book
from harvester.coverages import open_coverages
from harvester.errors import HarvesterError, TransientError
from harvester.letters import open_letters
from harvester.loading import Loaded
from harvester.protocols import DeadLetters, Group
from harvester.queues import open_queue
from harvester.settings import CoreSettings

_PATIENCE = 10.0
"""Seconds in which a sink that is busy is asked again."""


class Answer(NamedTuple):
    """What a configured sink said of a thing."""

    group: str
    held: Sequence[Held] = ()
    asked: bool = True
    """False: it is a stream, nothing can be looked up."""
    error: str = ""
    """Why nobody answered."""


@dataclass
class Facts:
    """What was found of a name."""

    asked: str
    things: dict[str, Thing] = field(default_factory=dict)
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    """Thing → sink as configured → what it said."""
    books: dict[str, Book] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    messages: int = 0
    letters: int = 0
    unread: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""


async def gather(asked: str, loaded: Loaded) -> Facts:
    """Everything that is known of `asked`: an event id, a subject, or source/subject. Nothing is changed.

    What cannot be looked at stands in `unread`; the rest is looked at all the same.
    """
    core, name, facts = loaded.get(CoreSettings), Name(asked), Facts(asked)
    async with AsyncExitStack() as stack:
        sinks = await _opened(stack, loaded)
        for answer in [await _ask(sink, *reading) for sink in sinks.values() for reading in name.readings()]:
            for held in answer.held:
                name.sees(f"{held.source}/{held.subject}").know(held.source, held.subject, held.time)
        async with _letters(core, facts) as letters:
            if letters is not None:
                facts.letters = await trace_scan.letters(letters, name)
            known = len(name.things)
            await _read_queue(core, name, facts)
            if letters is not None and len(name.things) > known:
                facts.letters = await trace_scan.letters(letters, name)
        facts.things = name.things
        for key, thing in facts.things.items():
            facts.answers[key] = {n: await _ask(sink, thing.subject or key, thing.source) for n, sink in sinks.items()}
    await _read_books(core, facts)
    return facts


class _Asked(NamedTuple):
    """A configured sink, or why it could not be opened."""

    group: str
    sink: object = None
    error: str = ""


async def _opened(stack: AsyncExitStack, loaded: Loaded) -> dict[str, _Asked]:
    opened = {}
    for name in dict.fromkeys(loaded.get(CoreSettings).sinks):
        try:
            sink = await stack.enter_async_context(parts.sink_named(name, loaded))
            opened[name] = _Asked(sink.name, sink)
        except HarvesterError as error:
            opened[name] = _Asked(name.partition(":")[0], error=str(error))
    return opened


async def _ask(asked: _Asked, name: str, source: str) -> Answer:
    """Ask, and for a while again while it is busy."""
    if asked.error:
        return Answer(asked.group, error=asked.error)
    if not isinstance(asked.sink, Finder):
        return Answer(asked.group, asked=False)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return Answer(asked.group, await asked.sink.find(name, source))
        except TransientError as error:
            if time.monotonic() > until:
                return Answer(asked.group, error=str(error))
            await asyncio.sleep(0.1)
        except HarvesterError as error:
            return Answer(asked.group, error=str(error))


@asynccontextmanager
async def _letters(core: CoreSettings, facts: Facts) -> AsyncIterator[DeadLetters | None]:
    """The store of letters; None when there is none yet, or none that can be opened."""
    async with AsyncExitStack() as stack:
        letters = None
        try:
            if not await presence.missing(core.letters_url):
                letters = await stack.enter_async_context(open_letters(core.letters_url, core))
        except HarvesterError as error:
            facts.unread.append(f"letters: {error}")
        yield letters


async def _read_queue(core: CoreSettings, name: Name, facts: Facts) -> None:
    path = await presence.missing(core.queue_url)
    if path is not None:
        return
    try:
        async with open_queue(core.queue_url, core) as queue:
            facts.groups = {group.name: group for group in await queue.groups()}
            facts.messages = await trace_scan.queue(queue, name)
    except HarvesterError as error:
        facts.unread.append(f"queue: {error}")


async def _read_books(core: CoreSettings, facts: Facts) -> None:
    """The books of the sources of what was found; of all that are set when nothing was."""
    sources = {thing.source for thing in facts.things.values() if thing.source} or set(core.sources)
    if not await asyncio.to_thread(presence.has_books, core.coverage_url):
        return
    async with open_coverages(core.coverage_url, core) as store:
        for source in sorted(sources):
            try:
                facts.books[source] = await store.load(source)
            except HarvesterError as error:
                facts.unread.append(f"coverage of {source}: {error}")
