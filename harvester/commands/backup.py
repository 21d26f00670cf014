"""`harvest backup`: queue, coverage, letters and DuckDB as they were in one moment, while everything goes on."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import click
import msgspec

from harvester.book import encode_book
from harvester.bookfile import BookFile
from harvester.commands import parts, presence
from harvester.commands.options import json_option
from harvester.commands.progress import bar
from harvester.commands.words import amount_of
from harvester.disk import named, sync_directory, write_durably
from harvester.errors import ConfigError, RefusedError, TransientError
from harvester.letters.sqlite import LETTERS
from harvester.queuefile import QUEUE
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sqlite import Database, Kind, open_database
from harvester.url import database_path, directory_path, parse

_PATIENCE = 30.0
"""Seconds to wait for whoever writes."""
_PAGES = 1024
"""Copied at once: 16 MiB."""
_NAP = 0.05
Watch = Callable[[int, int, int], None]


class Saved(NamedTuple):
    """One file of a backup, and where it belongs."""

    file: str
    bytes: int
    place: str


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def command(folder: Path, as_json: bool) -> int:
    """Copy queue, coverage, dead letters and the DuckDB file into FOLDER, which is made; daemons may go on meanwhile.

    All of it is of one moment: what the coverage claims is in the copied queue. A folder of that name is a whole backup. To
    restore it, stop everything, move the old files away, and put all of these in their places.

    \b
    harvest backup /backup/harvester-20261123
    """
    core = parts.settings().get(CoreSettings)
    if folder.exists():
        raise RefusedError(f"{folder} is there already: name a new folder, so that no good backup is overwritten")
    return run_once(_backup(core, folder, as_json=as_json))


async def _backup(core: CoreSettings, folder: Path, *, as_json: bool) -> int:
    saved = await _saved(core, folder)
    if as_json:
        click.echo(msgspec.json.encode([one._asdict() for one in saved]))
        return 0
    for one in saved:
        click.echo(f"{one.file:<28} {one.bytes:>15,} bytes   {one.place}")
    click.echo(f"{folder}: {amount_of(len(saved), 'file')}, all of one moment", err=True)
    return 0


async def _saved(core: CoreSettings, folder: Path) -> Sequence[Saved]:
    """Everything under another name first: what is cut leaves no folder that looks like a backup."""
    await presence.need_queue(core)
    beside = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "coverage").mkdir(parents=True)
        async with AsyncExitStack() as stack:
            files = await _frozen(core, beside, stack)
            for database, target in files:
                await _copied(database, target)
        await asyncio.to_thread(_copy_duckdb, core.duckdb_path, beside / "harvest.duckdb")
        return await asyncio.to_thread(_finished, core, beside, folder)
    except OSError as error:
        raise named(error, Path(error.filename or beside)) from error


async def _frozen(core: CoreSettings, folder: Path, stack: AsyncExitStack) -> list[tuple[Database, Path]]:
    """Open what is to be copied at one moment: nobody writes to queue or letters while the books are copied.

    A book claims only what the queue acknowledged before, so that all of it is in the queue's copy; a letter is removed only
    after what was in it is in the queue, so that it is in one of the two copies.
    """
    found = [(core.queue_url, QUEUE, "queue.db")]
    if await presence.missing(core.letters_url) is None:
        found.append((core.letters_url, LETTERS, "letters.db"))
    files: list[tuple[Database, Path]] = []
    async with AsyncExitStack() as held:
        for url, kind, _ in found:
            await held.enter_async_context(_held(_embedded(url), kind))
        for url, kind, name in found:
            database = await stack.enter_async_context(
                open_database(_embedded(url), kind, busy_timeout=_PATIENCE, writable=False)
            )
            await database.run(_begin)
            files.append((database, folder / name))
        await asyncio.to_thread(_copy_books, core.coverage_url, folder / "coverage")
    return files


@asynccontextmanager
async def _held(path: Path, kind: Kind) -> AsyncIterator[None]:
    """Nobody else writes to the file; readers are not held up. Writers wait, for milliseconds here."""
    async with open_database(path, kind, busy_timeout=_PATIENCE) as database:
        await database.run(lambda c: c.execute("BEGIN IMMEDIATE"))
        try:
            yield
        finally:
            await database.run(lambda c: c.execute("ROLLBACK"))


def _begin(connection: sqlite3.Connection) -> None:
    """From now on the connection sees the file as it is at this moment."""
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM meta").fetchone()


async def _copied(database: Database, target: Path) -> None:
    with bar(f"backup {target.name}", 0, unit="pages") as shown:

        def watch(_: int, left: int, total: int) -> None:
            shown.update(total - left, count=total - left, total=total)

        await database.run(_copy, target, watch)


def _copy(connection: sqlite3.Connection, target: Path, watch: Watch) -> None:
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        connection.backup(copy, pages=_PAGES, progress=watch, sleep=0)
    finally:
        copy.close()


def _embedded(url: str) -> Path:
    parsed = parse(url)
    if parsed.scheme != "sqlite":
        raise ConfigError(f"{url}: only embedded stores are copied by this command; use the means of {parsed.scheme} itself")
    return database_path(parsed)


def _copy_books(url: str, folder: Path) -> None:
    parsed = parse(url)
    if parsed.scheme != "file":
        raise ConfigError(f"{url}: only embedded stores are copied by this command; use the means of {parsed.scheme} itself")
    for path in sorted(directory_path(parsed).glob("*.json")):
        # Read as harvesters do: a damaged book in its newest whole generation.
        book = BookFile(path, unquote(path.stem)).read().book
        write_durably(folder / path.name, encode_book(book)).replace(folder / path.name)


def _copy_duckdb(path: Path, target: Path) -> None:
    """As nobody writes it. It is copied last: what the queue's copy counts as delivered is in it."""
    if not path.exists():
        return
    import duckdb

    from consumers.sinks.duckdb_errors import named as duckdb_error

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            with duckdb.connect(path, read_only=True):
                shutil.copyfile(path, target)
                log = path.with_name(path.name + ".wal")
                if log.exists():
                    shutil.copyfile(log, target.with_name(target.name + ".wal"))
            return
        except duckdb.Error as error:
            told = duckdb_error(error, path)
            if not isinstance(told, TransientError) or time.monotonic() > until:
                raise told from error
            time.sleep(_NAP)


def _finished(core: CoreSettings, beside: Path, folder: Path) -> list[Saved]:
    """Durable, and under its name: only a whole backup bears it."""
    places = {
        "queue.db": core.queue_url,
        "letters.db": core.letters_url,
        "coverage": core.coverage_url,
        "harvest.duckdb": str(core.duckdb_path),
    }
    saved = []
    for path in sorted(p for p in beside.rglob("*") if p.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        name = path.relative_to(beside)
        saved.append(Saved(str(name), path.stat().st_size, places.get(name.parts[0], "")))
    for directory in (beside / "coverage", beside):
        sync_directory(directory)
    beside.rename(folder)
    sync_directory(folder.absolute().parent)
    return saved
