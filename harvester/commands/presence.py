"""What is there already: a command that only looks makes no queue, and one that is refused leaves none behind."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from harvester.coverage import Mark
from harvester.coverages import open_coverages
from harvester.errors import HarvesterError, RefusedError, TransientError
from harvester.openbook import OpenBook
from harvester.protocols import Letter, Marked, Queue
from harvester.settings import CoreSettings
from harvester.sources import SOURCES
from harvester.sqlite import log_of
from harvester.url import database_path, directory_path, parse


class AbsentError(HarvesterError):
    """What a command wants to look at is not there (exit 1); the text says what to do."""


class NoLetters:
    """A store of dead letters that is not there yet: nothing is in it, so there is nothing to change."""

    async def add(self, letters: Sequence[Letter]) -> None:
        raise AbsentError(f"there is no store for {len(letters)} dead letters")

    async def scan(self, group: str, due: datetime | None = None, *, without: str = "") -> AsyncIterator[Letter]:  # noqa: ARG002
        nothing: Sequence[Letter] = ()
        for letter in nothing:
            yield letter

    async def requeue(self, ids: Sequence[str], due: datetime) -> None:
        """None of them is here."""

    async def remove(self, ids: Sequence[str]) -> None:
        """None of them is here."""

    async def finish(self, letters: Sequence[Letter]) -> None:
        """None of them is here."""

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return {}


async def missing(url: str) -> Path | None:
    """The embedded file that `url` names when it is not there, nor a log that is left of it; None in every other case."""
    return await asyncio.to_thread(_missing, url)


def _missing(url: str) -> Path | None:
    parsed = parse(url)
    if parsed.scheme != "sqlite":
        return None
    path = database_path(parsed)
    try:
        left = path.exists() or (log_of(path).exists() and log_of(path).stat().st_size > 0)
    except OSError:
        return None  # opening it tells why
    return None if left else path


async def need_queue(core: CoreSettings) -> None:
    """AbsentError when there is no queue; nothing is made."""
    path = await missing(core.queue_url)
    if path is None:
        return
    named = await _named_queues(core)
    if named:
        books = ", ".join(f"the book of {source} names queue {queue}" for source, queue in named.items())
        ways = " and ".join(f"`harvest coverage reset {source} --yes`" for source in named)
        raise AbsentError(
            f"there is no queue at {path}, but {books}: it was moved or deleted. Next: bring it back, check HARVESTER_QUEUE_URL, "
            f"or begin anew with {ways}"
        )
    raise AbsentError(
        f"there is no queue at {path}: nothing was harvested here yet; next: harvest useractions, "
        f"or check HARVESTER_QUEUE_URL / the folder you are in"
    )


async def foreign_books(core: CoreSettings, queue: str) -> Mapping[str, str]:
    """Source → the queue its book names, where that is another one than `queue`."""
    return {source: named for source, named in (await _named_queues(core)).items() if named != queue}


async def books_ahead(core: CoreSettings, queue: Queue) -> Mapping[str, Mark]:
    """Source → what its book claims, where this queue, restored from an older copy, does not hold it."""
    if not isinstance(queue, Marked) or not await asyncio.to_thread(has_books, core.coverage_url):
        return {}
    async with open_coverages(core.coverage_url, core) as store:
        books = {source: await store.load(source) for source in SOURCES}
    marks = {source: book.mark for source, book in books.items() if book.mark and book.queue == queue.id}
    return {source: mark for source, mark in marks.items() if not await queue.holds(mark)}


async def refuse_new_queue(core: CoreSettings, sources: Iterable[str]) -> None:
    """RefusedError when there is no queue here, but a book that names one: a new one would hide that. Nothing is made."""
    path = await missing(core.queue_url)
    if path is None or not await asyncio.to_thread(has_books, core.coverage_url):
        return
    try:
        async with open_coverages(core.coverage_url, core) as store:
            for source in sources:
                await OpenBook(store, source, f"not there yet ({path})").load()
    except TransientError:
        return  # whoever opens it next waits, and knows for how long
    except RefusedError:
        # Another process that begins right now makes the queue before it writes the book.
        if await missing(core.queue_url) is not None:
            raise


async def _named_queues(core: CoreSettings) -> dict[str, str]:
    if not await asyncio.to_thread(has_books, core.coverage_url):
        return {}
    async with open_coverages(core.coverage_url, core) as store:
        books = {source: await store.load(source) for source in SOURCES}
    return {source: book.queue for source, book in books.items() if book.queue}


def has_books(url: str) -> bool:
    """Whether there can be books; looking for them makes no directory."""
    parsed = parse(url)
    return parsed.scheme != "file" or directory_path(parsed).is_dir()
