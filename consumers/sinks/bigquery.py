"""The sink BigQuery: one table a record class, each batch loaded into tables of its own and merged from there in one transaction.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json, https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement
"""

import asyncio
import contextlib
import gzip
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain
from typing import Any

from yarl import URL

from consumers.protocols import Pace, Rejection
from consumers.records.record import Record
from consumers.sinks import bigquery_sql as sql
from consumers.sinks.bigquery_jobs import Warehouse
from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.sinks.rows import row_of
from consumers.sinks.shaped import Shaped, by_table, newest, shaped, table
from harvester import crash
from harvester.access import NOBODY, Access
from harvester.errors import ConfigError, HarvesterError, InvalidEventError, TransientError
from harvester.event import Event
from harvester.google import open_google

SCOPE = "https://www.googleapis.com/auth/bigquery"
_EXPIRES = timedelta(days=1)
"""When a stage goes that nobody dropped."""
_TURN = "harvester_turn"
"""The table whose row everyone changes who merges: see `bigquery_sql.alone`."""


class BigQuerySink:
    """Writes by (event_module, key) and only over a rank that is not higher."""

    name = "bigquery"

    def __init__(self, warehouse: Warehouse, settings: BigQuerySettings, now: Callable[[], datetime]) -> None:
        self._warehouse = warehouse
        self._settings = settings
        self._now = now
        self._turn = asyncio.Lock()  # of equal states the last written stays, and no two merges meet in one table
        self._ready: set[type[Record]] = set()
        self._unfinished: dict[str, str] = {}
        """Batch → run, until all its jobs have ended well: what is asked again of one run is done once."""

    @property
    def pace(self) -> Pace:
        """Jobs cost seconds and quotas, however few rows are in them."""
        return Pace(self._settings.batch_events, self._settings.batch_seconds)

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Returns: merged, or rejected. TransientError: no answer, limits, another who merges, a failure of theirs; nothing of it
        was written, unless the answer was lost.

        InvalidEventError: rows of one table were refused whole. ConfigError: a table or the dataset is none of ours.
        PermanentError: login or rights.
        """
        crash.point("sink.before_write")
        records, rejections = shaped(events)
        if records:
            async with self._turn:
                await self._load(newest(records))
        crash.point("sink.after_write")
        return rejections

    async def _load(self, records: list[Shaped]) -> None:
        groups = by_table(records)
        try:
            for group in groups:
                await self._prepare(type(group[0].record))
            await self._write_groups(groups)
        except BaseException:
            self._ready.clear()  # a table may be gone: look again
            raise

    async def _write_groups(self, groups: list[list[Shaped]]) -> None:
        batch, now = _digest(groups), self._now()
        run = self._unfinished.get(batch) or await self._begin(groups, batch)
        tables = [(type(group[0].record), [row_of(item, now) for item in group]) for group in groups]
        ended = await asyncio.gather(*(self._fill(batch, run, *one) for one in tables), return_exceptions=True)
        if errors := [one for one in ended if isinstance(one, BaseException)]:
            # What stops us counts more than what is waited out.
            raise min(errors, key=lambda error: isinstance(error, TransientError | InvalidEventError))
        crash.point("sink.in_write")
        name_of, names = self._warehouse.name_of, [record.__shape__.table for record, _ in tables]
        merges = [
            sql.merge(record, name_of(name), name_of(_stage(name, run)), sql.span_of(record, rows))
            for name, (record, rows) in zip(names, tables, strict=True)
        ]
        merge = {"query": sql.alone(name_of(_TURN), merges), "useLegacySql": False}
        self._check(batch, await self._warehouse.run(f"harvester_merge_{batch}", run, {"query": merge}))
        del self._unfinished[batch]
        for name in names:
            with contextlib.suppress(TransientError):
                await self._warehouse.drop_table(_stage(name, run))

    async def _fill(self, batch: str, run: str, record: type[Record], rows: list[list[Any]]) -> None:
        name = record.__shape__.table
        load = {
            "destinationTable": self._warehouse.reference(_stage(name, run)),
            "sourceFormat": "NEWLINE_DELIMITED_JSON",
            "schema": {"fields": sql.fields(record)},
            "createDisposition": "CREATE_NEVER",
            "writeDisposition": "WRITE_TRUNCATE",
        }
        content = gzip.compress(b"\n".join(sql.line(record, row) for row in rows), 1, mtime=0)
        self._check(batch, await self._warehouse.run(f"harvester_load_{name}_{batch}", run, {"load": load}, content))

    async def _begin(self, groups: list[list[Shaped]], batch: str) -> str:
        """A run with its stages, made here alone: where one is gone later, the job that wants it fails, and so the run."""
        run = secrets.token_hex(8)
        expires = int((datetime.now(UTC) + _EXPIRES).timestamp() * 1000)
        for record in (type(group[0].record) for group in groups):
            made = {"schema": {"fields": sql.fields(record)}, "expirationTime": str(expires)}
            await self._warehouse.make_table(_stage(record.__shape__.table, run), made)
        self._unfinished[batch] = run
        return run

    def _check(self, batch: str, error: HarvesterError | None) -> None:
        """A job that failed is over: what is asked again is another run. One without an answer may have ended well."""
        if error is not None:
            self._unfinished.pop(batch, None)
            raise error

    async def _prepare(self, record: type[Record]) -> None:
        """Make dataset and table, or add the columns that a newer class has more; ConfigError: one of them is none of ours."""
        if record in self._ready:
            return
        if not self._ready:
            await self._prepare_dataset()
        name = record.__shape__.table
        found = await self._warehouse.table(name)
        if found is None:
            schema = {"schema": {"fields": sql.fields(record)}}
            await self._warehouse.make_table(name, schema | sql.layout(record, self._settings.partitioning))
        else:
            there = found.get("schema", {}).get("fields", [])
            where = f"{self._warehouse.where}.{name}"
            if faults := sql.faults(there, record):
                raise ConfigError(*(f"{where}: {fault}: rename the table, we make a new one" for fault in faults))
            if more := sql.missing(there, record):
                await self._change("alter", sql.add(self._warehouse.name_of(name), more))
        self._ready.add(record)

    async def _change(self, what: str, statement: str) -> None:
        run = secrets.token_hex(16)
        configuration = {"query": {"query": statement, "useLegacySql": False}}
        if error := await self._warehouse.run(f"harvester_{what}_{run}", run, configuration):
            raise error

    async def _prepare_dataset(self) -> None:
        found = await self._warehouse.dataset()
        if found is None:
            await self._warehouse.make_dataset()
        elif found.get("location", self._settings.location).upper() != self._settings.location.upper():
            raise ConfigError(
                f"{self._warehouse.where}: it is in {found['location']}, HARVESTER_BIGQUERY_LOCATION says "
                f"{self._settings.location}: set it so, where the archive's bucket has to be, too; or name another dataset"
            )
        if await self._warehouse.table(_TURN) is None:
            await self._change("turn", sql.turn(self._warehouse.name_of(_TURN)))


def _stage(table: str, run: str) -> str:
    return f"harvester_stage_{table}_{run}"


def _digest(groups: Sequence[Sequence[Shaped]]) -> str:
    """Of what is written, whenever that is."""
    found = blake2b(digest_size=16)
    for item in chain.from_iterable(groups):
        found.update(f"{table(item)}\0{item.event.id}\0{item.rank}\0".encode())
    return found.hexdigest()


@asynccontextmanager
async def open_bigquery(
    settings: BigQuerySettings, access: Access = NOBODY, *, now: Callable[[], datetime] | None = None
) -> AsyncIterator[BigQuerySink]:
    """The sink as set. BigQuery is not asked before the first batch. ConfigError: no project, or no login."""
    if not settings.project_id:
        raise ConfigError(
            "HARVESTER_BIGQUERY_PROJECT_ID is not set: name the project that holds the dataset and pays for its jobs"
        )
    endpoint = URL(settings.url) if settings.url else None
    async with open_google(access, "bigquery", scope=SCOPE, endpoint=endpoint) as google:
        yield BigQuerySink(Warehouse(google, settings), settings, now or (lambda: datetime.now(UTC)))
