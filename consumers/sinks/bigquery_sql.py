"""BigQuery's tables and statements: everything in them follows from the record class."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec

from consumers.records.record import Column, Kind, Record
from consumers.sinks.rows import whole

_TYPES: dict[Kind, str] = {
    "text": "STRING",
    "integer": "INTEGER",
    "number": "FLOAT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "json": "JSON",
}
_SAME = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
"""Names that BigQuery has for one type; the first is what tables say that were made by SQL."""
_EXACT = 2**53
_encode = msgspec.json.Encoder().encode


class Span(NamedTuple):
    """The earliest and the latest time, or date, among rows."""

    start: date
    end: date


def fields(record: type[Record]) -> list[dict[str, str]]:
    """The table's schema. Nothing is REQUIRED, for a column that is added later cannot be."""
    return [
        {"name": column.name, "type": _type(column), "mode": "REPEATED" if _repeated(column) else "NULLABLE"}
        for column in whole(record)
    ]


def layout(record: type[Record], partitioning: str) -> dict[str, Any]:
    """How the table is cut and sorted."""
    shape = record.__shape__
    cut: dict[str, Any] = {"timePartitioning": {"type": partitioning, "field": shape.partition}}
    return cut | ({"clustering": {"fields": list(shape.cluster)}} if shape.cluster else {})


def faults(found: Sequence[Mapping[str, Any]], record: type[Record]) -> list[str]:
    """What is wrong with the schema of a table that is there, a line each."""
    there = {one["name"]: (_SAME.get(one["type"], one["type"]), one.get("mode") or "NULLABLE") for one in found}
    wanted = {one["name"]: (one["type"], one["mode"]) for one in fields(record)}
    wrong = [
        f"{name} is {' '.join(there[name])}, it should be {' '.join(type_)}"
        for name, type_ in wanted.items()
        if there.get(name, type_) != type_
    ]
    theirs = [name for name, (_, mode) in there.items() if mode == "REQUIRED" and name not in wanted]
    wrong += [f"{name} is REQUIRED, and none of ours" for name in theirs]
    return wrong


def missing(found: Sequence[Mapping[str, Any]], record: type[Record]) -> list[dict[str, str]]:
    """The columns that a newer class has more."""
    there = {one["name"] for one in found}
    return [one for one in fields(record) if one["name"] not in there]


def add(table: str, more: Sequence[Mapping[str, str]]) -> str:
    """Those columns into the table, also when somebody else adds them meanwhile; they are null in the rows that are there."""
    types = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
    spoken = ((one["name"], types.get(one["type"], one["type"]), one["mode"]) for one in more)
    defined = (f"{quoted(name)} {f'ARRAY<{type_}>' if mode == 'REPEATED' else type_}" for name, type_, mode in spoken)
    return f"ALTER TABLE {table} {_comma(f'ADD COLUMN IF NOT EXISTS {one}' for one in defined)}"


def line(record: type[Record], values: Sequence[Any]) -> bytes:
    """A row of `rows.row_of` as a load job takes it. What is unknown is left out: a list cannot be null there."""
    row: dict[str, Any] = {}
    for column, value in zip(whole(record), values, strict=True):
        if column.kind == "json" and value is not None:
            row[column.name] = msgspec.Raw(value.encode())
        elif type(value) is int and abs(value) > _EXACT:
            row[column.name] = str(value)  # JSON's numbers are read as floats
        elif value is not None:
            row[column.name] = value
    return _encode(row)


def merge(record: type[Record], table: str, stage: str, span: Span | None) -> str:
    """The stage, which has each key once, into the table: new keys inserted, known ones overwritten on an equal or higher rank.

    `span`: of the stage's partition column, whose constants spare BigQuery the other partitions; None: it is not known.
    """
    shape = record.__shape__
    names = [quoted(column.name) for column in whole(record)]
    key = quoted(shape.key)
    return (
        f"MERGE INTO {table} AS old USING {stage} AS new "  # noqa: S608 - quoted
        f"ON old.event_module = new.event_module AND old.{key} = new.{key}{_within(shape.partition, span)} "
        "WHEN MATCHED AND new.event_rank >= COALESCE(old.event_rank, 0) "
        f"THEN UPDATE SET {_comma(f'{name} = new.{name}' for name in names)} "
        f"WHEN NOT MATCHED THEN INSERT ({_comma(names)}) VALUES ({_comma(f'new.{name}' for name in names)})"
    )


def turn(table: str) -> str:
    """The table of `alone`, with its one row."""
    return f"CREATE TABLE IF NOT EXISTS {table} AS SELECT 0 AS turns"  # our own name


def alone(turn_table: str, merges: Iterable[str]) -> str:
    """All in one transaction that no other of its kind runs beside.

    Two MERGE that only insert do not conflict, so both could insert a key. Two transactions that change rows of one table do, and
    one of them is cancelled: https://cloud.google.com/bigquery/docs/transactions#transaction_concurrency
    """
    changed = f"UPDATE {turn_table} SET turns = turns + 1 WHERE TRUE"  # noqa: S608 - our own name
    return ";\n".join(("BEGIN TRANSACTION", changed, *merges, "COMMIT TRANSACTION")) + ";"


def span_of(record: type[Record], rows: Iterable[Sequence[Any]]) -> Span | None:
    """Between which times the rows lie; None when one has none."""
    at = next(index for index, column in enumerate(whole(record)) if column.name == record.__shape__.partition)
    times = [row[at] for row in rows]
    return None if None in times else Span(min(times), max(times))


def quoted(name: str) -> str:
    """An identifier; ours hold no backtick."""
    return f"`{name}`"


def _within(column: str, span: Span | None) -> str:
    if span is None:
        return ""
    start, end = map(_constant, span)
    # A row whose time was not told before is still the one that is meant.
    return f" AND (old.{quoted(column)} BETWEEN {start} AND {end} OR old.{quoted(column)} IS NULL)"


def _constant(value: date) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00:00'"
    return f"DATE '{value:%Y-%m-%d}'"


def _type(column: Column) -> str:
    return "STRING" if _repeated(column) else _TYPES[column.kind]


def _repeated(column: Column) -> bool:
    return bool(column.type == list[str])


def _comma(parts: Iterable[str]) -> str:
    return ", ".join(parts)
