"""A record as a row of a table: its values in the order of the columns."""

from datetime import datetime
from typing import Any

import msgspec

from consumers.records.record import HEADER, Column, Record, columns, enrichment
from consumers.sinks.shaped import Shaped

RANK = Column("event_rank", ("event_rank",), "integer", "what a write compares: 2·version, + 1 when every enricher found data")

_encode = msgspec.json.Encoder().encode


def whole(record: type[Record]) -> tuple[Column, ...]:
    """The columns of its table in their order."""
    return (*columns(record), RANK)


def row_of(item: Shaped, ingested: datetime) -> list[Any]:
    """Its values, the rank last: str, int, float, bool, aware datetime, the text of JSON, or None."""
    record, event, rank = item
    values = [_cell(record, column) for column in columns(type(record))[: -len(HEADER)]]
    values += [event.time, event.id, event.type, event.source, ingested, enrichment(record, event), rank]
    return values


def _cell(record: Any, column: Column) -> Any:
    value = record
    for name in column.path:
        value = getattr(value, name, None)
    if value is None or value is msgspec.UNSET:
        return None
    return _encode(value).decode() if column.kind == "json" else value
