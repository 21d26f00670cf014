"""The DuckDB sink's SQL: everything in it follows from the record class."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import duckdb

from consumers.records.record import Column, Kind, Record, columns
from consumers.sinks.rows import whole
from harvester.errors import ConfigError

# Times are UTC without a zone: Python reads one with a zone only through pytz, and days would begin where the reader sits.
_TYPES: dict[Kind, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "json": "JSON",
}


def ready_table(connection: duckdb.DuckDBPyConnection, record: type[Record], path: Path) -> None:
    """Make the record's table, or add the columns that a newer class has more; a column of another type is a ConfigError."""
    table, wanted = quoted(record.__shape__.table), whole(record)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({_comma(f'{quoted(c.name)} {_TYPES[c.kind]}' for c in wanted)})")
    present = there(connection, record)
    faults = [
        f"{path}: {table} has {c.name} as {present[c.name]}, it should be {_TYPES[c.kind]}: rename the table, we make a new one"
        for c in wanted
        if present.get(c.name, _TYPES[c.kind]) != _TYPES[c.kind]
    ]
    if faults:
        raise ConfigError(*faults)
    for column in wanted:
        if column.name not in present:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column.name)} {_TYPES[column.kind]}")


def merge(record: type[Record], staged: Path, longest: int) -> str:
    """Rows from the file `staged` into the table: new keys inserted, known ones overwritten on an equal or higher rank."""
    names = [quoted(c.name) for c in whole(record)]
    key = quoted(record.__shape__.key)
    return (
        f"MERGE INTO {quoted(record.__shape__.table)} AS old USING ({_rows(record, staged, longest)}) AS new "  # noqa: S608 - quoted
        f"ON old.event_module = new.event_module AND old.{key} = new.{key} "
        "WHEN MATCHED AND new.event_rank >= coalesce(old.event_rank, 0) "
        f"THEN UPDATE SET {_comma(f'{name} = new.{name}' for name in names)} "
        f"WHEN NOT MATCHED THEN INSERT ({_comma(names)}) VALUES ({_comma(f'new.{name}' for name in names)})"
    )


def there(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> dict[str, str]:
    """Name → type of the columns that the record's table has; {} when there is none."""
    described = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = 'main' AND table_name = ?",
        [record.__shape__.table],
    )
    return dict(described.fetchall())


def find(record: type[Record], columns_: Collection[str]) -> str:
    """The select behind `Held`, of $1, a key or an event id, from the source $2, or any when that is ""."""
    shape = record.__shape__
    key, type_ = quoted(shape.key), next(_TYPES[c.kind] for c in shape.columns if c.name == shape.key)
    text = f"CAST({key} AS VARCHAR)"
    enrichment = "event_enrichment" if "event_enrichment" in columns_ else "NULL"  # a file of an older version has none
    # The cast of what is asked for lets DuckDB pass over blocks; alone it would take 1e2 for 100.
    return (
        f"SELECT event_module, {text}, event_id, coalesce(event_rank, 0) // 2, event_time, event_ingested, {enrichment} "  # noqa: S608 - quoted
        f"FROM {quoted(shape.table)} "
        f"WHERE (({key} = TRY_CAST($1 AS {type_}) AND {text} = $1) OR event_id = $1) AND $2 IN ('', event_module) LIMIT 100"
    )


def changed(record: type[Record]) -> str:
    """The select of keys whose `updated` is not before $2, from the source $1."""
    shape = record.__shape__
    return f"SELECT {quoted(shape.key)} FROM {quoted(shape.table)} WHERE event_module = $1 AND updated >= $2 ORDER BY 1"  # noqa: S608 - quoted


def amend(record: type[Record], field: str, part: str) -> str:
    """The update of the columns of `part` where they are others, in rows from before $1, of the source $2 and the value $3.

    The columns' new values follow, in their order. Nothing becomes a newer state by it.
    """
    names = [quoted(column.name) for column in part_of(record, part)]
    new = [f"{name} = ${number}" for number, name in enumerate(names, 4)]
    other = [f"{name} IS DISTINCT FROM ${number}" for number, name in enumerate(names, 4)]
    return (
        f"UPDATE {quoted(record.__shape__.table)} SET {_comma(new)}, event_enrichment = 'complete', event_ingested = $1, "  # noqa: S608 - quoted
        f"event_rank = coalesce(event_rank, 0) | 1 WHERE event_ingested < $1 AND event_module = $2 AND {quoted(field)} = $3 "
        f"AND (event_enrichment IS DISTINCT FROM 'complete' OR {' OR '.join(other)})"
    )


def part_of(record: type[Record], part: str) -> tuple[Column, ...]:
    """The columns that a part of a record is in."""
    return tuple(column for column in columns(record) if column.path[0] == part)


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def _rows(record: type[Record], staged: Path, longest: int) -> str:
    """The select that flattens lines as `consumers.records.record.row` writes them."""
    flat = _comma(f"line.{'.'.join(map(quoted, c.path))} AS {quoted(c.name)}" for c in whole(record))
    types = _comma(f"{_literal(name)}: {_literal(type_)}" for name, type_ in _line_types(record).items())
    return (
        f"SELECT {flat} FROM read_json({_literal(str(staged))}, format = 'newline_delimited', "  # noqa: S608 - quoted
        f"maximum_object_size = {longest}, columns = {{{types}}}) AS line"
    )


def _line_types(record: type[Record]) -> dict[str, str]:
    """Type by name at the top of a line."""
    tree: dict[str, Any] = {}
    for column in whole(record):
        at = tree
        for name in column.path[:-1]:
            at = at.setdefault(name, {})
        at[column.path[-1]] = _TYPES[column.kind]
    return {name: _type(value) for name, value in tree.items()}


def _type(value: str | dict[str, Any]) -> str:
    if isinstance(value, str):
        return value
    return f"STRUCT({_comma(f'{quoted(name)} {_type(inner)}' for name, inner in value.items())})"


def _comma(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
