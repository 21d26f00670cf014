"""`harvest demo`: all of it against the sandboxes, with faults, and the proof on one screen."""

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from consumers.consume import consume
from consumers.sinks import open_sink
from harvester import logs
from harvester.commands import demo_folder, demo_screen, parts
from harvester.commands.audit import equations
from harvester.commands.demo_found import people_of, query
from harvester.commands.demo_screen import Pass, Shown
from harvester.commands.progress import Bar, bar
from harvester.coverage import Interval
from harvester.errors import RefusedError
from harvester.harvest import Harvest
from harvester.loading import Loaded
from harvester.openbook import OpenBook
from harvester.retry import Retry
from harvester.sandbox.serve import Running, RunningZoom, serve
from harvester.sandbox.settings import SandboxSettings
from harvester.sandbox.zoom_settings import ZOOM_REST, ZoomSandboxSettings
from harvester.service import run_once
from harvester.settings import CoreSettings

_LONG_PAST = timedelta(days=3)
"""The week ends so long ago that all has come to rest before the real now: no book may lie in the future."""
_SETTLED = timedelta(hours=6)
"""The harvester reads Opencast once more so long after it was read; all of it has come to rest then."""
_PATIENCE = Retry(attempts=None, scale=0.1)
"""As the daemon retries and keeps to limits, in a tenth of the time."""
_STREAMS = {"opencast": "useractions", "zoom": "meetings"}
"""What is read of each source."""


class Size(NamedTuple):
    """How much there is to harvest."""

    days: int = 7
    actions_per_day: int = 2500
    meetings_per_day: int = 40
    faults: float = 0.12
    records: float = 0.002
    slow: float = 0.2
    """Seconds that a slow answer takes."""


_WEEK = Size()


class Vendors(NamedTuple):
    """The simulated Opencast and Zoom of one university, and the week that is harvested from them."""

    opencast: Running
    zoom: RunningZoom
    start: datetime
    end: datetime

    def close(self) -> None:
        """Nothing begins after the week, so that the tables hold it alone."""
        for vendor in (self.opencast, self.zoom):
            vendor.sandbox.stop_changing(self.end - timedelta(seconds=1))

    def rest(self) -> None:
        """Time passes until nothing changes any more."""
        for vendor, rest in ((self.opencast, _SETTLED), (self.zoom, ZOOM_REST)):
            vendor.clock.advance(rest + timedelta(hours=1))


class Reader(NamedTuple):
    """One stream on its way into the queue."""

    name: str
    harvest: Harvest
    book: OpenBook


@click.command("demo")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True, help="Made anew each time."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the simulated Opencast.  [default: a free one]")
@click.option("--pseudonymous", is_flag=True, help="Hide people, as HARVESTER_PRIVACY=pseudonymous does.")
def command(folder: Path, port: int, pseudonymous: bool) -> int:
    """Start a simulated Opencast and a simulated Zoom of one university, harvest a week of lectures and meetings through the
    queue into DuckDB while both misbehave in every way we know, and show what arrived, that nothing is missing, and who was in
    both. Needs no credentials and no network.
    """
    if folder.exists() and not (folder / demo_folder.MARK).exists():
        raise RefusedError(f"{folder} is no demo folder: name another with --folder, it would be emptied")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - _LONG_PAST
    return run_once(show(folder, end, port=port, pseudonymous=pseudonymous))


