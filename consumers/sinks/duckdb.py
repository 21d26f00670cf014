"""The sink DuckDB: one table a record class, in a file that people can query between two writes.

The file is opened for each batch and closed again: a DuckDB file has one writer or many readers, never both.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from consumers.amending import Amendment
from consumers.protocols import Held, Rejection
from consumers.records.mapping import record_classes
from consumers.records.record import Record, row
from consumers.sinks.duckdb_errors import named
from consumers.sinks.duckdb_sql import amend, changed, find, merge, part_of, ready_table, there
from consumers.sinks.shaped import Shaped, by_table, newest, shaped
from harvester import crash, disk
from harvester.errors import ConfigError
from harvester.event import Event
from harvester.url import Url, database_path

# read_json refuses a longer line than it was told of.
_LONGEST_LINE = 16 * 2**20
_LEAST_MEMORY = 64 * 2**20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The options of duckdb:// (bytes; number of threads)."""

    memory_limit: int = 256 * 2**20
    threads: int = 1


class DuckDBSink:
    """Writes by (event_module, key) and only over a rank that is not higher. Times in its tables are UTC without a zone."""

    name = "duckdb"

    def __init__(self, path: Path, thread: ThreadPoolExecutor, *, limits: Limits, now: Callable[[], datetime]) -> None:
        self.path = path
        self._thread = thread
        self._limits = limits
        self._now = now

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Returns: committed, or rejected. TransientError: the file is held by another process, or the disk is full.

        InvalidEventError: DuckDB refused the batch whole. ConfigError: the file is damaged, newer, or no place to write.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, events)

    async def find(self, name: str, source: str = "") -> Sequence[Held]:
        """What the file holds of a thing. TransientError: another process writes it now; ConfigError: it is damaged or newer."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, name, source)

    async def changed(self, record: type[Record], source: str, since: datetime) -> Sequence[str]:
        """The keys of rows that were changed since. Errors as for `find`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._changed, record, source, since)

    async def amend(self, changes: Sequence[Amendment]) -> int:
        """Rewrite what rows say of other things, all or none. Errors as for `write`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._amend, changes)

    def _changed(self, record: type[Record], source: str, since: datetime) -> Sequence[str]:
        if not self.path.exists():
            return []
        try:
            with closing(duckdb.connect(self.path, read_only=True, config=self._config())) as connection:
                if "updated" not in there(connection, record):
                    return []
                found = connection.execute(changed(record), [source, _without_zone(since)]).fetchall()
        except duckdb.Error as error:
            raise named(error, self.path) from error
        return [str(key) for (key,) in found]

    def _amend(self, changes: Sequence[Amendment]) -> int:
        if not self.path.exists():
            return 0
        try:
            with self._opened() as connection:
                for record in {change.record: None for change in changes}:
                    ready_table(connection, record, self.path)
                connection.execute("BEGIN")
                done = sum(_amended(connection, change) for change in changes)
                connection.execute("COMMIT")
        except duckdb.Error as error:
            raise named(error, self.path) from error
        except OSError as error:
            raise disk.named(error, self.path) from error
        return done

    def _find(self, name: str, source: str) -> Sequence[Held]:
        if not self.path.exists():
            return []
        found: list[Held] = []
        try:
            with closing(duckdb.connect(self.path, read_only=True, config=self._config())) as connection:
                for record in record_classes():
                    if present := there(connection, record):
                        rows = connection.execute(find(record, present), [name, source]).fetchall()
                        found += [_held(values, f"{self.path}, table {record.__shape__.table}") for values in rows]
        except duckdb.Error as error:
            raise named(error, self.path) from error
        return found

    def _write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        crash.point("sink.before_write")
        records, rejections = shaped(events)
        if records:
            self._load(newest(records))
        crash.point("sink.after_write")
        return rejections

    def _load(self, records: list[Shaped]) -> None:
        now = self._now()
        batches = [
            (type(group[0].record), [row(record, event, now, rank) for record, event, rank in group])
            for group in by_table(records)
        ]
        try:
            with self._opened() as connection:
                connection.execute("BEGIN")
                for record, lines in batches:
                    self._merge(connection, record, lines)
                crash.point("sink.in_write")
                connection.execute("COMMIT")
        except duckdb.Error as error:
            raise named(error, self.path) from error
        except OSError as error:
            raise disk.named(error, self.path) from error

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if not self.path.exists():
            self.create()
        connection = duckdb.connect(self.path, config=self._config())
        try:
            yield connection
        finally:
            connection.close()

    def _config(self) -> dict[str, str | bool | int | float | list[str]]:
        return {
            "memory_limit": f"{self._limits.memory_limit}B",
            "threads": self._limits.threads,
            "autoinstall_known_extensions": False,
        }

    def create(self) -> None:
        """Make the file when there is none. Under another name first: a kill in the middle leaves no torn one that nobody could
        open.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ConfigError(f"{self.path}: {self.path.parent} is a file: name another place") from error
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        beside.unlink(missing_ok=True)
        try:
            duckdb.connect(beside, config=self._config()).close()
            # Its file was deleted: the log alone is worth nothing, and DuckDB would refuse the new file because of it.
            self.path.with_name(self.path.name + ".wal").unlink(missing_ok=True)
            os.link(beside, self.path)
        except FileExistsError:
            return
        finally:
            beside.unlink(missing_ok=True)
        disk.sync_directory(self.path.parent)

    def _merge(self, connection: duckdb.DuckDBPyConnection, record: type[Record], lines: Sequence[bytes]) -> None:
        ready_table(connection, record, self.path)
        staged = self.path.with_name(self.path.name + ".rows.ndjson")
        try:
            with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - its mode
                file.writelines(line + b"\n" for line in lines)
            longest = max(_LONGEST_LINE, max(map(len, lines)) + 1)
            connection.execute(merge(record, staged, longest))
        finally:
            staged.unlink(missing_ok=True)


def _held(values: Sequence[Any], place: str) -> Held:
    """A row of `duckdb_sql.find`. Times in our tables are UTC without a zone."""
    source, subject, event_id, version, time, ingested, enrichment = values
    times = [moment.replace(tzinfo=UTC) for moment in (time, ingested)]
    return Held(source, subject, event_id, version, times[0], times[1], enrichment or "", place)


def _amended(connection: duckdb.DuckDBPyConnection, change: Amendment) -> int:
    content = [getattr(change.content, column.path[-1]) for column in part_of(change.record, change.part)]
    values = [change.read_at, change.source, change.value, *content]
    given = [_without_zone(value) if isinstance(value, datetime) else value for value in values]
    rows = connection.execute(amend(change.record, change.field, change.part), given).fetchall()
    return int(rows[0][0])


def _without_zone(moment: datetime) -> datetime:
    """As its tables have times."""
    return moment.astimezone(UTC).replace(tzinfo=None)


@asynccontextmanager
async def open_duckdb(url: Url, *, now: Callable[[], datetime] | None = None) -> AsyncIterator[DuckDBSink]:
    """duckdb:///relative.duckdb or duckdb:////absolute.duckdb, with memory_limit and threads. ConfigError for wrong ones."""
    limits = url.options(Limits)
    path = database_path(url)
    if limits.threads < 1 or limits.memory_limit < _LEAST_MEMORY:
        raise ConfigError(f"{url.text}: threads must be at least 1, memory_limit at least {_LEAST_MEMORY // 2**20}MiB")
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="duckdb")
    try:
        yield DuckDBSink(path, thread, limits=limits, now=now or (lambda: datetime.now(UTC)))
    finally:
        await asyncio.to_thread(thread.shutdown)
