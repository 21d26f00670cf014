"""What the one-shot harvest commands share: open everything, hold the stream, harvest, say what was done."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import click
import msgspec

from consumers.direct import DirectQueue
from harvester.budget import Backfill
from harvester.commands import parts, presence
from harvester.commands.options import refuse_paused
from harvester.commands.times import parse_time, shown
from harvester.commands.words import amount_of
from harvester.coverage import Coverage, Intervals
from harvester.coverages import open_coverages
from harvester.errors import ConfigError
from harvester.harvest import Harvest, Limits
from harvester.inherited import last_time
from harvester.layers import COMMAND_LINE
from harvester.letters import open_letters
from harvester.loading import Loaded
from harvester.lock import me
from harvester.logs import COLLECTED, get_logger
from harvester.openbook import OpenBook
from harvester.ownevents import telling
from harvester.pauses import paused
from harvester.protocols import DeadLetters, Outlet, Source, Stream
from harvester.queues import open_queue
from harvester.retry import ONE_SHOT
from harvester.service import CutError
from harvester.settings import CoreSettings
from harvester.sources.opencast_settings import OpencastSettings

PRINTED = "stdout"
HARVESTING = "{stream}"
FILLING = "{stream} backfill"
"""Leases: live harvests of a stream exclude each other, and so do those that fill its history, which may run beside."""


class Shot(NamedTuple):
    """One stream, ready to be harvested by a one-shot command."""

    source: Source
    stream: Stream
    book: OpenBook
    harvest: Harvest
    limits: Limits
    began: float
    gaps: Intervals
    """What was missing before."""
    sink: str = ""
    """The sink that is written to without a queue."""
    refused: Sequence[str] = ()
    """Keys of what that sink refused so far."""
    backfill: Backfill | None = None
    """History is read, behind what is live."""


@asynccontextmanager
async def open_shot(
    loaded: Loaded, source_name: str, stream_name: str = "", *, printing: bool = False, into: str = "", hold: str = HARVESTING
) -> AsyncIterator[Shot]:
    """Open a source and one of its streams (the only one when not named), hold its lease ("": none), load its book.

    A run that prints, or writes straight `into` a sink, has a book of its own and needs no queue. What was added to the book is
    stored when this ends, however it ends.
    """
    core, began = loaded.get(CoreSettings), time.monotonic()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_coverages(core.coverage_url, core))
        pauses = await paused(store)
        refuse_paused(pauses, f"{source_name}/{stream_name}" if stream_name else source_name)
        letters = await stack.enter_async_context(open_letters(core.letters_url, core))
        direct = PRINTED if printing else into
        if direct:
            queue: Outlet = await _straight(direct, loaded, letters, stack)
        else:
            await presence.refuse_new_queue(core, [source_name])
            queue = await stack.enter_async_context(open_queue(core.queue_url, core))
        key = f"{source_name}.{direct}" if direct else source_name
        book = OpenBook(store, key, queue, pace=timedelta(seconds=core.coverage_pace))
        await book.load()  # before the network: a book of another queue is refused at once
        backfill = Backfill() if hold == FILLING else None
        source = await stack.enter_async_context(parts.open_source(source_name, loaded, ONE_SHOT, backfill=backfill))
        stream = named_stream(await source.streams(), stream_name)
        refuse_paused(pauses, f"{source_name}/{stream.name}")
        if hold and core.leases:
            await stack.enter_async_context(store.lease(key, hold.format(stream=stream.name), me()))
            await book.load()  # anew, for whoever held it until now has added to it
        limits = parts.limits(core)
        if hold == FILLING:  # whoever fills history knows that it is long
            limits = limits._replace(span_policy="windows")
        own = core.own_events == "always" and not direct
        tell = await stack.enter_async_context(telling(queue, on=own))
        harvest = Harvest(source, stream, queue, book, letters, limits=limits, tell=tell)
        shot = Shot(source, stream, book, harvest, limits, began, book.coverage(stream.name).gaps(), backfill=backfill)
        if isinstance(queue, DirectQueue):
            shot = shot._replace(sink=direct, refused=queue.refused)
        try:
            yield shot
        except asyncio.CancelledError as error:
            await book.store()
            raise CutError(_interrupted(shot)) from error
        finally:
            await book.store()


async def _straight(name: str, loaded: Loaded, letters: DeadLetters, stack: AsyncExitStack) -> DirectQueue:
    enrichers = await stack.enter_async_context(parts.open_enrichers(loaded, ONE_SHOT))
    sink = await stack.enter_async_context(parts.sink_named(name, loaded))
    return DirectQueue(sink, enrichers, letters)


def _interrupted(shot: Shot) -> str:
    coverage = shot.book.coverage(shot.stream.name)
    done = coverage.read.holding(coverage.start) if coverage.start else None
    edge = f"read up to {shown(done.end if done else coverage.start)}" if coverage.start else "nothing is recorded as read"
    return f"interrupted: read {shot.harvest.totals['read']:,}, {edge}; what is recorded stays; go on with the same command"


def named_stream(streams: Sequence[Stream], name: str) -> Stream:
    """The stream of that name, the only one when it is "". Exit 2 naming those there are."""
    found = [s for s in streams if s.name == name or not name]
    if len(found) != 1:
        wrong = f"there is no stream {name!r}" if name else "name one stream"
        raise click.BadParameter(f"{wrong}; there are: {', '.join(s.name for s in streams)}", param_hint="--stream")
    return found[0]


def start_set(name: str, loaded: Loaded) -> datetime | None:
    """Where a source begins of which nothing is known, if that is set. ConfigError when it is no time."""
    text = str(getattr(loaded.get(parts.source_settings(name)), "start", ""))
    try:
        return parse_time(text, loaded.get(CoreSettings).timezone, "start") if text else None
    except click.BadParameter as error:
        raise ConfigError(f"HARVESTER_{name.upper()}_START: {error.message}") from error


async def first_start(source: Source, loaded: Loaded, known: Coverage, reach: timedelta = timedelta()) -> datetime:
    """Where a stream begins: as is known, as set for the source, where a predecessor stopped, or the default interval before now.

    The last is at least `reach` before now.

    An interval on the command line goes before all but what is known. The predecessor is asked for only while nothing is known;
    when it cannot be asked this raises, since a beginning elsewhere would be a gap that nobody sees.
    """
    if known.start:
        return known.start
    if loaded.origin("HARVESTER_DEFAULT_INTERVAL") != COMMAND_LINE:
        start = start_set(source.name, loaded) or await _predecessors(source.name, loaded)
        if start:
            return start
    return source.now() - max(reach, timedelta(minutes=loaded.get(CoreSettings).default_interval))


async def _predecessors(name: str, loaded: Loaded) -> datetime | None:
    core, settings = loaded.get(CoreSettings), loaded.get(parts.source_settings(name))
    if not isinstance(settings, OpencastSettings) or not settings.last_ts_bucket:
        return None
    zone = settings.timezone or core.timezone
    return await last_time(settings.last_ts_bucket, settings.last_ts_key, zone, core)


def tell(shot: Shot, title: str, *, as_json: bool) -> int:
    """Say what was done, to people on stderr or as JSON on stdout; the exit code: 0, or 5 with dead letters or new gaps."""
    totals, coverage = shot.harvest.totals, shot.book.coverage(shot.stream.name)
    seconds = time.monotonic() - shot.began
    gaps = coverage.gaps()
    new = gaps - shot.gaps
    log = get_logger(COLLECTED)
    log.info(title, source=shot.source.name, stream=shot.stream.name, **totals, seconds=round(seconds, 3), gaps=len(gaps))
    if as_json:
        report = {
            "source": shot.source.name,
            "stream": shot.stream.name,
            **totals,
            "seconds": round(seconds, 3),
            "live_edge": coverage.live_edge,
            "watermark": coverage.watermark,
            "gaps": [[g.start, g.end] for g in gaps],
            **({"refused": list(shot.refused)} if shot.refused else {}),
        }
        click.echo(msgspec.json.encode(report))
    edges = f"read up to {shown(coverage.live_edge)}, final up to {shown(coverage.watermark)}"
    holes = f", {amount_of(len(gaps), 'gap')}" if gaps else ""
    click.echo(
        f"{title}: read {totals['read']:,} = published {totals['published']:,} + filtered {totals['filtered']:,} + "
        f"dead-lettered {totals['dead_lettered']:,} in {seconds:.1f} s; "
        f"{edges if coverage.start else 'nothing is recorded as read'}{holes}",
        err=True,
    )
    if totals["dead_lettered"]:
        click.echo(f"dead letters: harvest dead-letters list --group {shot.source.name}", err=True)
    if shot.refused:
        refused = f"of what was published {shot.sink} refused {len(shot.refused):,}"
        click.echo(f"{refused}: harvest dead-letters list --group {shot.sink}", err=True)
    for gap in new:
        click.echo(f"not read: {shown(gap.start)} … {shown(gap.end)}; harvest coverage fill {shot.source.name}", err=True)
    return 5 if totals["dead_lettered"] or shot.refused or new else 0