async def show(folder: Path, end: datetime, *, size: Size = _WEEK, port: int = 0, pseudonymous: bool = False) -> int:
    """The whole demo in an empty folder, of the days before a midnight. The exit code: 0 when everything is proven."""
    began = time.monotonic()
    start = end - timedelta(days=size.days)
    rates = {"all": size.faults, "records": size.records}
    usual: dict[str, Any] = {"now": end, "faults": rates, "slow": size.slow, "retry_after": 0.3}
    lectures = SandboxSettings(**usual, login="digest", actions_per_day=size.actions_per_day)
    meetings = ZoomSandboxSettings(**usual, meetings_per_day=size.meetings_per_day, page_cap=30, pace=1 / _PATIENCE.scale)
    async with serve(lectures, port=port) as opencast, serve(meetings) as zoom:
        vendors = Vendors(opencast, zoom, start, end)
        vendors.close()
        loaded = demo_folder.settings(folder, opencast.url, zoom.url, pseudonymous=pseudonymous)
        logs.setup("warn")
        click.echo(demo_screen.opening(opencast.url, zoom.url, start, end), err=True)
        shown = await _harvest(loaded, vendors)
        demo_folder.write_query(folder)
        screen = shown.text(seconds=time.monotonic() - began, folder=folder, command=Path(sys.argv[0]))
    click.echo(screen)
    return 0 if shown.proven else 1


async def _harvest(loaded: Loaded, vendors: Vendors) -> Shown:
    core, stop = loaded.get(CoreSettings), asyncio.Event()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(parts.open_stores(core))
        enrichers = await stack.enter_async_context(parts.open_enrichers(loaded, _PATIENCE))
        sink = await stack.enter_async_context(open_sink(f"duckdb:///{core.duckdb_path}"))
        readers = [await _reader(name, loaded, stores, stack) for name in _STREAMS]
        processing = parts.processing(sink, stores.letters, stop, enrichers)
        feeding = asyncio.create_task(consume(stores.queue, "duckdb", processing, stores.letters, stop))
        first = await _pass([reader.harvest for reader in readers], vendors, "a week of lectures and meetings")
        vendors.rest()
        second = await _pass([reader.harvest for reader in readers], vendors, "what came late or changed")
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await consume(stores.queue, "duckdb", processing, stores.letters, stop, until_empty=True)
        lectures = vendors.opencast.truth(vendors.start, vendors.end)
        meetings = vendors.zoom.truth(vendors.start, vendors.end)
        return Shown(
            lectures=lectures,
            meetings=meetings,
            people=people_of(lectures, meetings),
            equations=await equations(stores.queue),
            coverages={f"{r.name}/{_STREAMS[r.name]}": r.book.coverage(_STREAMS[r.name]) for r in readers},
            letters=[letter async for letter in stores.letters.scan("")],
            stats={"opencast": vendors.opencast.stats.snapshot(), "zoom": vendors.zoom.stats.snapshot()},
            passes=(first, second),
            found=await asyncio.to_thread(query, core.duckdb_path, vendors.start, vendors.end),
        )


async def _reader(name: str, loaded: Loaded, stores: parts.Stores, stack: AsyncExitStack) -> Reader:
    source = await stack.enter_async_context(parts.open_source(name, loaded, _PATIENCE))
    book = OpenBook(stores.coverages, name, stores.queue, pace=timedelta(0))
    await book.load()
    [stream] = [stream for stream in await source.streams() if stream.name == _STREAMS[name]]
    limits = parts.limits(loaded.get(CoreSettings))
    return Reader(name, Harvest(source, stream, stores.queue, book, stores.letters, limits=limits), book)


async def _pass(harvests: Sequence[Harvest], vendors: Vendors, title: str) -> Pass:
    """One live poll of each source, all at once."""
    before = [dict(harvest.totals) for harvest in harvests]
    with bar(title, (vendors.end - vendors.start) * len(harvests)) as shown:
        _told(harvests, vendors.start, shown)
        await asyncio.gather(*(harvest.poll(vendors.start) for harvest in harvests))
    done = {name: sum(h.totals[name] - b[name] for h, b in zip(harvests, before, strict=True)) for name in before[0]}
    return Pass(done["published"], done["filtered"])


def _told(harvests: Sequence[Harvest], start: datetime, shown: Bar) -> None:
    """The bar shows how far all of them have come together."""
    reached = [0.0] * len(harvests)

    def told(nth: int, window: Interval) -> None:
        reached[nth] = (window.end - start).total_seconds()
        shown.update(sum(reached), count=sum(harvest.totals["read"] for harvest in harvests), reached=window.end)

    for nth, harvest in enumerate(harvests):
        harvest.on_window = partial(told, nth)
