"""What collections of GitHub need while they run: source, queue, archive, sinks; and the lease that keeps others out."""

import difflib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import NamedTuple, Protocol, cast

import click
from pydantic import BaseModel

from consumers.sinks.archive_settings import ArchiveSettings
from harvester.budget import Backfill
from harvester.commands import parts, presence
from harvester.commands.collecting import ARCHIVE, RUN_ONE, SOURCE
from harvester.commands.github_draining import known
from harvester.commands.github_reading import waits
from harvester.commands.options import refuse_paused
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.lock import me
from harvester.logs import get_logger
from harvester.objects import open_objects
from harvester.openbook import OpenBook
from harvester.pauses import paused
from harvester.protocols import Objects, Source, Stream
from harvester.retry import ONE_SHOT
from harvester.settings import CoreSettings
from harvester.sources.github_repository import Repository
from harvester.sources.github_settings import GithubSettings

_NEAR, _SHOWN = 3, 10


class Listing(Protocol):
    """What the source of GitHub has beside the contract."""

    @property
    def repositories(self) -> Mapping[int, Repository]: ...
    @property
    def lacks(self) -> Sequence[str]: ...


class Site(NamedTuple):
    """Everything that the collections of one process share."""

    loaded: Loaded
    stores: parts.Stores
    objects: Objects | None
    """The archive's; None when nothing is archived."""
    source: Source
    streams: Sequence[Stream]
    book: OpenBook
    sinks: Sequence[str]
    """In the order in which they are written: the archive first."""
    organisation: str
    """Whose folder of the archive the checkpoints are in: the first of several."""
    backfill: Backfill
    """Live reading goes before collections; how far one is is told by it."""
    daemon: bool = False
    """Whether nobody is there who reads more than the log."""

    @property
    def repositories(self) -> Mapping[int, Repository]:
        """Those that are there now, by id."""
        there = {int(stream.name.partition("/")[2]) for stream in self.streams if "/" in stream.name}
        return {key: one for key, one in cast("Listing", self.source).repositories.items() if key in there}

    @property
    def names(self) -> Mapping[int, str]:
        """Id → what a repository is called; with its owner where there are several organisations."""
        several = len(self.loaded.get(GithubSettings).org) > 1
        return {key: f"{one.owner}/{one.name}" if several else one.name for key, one in self.repositories.items()}

    def chosen(self, wanted: Sequence[str]) -> Sequence[int]:
        """The ids of the repositories of these names, all of them when there are none. Exit 2 with near names."""
        if not wanted:
            return list(self.repositories)
        ids = {one.name.lower(): key for key, one in self.repositories.items()}
        ids |= {f"{one.owner}/{one.name}".lower(): key for key, one in self.repositories.items()}
        unknown = [name for name in wanted if name.lower() not in ids]
        if unknown:
            names = sorted(self.names.values())
            near = difflib.get_close_matches(unknown[0], names, n=_NEAR, cutoff=0.5)
            there = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names[:_SHOWN])}"
            raise click.BadParameter(f"there is no repository {', '.join(unknown)}: {there}", param_hint="--repos")
        return list(dict.fromkeys(ids[name.lower()] for name in wanted))


def lacking(source: Source) -> str:
    """What to say of scopes that the token has not, "" when it has all or does not tell."""
    lacks = cast("Listing", source).lacks
    return f"; it lacks the scope {', '.join(lacks)}: private repositories, or members, are hidden from it" if lacks else ""


def settings() -> Loaded:
    """The settings of a collection: of the source, the archive, and the sinks that are written."""
    families: list[type[BaseModel]] = [GithubSettings, ArchiveSettings, *parts.sink_settings(parts.configured_sinks())]
    return parts.settings(*dict.fromkeys(families))


def need_archive(loaded: Loaded, what: str) -> None:
    """ConfigError when nothing is archived: `what` cannot work then."""
    if not loaded.get(ArchiveSettings).persist:
        raise ConfigError(
            f"{what} works on the archive, and HARVESTER_ARCHIVE_PERSIST (PERSIST_TO_GCS) is false: rows go straight into "
            f"the warehouse, and no checkpoint is kept. Set it to true, or collect again: harvest github collect"
        )


@asynccontextmanager
async def open_site(loaded: Loaded, *, daemon: bool = False) -> AsyncIterator[Site]:
    """Open all that a collection needs, and hold the lease of collections. What was read is stored however this ends.

    RefusedError: another process collects now. PermanentError: the token may not do it, with what it lacks.
    """
    core, archive = loaded.get(CoreSettings), loaded.get(ArchiveSettings)
    warehouses = [name for name in core.sinks if parts.group_of(name) != ARCHIVE]
    sinks = [*([ARCHIVE] if archive.persist else []), *warehouses]
    await presence.refuse_new_queue(core, [SOURCE])
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(parts.open_stores(core))
        refuse_paused(await paused(stores.coverages), SOURCE)
        if core.leases:
            await stack.enter_async_context(stores.coverages.lease(SOURCE, RUN_ONE, me()))
        objects = await stack.enter_async_context(open_objects(archive.url, core)) if archive.persist else None
        await known(sinks, loaded, stores)
        book = OpenBook(stores.coverages, SOURCE, stores.queue, pace=timedelta(seconds=core.coverage_pace), gathers=True)
        await book.load()
        backfill = Backfill()
        opening = parts.open_source(SOURCE, loaded, ONE_SHOT, on_wait=waits, backfill=backfill)
        source = await stack.enter_async_context(opening)
        streams = await source.streams()
        if lacks := lacking(source):
            get_logger("github").warning(f"what the token may read{lacks}")
        try:
            yield Site(loaded, stores, objects, source, streams, book, sinks, loaded.get(GithubSettings).org[0], backfill, daemon)
        finally:
            await book.store()
