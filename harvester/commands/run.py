"""`harvest run`: the daemon."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import click

from consumers.consume import consume
from consumers.enrichers.opencast import EpisodeSettings
from harvester import metrics
from harvester.commands import parts, presence, spans
from harvester.commands.harvesting import HARVESTING, first_start, start_set
from harvester.commands.options import sink_type, source_type
from harvester.commands.progress import bar
from harvester.coverage import Interval, live_window
from harvester.errors import CoverageResetError, PermanentError, RefusedError, TransientError
from harvester.harvest import Harvest
from harvester.loading import Loaded
from harvester.lock import me
from harvester.logs import get_logger
from harvester.openbook import OpenBook
from harvester.protocols import Source, Stream
from harvester.retry import DAEMON
from harvester.service import sleep_until, supervise, until_signal
from harvester.settings import CoreSettings

_OPEN_AGAIN = 5.0


@click.command("run")
@click.option(
    "--source",
    "sources",
    multiple=True,
    type=source_type,
    help="Harvest only this source; may be given several times.  [env: HARVESTER_SOURCES; default: opencast]",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    type=sink_type,
    help="Feed this sink; may be given several times.  [env: HARVESTER_SINKS; default: duckdb]",
)
@click.option("--no-consume", is_flag=True, help="Only harvest; consumers run elsewhere.")
@click.option("--accept-rejections", is_flag=True, help="Go on however many events a sink refuses.")
def command(sources: tuple[str, ...], sinks: tuple[str, ...], no_consume: bool, accept_rejections: bool) -> int:
    """Harvest for ever, and feed the sinks. SIGTERM finishes what is in flight and exits 0; a second signal ends at once."""
    names = dict.fromkeys(sources or parts.configured_sources())
    feeds = () if no_consume else tuple(dict.fromkeys(sinks or parts.configured_sinks()))
    loaded = parts.settings(*map(parts.source_settings, names), EpisodeSettings, *parts.sink_settings(feeds))
    core = loaded.get(CoreSettings)
    for name in names:
        start_set(name, loaded)

    async def work(stop: asyncio.Event) -> None:
        await presence.refuse_new_queue(core, names)
        async with AsyncExitStack() as stack:
            stores = await stack.enter_async_context(open_patiently(core, stop))
            if stores is None:
                return
            address = await stack.enter_async_context(metrics.serve(core.listen))
            get_logger("service").info("started", sources=[*names], sinks=[*feeds], metrics=address or "off")
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for name in names:
                group.create_task(_harvesting(name, loaded, stores, stop))
            for name in feeds:
                group.create_task(feeding(name, loaded, stores, stop, accept_rejections=accept_rejections))

    return run_daemon(work, core)


def run_daemon(work: Callable[[asyncio.Event], Awaitable[None]], core: CoreSettings) -> int:
    """Run until a signal; the errors that stop a process come out of their groups."""
    try:
        asyncio.run(until_signal(work, drain=core.drain_timeout))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    return 0


@asynccontextmanager
async def open_patiently(core: CoreSettings, stop: asyncio.Event) -> AsyncIterator[parts.Stores | None]:
    """The stores, once whatever is busy or full lets them be opened; None when the stop comes first."""
    async with AsyncExitStack() as stack:
        stores = None
        while stores is None and not stop.is_set():
            try:
                stores = await stack.enter_async_context(parts.open_stores(core))
            except TransientError as error:
                get_logger("service").warning("opening is tried again", error=str(error), seconds=_OPEN_AGAIN)
                await sleep_until(stop, _OPEN_AGAIN)
        yield stores


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _harvesting(name: str, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event) -> None:
    """One source until the stop, which ends whatever it waits for; windows that are done stay done."""
    core, held = loaded.get(CoreSettings), set[str]()

    async def work() -> None:
        book = OpenBook(stores.coverages, name, stores.queue, pace=timedelta(seconds=core.coverage_pace))
        await book.load()
        async with parts.open_source(name, loaded, DAEMON) as source:
            streams = await source.streams()
            for stream in streams:
                if stream.name not in held:
                    await leases.enter_async_context(stores.coverages.lease(name, HARVESTING.format(stream=stream.name), me()))
                    held.add(stream.name)
            await book.load()  # anew, for whoever held them until now has added to it
            try:
                async with asyncio.TaskGroup() as group:
                    for stream in streams:
                        group.create_task(_stream(source, stream, book, loaded, stores, stop))
            finally:
                await book.flush()

    # Held until the end, so that nobody comes in between while the source is started anew.
    async with AsyncExitStack() as leases:
        await supervise(name, lambda: _unless(stop, work), stop)


async def _unless(stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work; the stop cancels it."""
    task, stopping = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
    if not task.cancelled():
        task.result()


async def _stream(
    source: Source, stream: Stream, book: OpenBook, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event
) -> None:
    core = loaded.get(CoreSettings)
    limits = parts.limits(core)
    harvest = Harvest(source, stream, stores.queue, book, stores.letters, limits=limits, retry=DAEMON)
    log = get_logger("harvest").bind(source=source.name, stream=stream.name)

    async def work() -> None:
        while not stop.is_set():
            first, now = first_start(source, loaded), source.now()
            coverage = book.coverage(stream.name)
            span = live_window(coverage, now, stream.timing) if coverage.start else Interval(min(first, now), now)
            try:
                spans.allow(span, stream, limits, daemon=True)
            except RefusedError as error:
                # This stream waits for a person; the sinks and the other streams go on.
                raise PermanentError(str(error)) from error
            try:
                await harvest.poll(first)
                await harvest.reread()
            except CoverageResetError:
                log.warning("the book was reset or deleted: beginning as it says")
                continue
            await sleep_until(stop, core.poll_interval)

    await supervise(f"{source.name}/{stream.name}", work, stop)


async def feeding(name: str, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event, *, accept_rejections: bool) -> None:
    """Feed one sink until the stop."""

    async def work() -> None:
        await feed(name, loaded, stores, stop, accept_rejections=accept_rejections)

    await supervise(f"sink {name}", work, stop)


async def feed(
    name: str, loaded: Loaded, stores: parts.Stores, stop: asyncio.Event, *, accept_rejections: bool, until_empty: bool = False
) -> Mapping[str, int]:
    """Feed one sink until the stop, or until there is nothing left; what was counted."""
    core, counts = loaded.get(CoreSettings), Counter[str]()
    async with parts.open_enrichers(loaded, parts.QUICK) as enrichers, parts.sink_named(name, loaded) as sink:
        processing = parts.processing(sink, stores.letters, stop, enrichers, accept_rejections=accept_rejections)
        waiting = sum((await stores.queue.lag(sink.name)).values()) if until_empty else 0
        with bar(f"consume {sink.name}", waiting, printing=name == "-", wanted=until_empty) as shown:

            def committed(more: Mapping[str, int]) -> None:
                counts.update(more)
                if until_empty:
                    shown.update(counts["consumed"], count=counts["consumed"])

            await consume(
                stores.queue,
                sink.name,
                processing,
                stores.letters,
                stop,
                flow=parts.flow(core),
                until_empty=until_empty,
                on_commit=committed,
            )
    return counts
