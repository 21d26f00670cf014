"""The sink PostgreSQL (12 and newer): one table a record class, each batch in one transaction.

A batch is copied into temporary tables, and merged from there: https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from consumers.protocols import Held, Rejection
from consumers.records.mapping import record_classes
from consumers.records.record import Record, key
from consumers.sinks import postgres_sql as sql
from consumers.sinks.postgres_errors import RAISED, named
from consumers.sinks.postgres_settings import Place, PostgresSettings, place_of
from consumers.sinks.rows import row_of, whole
from consumers.sinks.shaped import Shaped, by_table, newest, shaped, table
from harvester import crash
from harvester.errors import ConfigError, TransientError
from harvester.event import Event

_CONNECTIONS = 2
"""One that writes, and one that is asked meanwhile."""
_END = 10.0
"""Seconds that the server is given to say goodbye."""
_MOST = 2**63


class PostgresSink:
    """Writes by (event_module, key) and only over a rank that is not higher."""

    name = "postgres"

    def __init__(self, pool: asyncpg.Pool, place: Place, settings: PostgresSettings, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._place = place
        self._schema = settings.schema_
        self._timeout = settings.timeout
        self._now = now
        # One batch after another: of equal states the last written stays, and no two wait for each other's rows.
        self._turn = asyncio.Lock()
        self._ready: set[type[Record]] = set()

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Returns: committed, or rejected. TransientError: no answer, overload, a full disk; nothing of it was written, unless
        the answer was lost.

        InvalidEventError: the batch was refused whole. ConfigError: a table is none of ours. PermanentError: login or rights.
        """
        crash.point("sink.before_write")
        records, rejections = shaped(events)
        if records:
            async with self._turn:
                await self._load(newest(records))
        crash.point("sink.after_write")
        return rejections

    async def find(self, name: str, source: str = "") -> Sequence[Held]:
        """What the tables hold of a thing. TransientError: no answer; ConfigError and PermanentError as for `write`."""
        found: list[Held] = []
        if "\0" in name + source:
            return found
        async with self._connection() as connection:
            for record in record_classes():
                there = dict(await connection.fetch(sql.THERE, sql.name_of(self._schema, record)))
                if there:
                    asked = (_as_key(record, name), name, source)
                    rows = await connection.fetch(sql.find(self._schema, record, there), *asked)
                    where = f"{self._place}, table {self._schema}.{record.__shape__.table}"
                    found += [Held(place=where, **row) for row in rows]
        return found

    async def _load(self, records: list[Shaped]) -> None:
        now = self._now()
        # In one order for all who write: two of them wait for each other's rows at most one way.
        records.sort(key=lambda item: (item.event.source, table(item), key(item.record)))
        batches = [(type(group[0].record), group) for group in by_table(records)]
        try:
            async with self._connection() as connection:
                for record, _ in batches:
                    await self._prepare(connection, record)
                async with connection.transaction():
                    for record, group in batches:
                        await self._merge(connection, record, [row_of(item, now) for item in group])
                    crash.point("sink.in_write")
        except TransientError:
            self._ready.clear()  # the table may be gone: look again
            raise

    async def _merge(self, connection: Any, record: type[Record], rows: list[list[Any]]) -> None:
        await connection.execute(sql.stage(record))
        await connection.copy_records_to_table(
            sql.stage_name(record), schema_name="pg_temp", columns=list(sql.wanted(record)), records=rows, timeout=self._timeout
        )
        await connection.execute(sql.merge(self._schema, record))

    async def _prepare(self, connection: Any, record: type[Record]) -> None:
        if record not in self._ready:
            await ready_table(connection, record, self._place, self._schema)
            self._ready.add(record)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=self._timeout) as connection:
                yield connection
        except RAISED as error:
            raise named(error, self._place) from error


def _as_key(record: type[Record], name: str) -> Any:
    """What is asked for as a key of the record has it; None for a text that is no such key: its id is asked for still."""
    kind = next(column.kind for column in whole(record) if column.name == record.__shape__.key)
    if kind == "text":
        return name
    number = int(name) if len(name) < 21 and name.removeprefix("-").isdecimal() and name.isascii() else None
    return number if number is not None and str(number) == name and -_MOST <= number < _MOST else None


async def ready_table(connection: Any, record: type[Record], place: Place, schema: str) -> None:
    """Make the record's table, or add the columns that a newer class has more; ConfigError: one of them has another type."""
    name, wanted = sql.name_of(schema, record), sql.wanted(record)
    there: dict[str, str] = dict(await connection.fetch(sql.THERE, name))
    faults = [
        f"postgres {place}: {name} has {column} as {there[column]}, it should be {type_}: rename the table"
        for column, type_ in wanted.items()
        if there.get(column, type_) != type_
    ]
    if faults:
        raise ConfigError(*faults)
    if missing := wanted.keys() - there.keys():
        async with connection.transaction():
            await connection.execute(sql.ALONE)
            if not await connection.fetchval(sql.SCHEMA, sql.quoted(schema)):
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quoted(schema)}")
            await connection.execute(sql.add(schema, record, missing) if there else sql.create(schema, record))


def connection_options(settings: PostgresSettings, place: Place) -> dict[str, Any]:
    """What a connection or a pool of them is opened with."""
    return {
        "host": place.host,
        "port": place.port,
        "database": place.database,
        "user": settings.user or None,
        "password": settings.password.get_secret_value() or None,
        "ssl": place.tls,
        "timeout": settings.timeout,
        "command_timeout": settings.timeout,
        "statement_cache_size": 0,  # a pooler in between hands the next statement to another connection
        "server_settings": {"application_name": "event-harvester"},
    }


@asynccontextmanager
async def open_postgres(settings: PostgresSettings, *, now: Callable[[], datetime] | None = None) -> AsyncIterator[PostgresSink]:
    """The sink as set. No server is asked before the first batch. ConfigError: an address or authority that cannot serve."""
    place = place_of(settings)
    pool = asyncpg.create_pool(**connection_options(settings, place), min_size=0, max_size=_CONNECTIONS)
    await pool
    try:
        yield PostgresSink(pool, place, settings, now or (lambda: datetime.now(UTC)))
    finally:
        with contextlib.suppress(*RAISED):
            await asyncio.wait_for(pool.close(), _END)
        pool.terminate()
