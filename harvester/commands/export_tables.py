"""Exports from DuckDB: one select a question, on a file that is only read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from consumers.records.record import Record
from consumers.sinks.duckdb_errors import named
from consumers.sinks.duckdb_sql import quoted, there
from harvester.commands.export_query import Groups, Measure, Query, Row, Term, column_of
from harvester.errors import ConfigError
from harvester.retry import ONE_SHOT, retrying

_FETCHED = 5000
_COMPARED = {"is": "=", "above": ">", "from": ">=", "before": "<"}


class TableReader:
    """Opened by `open_tables`. It works in a thread."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self.where = str(path)

    async def rows(self, query: Query, *more: Term) -> AsyncIterator[Row]:
        """As the contract says."""
        cursor = self._connection.cursor()
        try:
            present = await self._work(cursor, there, cursor, query.record)
            if not present:
                return
            await self._work(cursor, cursor.execute, *_select(query, more, present))
            while page := await self._work(cursor, cursor.fetchmany, _FETCHED):
                for row in page:
                    yield tuple(map(_value, row))
        finally:
            cursor.close()

    async def _work(self, cursor: duckdb.DuckDBPyConnection, act: Callable[..., Any], *args: Any) -> Any:
        work = asyncio.ensure_future(asyncio.to_thread(act, *args))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            cursor.interrupt()
            await asyncio.gather(work, return_exceptions=True)  # a file that is in use cannot be closed
            raise
        except duckdb.Error as error:
            raise named(error, self._path) from error


def _select(query: Query, more: Sequence[Term], present: Collection[str]) -> tuple[str, list[Any]]:
    """The statement and its values. Names are those of our classes, values are bound."""
    table, values = quoted(query.record.__shape__.table), list[Any]()
    keys = [_name(query.record, name, present) for name in query.keys]
    if isinstance(query, Groups):
        cells = [*keys, *(_measure(query.record, measure, present, values) for measure in query.measures)]
    else:
        cells = [*keys, *(_name(query.record, name, present) for name in query.columns)]
    known = (Term(query.keys[0], "known"), Term(query.keys[1], "known"))
    where = _where(query.record, (*known, *query.where, *more), present, values)
    order = ", ".join(f"{nth} NULLS FIRST" for nth in range(1, len(keys) + 1))
    asked = f"{', '.join(cells)} FROM {table} WHERE {where}"
    if isinstance(query, Groups):
        groups = ", ".join(map(str, range(1, len(keys) + 1)))
        return f"SELECT {asked} GROUP BY {groups} ORDER BY {order}", values
    distinct, newest = ", ".join(keys), "event_time DESC, event_id DESC"
    return f"SELECT DISTINCT ON ({distinct}) {asked} ORDER BY {order}, {newest}", values


def _measure(record: type[Record], measure: Measure, present: Collection[str], values: list[Any]) -> str:
    inside = "*" if measure.how == "count" else _name(record, measure.column, present)
    only = f" FILTER (WHERE {_where(record, measure.where, present, values)})" if measure.where else ""
    found = f"{measure.how}({inside}){only}"
    return f"coalesce({found}, 0)::BIGINT" if measure.how == "sum" else found


def _where(record: type[Record], terms: Sequence[Term], present: Collection[str], values: list[Any]) -> str:
    return " AND ".join(_condition(_name(record, term.column, present), term, values) for term in terms)


def _condition(name: str, term: Term, values: list[Any]) -> str:
    if term.how == "known":
        return f"{name} IS NOT NULL"
    if term.how == "one of":
        values += term.value
        return f"{name} IN ({', '.join('?' * len(term.value))})"
    # Times in our tables are UTC without a zone.
    values.append(term.value.astimezone(UTC).replace(tzinfo=None) if isinstance(term.value, datetime) else term.value)
    return f"{name} IS DISTINCT FROM ?" if term.how == "is not" else f"{name} {_COMPARED[term.how]} ?"


def _name(record: type[Record], name: str, present: Collection[str]) -> str:
    """The column; nothing is known of it where an older version made the table without."""
    assert column_of(record, name)
    return quoted(name) if name in present else "NULL"


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000, tzinfo=UTC)
    return value


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    if not path.exists():
        raise ConfigError(
            f"there is no {path}: name the file with HARVESTER_DUCKDB_PATH, fill it with `harvest consume duckdb`, "
            "or read the index: --from elasticsearch"
        )
    try:
        return duckdb.connect(path, read_only=True, config={"autoinstall_known_extensions": False})
    except duckdb.Error as error:
        raise named(error, path) from error


@asynccontextmanager
async def open_tables(path: Path) -> AsyncIterator[TableReader]:
    """The file as of now. ConfigError: there is none, or it is damaged. TransientError: another process holds it.

    While it is open here a sink waits with what it would write.
    """
    connection = await retrying(lambda: asyncio.to_thread(_opened, path), ONE_SHOT)
    try:
        yield TableReader(connection, path)
    finally:
        connection.close()
