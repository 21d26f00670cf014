"""The PostgreSQL sink's SQL: everything in it follows from the record class."""

from collections.abc import Collection, Iterable

from consumers.records.record import Kind, Record
from consumers.sinks.rows import whole

TYPES: dict[Kind, str] = {
    "text": "text",
    "integer": "bigint",
    "number": "double precision",
    "boolean": "boolean",
    "timestamp": "timestamp with time zone",
    "date": "date",
    "json": "jsonb",
}

THERE = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
)
"""Name and type of each column of the table $1, as `name_of` writes it; nothing when there is none."""
SCHEMA = "SELECT to_regnamespace($1) IS NOT NULL"
ALONE = "SELECT pg_advisory_xact_lock(hashtext('event-harvester'))"
"""One makes tables at a time: two that do at once would be refused."""


def name_of(schema: str, record: type[Record]) -> str:
    """The record's table."""
    return f"{quoted(schema)}.{quoted(record.__shape__.table)}"


def wanted(record: type[Record]) -> dict[str, str]:
    """Name → type of every column."""
    return {column.name: TYPES[column.kind] for column in whole(record)}


def create(schema: str, record: type[Record]) -> str:
    """The table, whose rows are known by source and key."""
    known_by = f"PRIMARY KEY (event_module, {quoted(record.__shape__.key)})"
    return f"CREATE TABLE IF NOT EXISTS {name_of(schema, record)} ({_comma([*_defined(wanted(record).items()), known_by])})"


def add(schema: str, record: type[Record], names: Collection[str]) -> str:
    """The columns that a newer class has more; they are null in the rows that are there."""
    defined = _defined((name, type_) for name, type_ in wanted(record).items() if name in names)
    return f"ALTER TABLE {name_of(schema, record)} {_comma(f'ADD COLUMN IF NOT EXISTS {one}' for one in defined)}"


def stage_name(record: type[Record]) -> str:
    """The table that a batch is copied into, gone with its transaction: a pooler hands the connection to others."""
    return f"harvester_{record.__shape__.table}"


def stage(record: type[Record]) -> str:
    name = f"pg_temp.{quoted(stage_name(record))}"
    return f"CREATE TEMPORARY TABLE {name} ({_comma(_defined(wanted(record).items()))}) ON COMMIT DROP"


def merge(schema: str, record: type[Record]) -> str:
    """The stage into the table: new keys inserted, known ones overwritten on an equal or higher rank."""
    names = [quoted(name) for name in wanted(record)]
    key = quoted(record.__shape__.key)
    return (
        f"INSERT INTO {name_of(schema, record)} AS old ({_comma(names)}) "  # noqa: S608 - quoted
        f"SELECT {_comma(names)} FROM pg_temp.{quoted(stage_name(record))} "
        f"ON CONFLICT (event_module, {key}) DO UPDATE SET {_comma(f'{name} = excluded.{name}' for name in names)} "
        "WHERE excluded.event_rank >= coalesce(old.event_rank, 0)"
    )


def find(schema: str, record: type[Record], columns_: Collection[str]) -> str:
    """The select behind `Held`, of the key $1 or the event id $2, from the source $3, or any when that is ""."""
    shape = record.__shape__
    key = quoted(shape.key)
    enrichment = "coalesce(event_enrichment, '')" if "event_enrichment" in columns_ else "''"
    return (
        f"SELECT event_module AS source, {key}::text AS subject, event_id, coalesce(event_rank, 0) / 2 AS version, "  # noqa: S608 - quoted
        f"event_time AS time, event_ingested AS ingested, {enrichment} AS enrichment "
        f"FROM {name_of(schema, record)} WHERE ({key} = $1 OR event_id = $2) AND $3::text IN ('', event_module) LIMIT 100"
    )


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def _defined(types: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{quoted(name)} {type_}" for name, type_ in types]


def _comma(parts: Iterable[str]) -> str:
    return ", ".join(parts)
