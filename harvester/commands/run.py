"""`harvest run`: the daemon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import click

from consumers.consume import consume
from consumers.enrichers.opencast import EpisodeSettings
from harvester import metrics
from harvester.commands import parts
from harvester.commands.harvesting import owner
from harvester.commands.times import parse_time
from harvester.errors import CoverageResetError
from harvester.harvest import Harvest
from harvester.loading import Loaded
from harvester.logs import get_logger
from harvester.openbook import OpenBook
from harvester.protocols import Source, Stream
from harvester.retry import DAEMON
from harvester.service import sleep_until, supervise, until_signal
from harvester.settings import CoreSettings


@click.command("run")
@click.option("--source", "sources", multiple=True, help="Harvest only this source; may be given several times.")
@click.option("--sink", "sinks", multiple=True, help="Feed this sink; may be given several times.  [env: HARVESTER_SINKS]")
@click.option("--no-consume", is_flag=True, help="Only harvest; consumers run elsewhere.")
@click.option("--accept-rejections", is_flag=True, help="Go on however many events a sink refuses.")
def command(sources: tuple[str, ...], sinks: tuple[str, ...], no_consume: bool, accept_rejections: bool) -> int:
    """Harvest for ever, and feed the sinks. SIGTERM finishes what is in flight and exits 0; a second signal ends at once."""
    names = sources or parts.configured_sources()
    loaded = parts.settings(*[parts.source_settings(n) for n in names], EpisodeSettings)
    core = loaded.get(CoreSettings)
    feeds = () if no_consume else sinks or core.sinks

    async def work(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            stores = await stack.enter_async_context(parts.open_stores(core))
            if core.listen:
                await stack.enter_async_context(metrics.serve(core.listen))
            for name in names:
                await stack.enter_async_context(_held(stores, name))
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(_harvesting(name, loaded, stores, stop))
                for name in feeds:
                    group.create_task(feeding(name, loaded, stores, stop, accept_rejections=accept_rejections))

    return run_daemon(work, core)


def run_daemon(work: object, core: CoreSettings) -> int:
    """Run until a signal; the errors that stop a process come out of their groups."""
    try:
        asyncio.run(until_signal(work, drain=core.drain_timeout))  # type: ignore[arg-type]
    except BaseExceptionGroup as group:
        raise _first(group) from group
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def _held(stores: parts.Stores, source: str) -> AsyncIterator[None]:
    async with stores.coverages.lease(source, "all", owner()):
        yield


async def _harvesting(name: str, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event) -> None:
    core = loaded.get(CoreSettings)

    async def work() -> None:
        book = OpenBook(stores.coverages, name, stores.queue.id, pace=timedelta(seconds=core.coverage_pace))
        await book.load()
        async with parts.open_source(name, loaded, DAEMON) as source:
            streams = await source.streams()
            try:
                async with asyncio.TaskGroup() as group:
                    for stream in streams:
                        group.create_task(_stream(source, stream, book, loaded, stores, stop))
            finally:
                await book.flush()

    await supervise(name, work, stop)


async def _stream(
    source: Source, stream: Stream, book: OpenBook, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event
) -> None:
    core = loaded.get(CoreSettings)
    harvest = Harvest(source, stream, stores.queue, book, stores.letters, limits=parts.limits(core))
    log = get_logger("harvest").bind(source=source.name, stream=stream.name)

    async def work() -> None:
        while not stop.is_set():
            try:
                polling = asyncio.ensure_future(harvest.poll(_first_start(source, loaded)))
                stopping = asyncio.ensure_future(stop.wait())
                await asyncio.wait([polling, stopping], return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if not polling.done():
                    polling.cancel()
                    await asyncio.gather(polling, return_exceptions=True)
                    return
                polling.result()
                await harvest.reread()
            except CoverageResetError:
                log.warning("the book was reset: beginning as it says")
                continue
            await sleep_until(stop, core.poll_interval)

    await supervise(f"{source.name}/{stream.name}", work, stop)


def _first_start(source: Source, loaded: Loaded) -> datetime:
    core = loaded.get(CoreSettings)
    start = str(getattr(loaded.get(parts.source_settings(source.name)), "start", ""))
    if start:
        return parse_time(start, core.timezone, "start")
    return source.now() - timedelta(minutes=core.default_interval)


async def feeding(
    name: str, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event, *, accept_rejections: bool, until_empty: bool = False
) -> None:
    """Feed one sink until the stop, or until there is nothing left."""
    core = loaded.get(CoreSettings)

    async def work() -> None:
        async with (
            parts.open_enrichers(loaded, parts.QUICK) as enrichers,
            parts.sink_named(name, core) as sink,
        ):
            processing = parts.processing(sink, stores.letters, stop, enrichers, accept_rejections=accept_rejections)
            await consume(
                stores.queue, sink.name, processing, stores.letters, stop, flow=parts.flow(core), until_empty=until_empty
            )

    if until_empty:
        await work()
    else:
        await supervise(f"sink {name}", work, stop)
