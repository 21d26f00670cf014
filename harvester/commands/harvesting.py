"""What the one-shot harvest commands share: open everything, hold the stream, harvest, say what was done."""

import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

import click
import msgspec

from consumers.direct import DirectQueue
from harvester.commands import parts
from harvester.commands.times import shown
from harvester.coverages import open_coverages
from harvester.errors import ConfigError
from harvester.harvest import Harvest, Limits
from harvester.letters import open_letters
from harvester.loading import Loaded
from harvester.openbook import OpenBook
from harvester.protocols import Outlet, Source, Stream
from harvester.queues import open_queue
from harvester.retry import ONE_SHOT
from harvester.settings import CoreSettings

PRINTED = "stdout"


def owner() -> str:
    """Who holds a lease: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Shot(NamedTuple):
    """One stream, ready to be harvested by a one-shot command."""

    source: Source
    stream: Stream
    book: OpenBook
    harvest: Harvest
    began: float


@asynccontextmanager
async def open_shot(
    loaded: Loaded,
    source_name: str,
    stream_name: str = "",
    *,
    printing: bool = False,
    hold: bool = True,
    limits: Limits | None = None,
) -> AsyncIterator[Shot]:
    """Open a source and one of its streams (the only one when not named), hold its lease, load its book.

    A printing run has a book of its own and needs no queue. What was added to the book is stored when this ends, however it ends.
    """
    core, began = loaded.get(CoreSettings), time.monotonic()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_coverages(core.coverage_url))
        letters = await stack.enter_async_context(open_letters(core.letters_url))
        queue: Outlet
        if printing:
            enrichers = await stack.enter_async_context(parts.open_enrichers(loaded, ONE_SHOT))
            sink = await stack.enter_async_context(parts.sink_named(PRINTED, core))
            queue = DirectQueue(sink, enrichers, letters)
        else:
            queue = await stack.enter_async_context(open_queue(core.queue_url))
        key = f"{source_name}.{PRINTED}" if printing else source_name
        if hold:
            await stack.enter_async_context(store.lease(key, stream_name or "all", owner()))
        book = OpenBook(store, key, queue.id, pace=timedelta(seconds=core.coverage_pace))
        await book.load()
        source = await stack.enter_async_context(parts.open_source(source_name, loaded, ONE_SHOT))
        stream = named_stream(await source.streams(), stream_name)
        harvest = Harvest(source, stream, queue, book, letters, limits=limits or parts.limits(core))
        try:
            yield Shot(source, stream, book, harvest, began)
        finally:
            await book.flush()


def named_stream(streams: Sequence[Stream], name: str) -> Stream:
    """The stream of that name. ConfigError naming those there are."""
    found = [s for s in streams if s.name == name or not name]
    if len(found) != 1:
        raise ConfigError(f"there is no stream {name!r}; there are: {', '.join(s.name for s in streams)}")
    return found[0]


def tell(shot: Shot, title: str, *, as_json: bool) -> int:
    """Say what was done, to people on stderr or as JSON on stdout; the exit code: 0, or 5 with dead letters."""
    totals, coverage = shot.harvest.totals, shot.book.coverage(shot.stream.name)
    seconds = time.monotonic() - shot.began
    gaps = coverage.gaps()
    if as_json:
        report = {
            "source": shot.source.name,
            "stream": shot.stream.name,
            **totals,
            "seconds": round(seconds, 3),
            "live_edge": coverage.live_edge,
            "watermark": coverage.watermark,
            "gaps": [[g.start, g.end] for g in gaps],
        }
        click.echo(msgspec.json.encode(report))
    click.echo(
        f"{title}: read {totals['read']:,} = published {totals['published']:,} + repeats left out {totals['filtered']:,} + "
        f"dead letters {totals['dead_lettered']:,} in {seconds:.1f} s; read up to {shown(coverage.live_edge)}, "
        f"final up to {shown(coverage.watermark)}{f', {len(gaps)} gaps' if gaps else ''}",
        err=True,
    )
    if totals["dead_lettered"]:
        click.echo(f"dead letters: harvest dead-letters list --group {shot.source.name}", err=True)
    return 5 if totals["dead_lettered"] else 0
