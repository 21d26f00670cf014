"""`harvest demo`: all of it against the sandbox, with faults, and the proof on one screen."""

import asyncio
import shutil
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consumers.batch import Processing
from consumers.consume import consume
from consumers.enrichers.opencast import EpisodeSettings
from consumers.records import gives_records
from consumers.sinks import open_sink
from harvester import logs
from harvester.commands import demo_screen, parts
from harvester.commands.audit import equations
from harvester.commands.progress import bar
from harvester.errors import RefusedError
from harvester.harvest import Harvest
from harvester.loading import Loaded
from harvester.openbook import OpenBook
from harvester.privacy import PrivacySettings
from harvester.retry import Retry
from harvester.service import run_once
from harvester.settings import CoreSettings, load
from harvester.sources.opencast import OpencastSettings

if TYPE_CHECKING:
    from harvester.sandbox.serve import Running

_WEEK = timedelta(days=7)
_REST = timedelta(hours=7)
"""Longer than `settle`: after it every row has come to rest."""
_PATIENCE = Retry(attempts=None, scale=0.1)
"""As the daemon retries, in a tenth of the time."""
_FAULTS = {"all": 0.12, "records": 0.002}
_MARK, _PASSWORD = "harvester.toml", "opencast.password"


@click.command("demo")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True, help="Made anew each time."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the sandbox.  [default: a free one]")
def command(folder: Path, port: int) -> int:
    """Start a simulated Opencast, harvest a week of lecture-player actions through the queue into DuckDB while it misbehaves in
    every way we know, and show what arrived and that nothing is missing. Needs no credentials and no network.
    """
    if folder.exists() and not (folder / _MARK).exists():
        raise RefusedError(f"{folder} is no demo folder: name another with --folder, it would be emptied")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return run_once(_demo(folder, port))


def _settings(folder: Path, url: str) -> Loaded:
    (folder / _MARK).write_text(
        "# Written by `harvest demo`: HARVESTER_CONFIG names this file to the other commands.\n"
        f'queue_url = "sqlite:///{folder}/queue.db"\n'
        f'coverage_url = "file://{folder}/coverage"\n'
        f'letters_url = "sqlite:///{folder}/letters.db"\n'
        f'duckdb_path = "{folder}/harvest.duckdb"\n'
        "\n[opencast]\n"
        f'url = "{url}"\nuser = "harvester"\npassword_file = "{folder / _PASSWORD}"\nwait = 0\n'
    )
    secret = folder / _PASSWORD
    secret.touch(mode=0o600)
    secret.write_text("sandbox\n")
    environ = {"HARVESTER_CONFIG": str(folder / _MARK)}
    return load(CoreSettings, OpencastSettings, PrivacySettings, EpisodeSettings, environ=environ)


async def _demo(folder: Path, port: int) -> int:
    from harvester.sandbox.serve import serve
    from harvester.sandbox.settings import SandboxSettings

    began = time.monotonic()
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - _REST - timedelta(hours=1)
    world = SandboxSettings(now=now, login="digest", faults=_FAULTS, slow=0.2, retry_after=0.3)
    async with serve(world, port=port) as sandbox:
        loaded = _settings(folder, sandbox.url)
        logs.setup("warn")
        click.echo(demo_screen.opening(sandbox.url, now - _WEEK, now), err=True)
        shown = await _harvest(loaded, sandbox, now - _WEEK, now)
        screen = shown.text(seconds=time.monotonic() - began, folder=folder, command=_command())
    click.echo(screen)
    return 0 if shown.proven else 1


async def _harvest(loaded: Loaded, sandbox: "Running", start: datetime, end: datetime) -> demo_screen.Shown:
    core, stop = loaded.get(CoreSettings), asyncio.Event()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(parts.open_stores(core))
        source = await stack.enter_async_context(parts.open_source("opencast", loaded, _PATIENCE))
        enrichers = await stack.enter_async_context(parts.open_enrichers(loaded, _PATIENCE))
        sink = await stack.enter_async_context(open_sink(f"duckdb:///{core.duckdb_path}"))
        book = OpenBook(stores.coverages, "opencast", stores.queue, pace=timedelta(0))
        await book.load()
        stream = (await source.streams())[0]
        harvest = Harvest(source, stream, stores.queue, book, stores.letters, limits=parts.limits(core))
        processing = Processing(sink, stores.letters, stop, enrichers=enrichers, wants=gives_records)
        feeding = asyncio.create_task(consume(stores.queue, "duckdb", processing, stores.letters, stop))
        first = await _poll(harvest, start, end, "a week of actions")
        sandbox.sandbox.stop_changing()
        sandbox.clock.advance(_REST)
        second = await _poll(harvest, start, end, "late and growing rows")
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await consume(stores.queue, "duckdb", processing, stores.letters, stop, until_empty=True)
        letters = [letter async for letter in stores.letters.scan("")]
        return demo_screen.Shown(
            truth=sandbox.truth(start, end),
            equations=await equations(stores.queue),
            coverage=book.coverage(stream.name),
            letters=letters,
            stats=sandbox.stats.snapshot(),
            polls=(first, second),
            found=await asyncio.to_thread(demo_screen.query, core.duckdb_path, start, end),
        )


async def _poll(harvest: Harvest, start: datetime, end: datetime, title: str) -> dict[str, int]:
    """One live poll; what it published and left out."""
    before = dict(harvest.totals)
    with bar(title, end - start) as shown:
        harvest.on_window = lambda w: shown.update((w.end - start).total_seconds(), count=harvest.totals["read"], reached=w.end)
        await harvest.poll(start)
    return {name: amount - before[name] for name, amount in harvest.totals.items()}


def _command() -> str:
    """How this command was called, for what to type next."""
    called = Path(sys.argv[0])
    return "harvest" if called.name == "__main__.py" else str(called)
