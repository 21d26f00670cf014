"""The newest documents one by one: the raw rows at the end of a board, and what both databases say they are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from consumers.records.record import Record, index_pattern
from consumers.sinks.duckdb_sql import quoted
from dashboards.builder.aggregation import Filter, Span
from dashboards.builder.fields import Place, check_filter, place
from dashboards.builder.filters import dsl, sql

Value = str | int | float | None
Line = tuple[Value, ...]
"""The time in ms since 1970, then a value for each field: a flag as `true` or `false`, a time in ms."""


class Listing(NamedTuple):
    """The documents, newest first, with these fields beside their time."""

    record: type[Record]
    fields: tuple[str, ...]
    where: Filter = ()


def check_listing(listing: Listing) -> None:
    """Raises ValueError for a field that the record does not have."""
    check_filter(listing.record, listing.where)
    _places(listing)


def request(listing: Listing, span: Span, size: int) -> tuple[str, dict[str, Any]]:
    """The path of a search for the newest `size`, equals by their key, and its body."""
    times = {"gte": span.start.isoformat(), "lt": span.end.isoformat(), "format": "strict_date_optional_time"}
    fields = [{"field": one.name, **_format(one)} for one in _places(listing)]
    body = {
        "size": size,
        "_source": False,
        "query": {"bool": {"filter": [{"range": {"@timestamp": times}}, *dsl(listing.where)]}},
        "sort": [{"@timestamp": "desc"}, {listing.record.__shape__.key: "asc"}],
        "fields": fields,
    }
    return f"/{index_pattern(listing.record)}/_search", body


def lines(listing: Listing, answer: Mapping[str, Any]) -> list[Line]:
    """What Elasticsearch found."""
    found = []
    for hit in answer["hits"]["hits"]:
        fields = hit.get("fields", {})
        found.append(tuple(_value(one, fields.get(one.name, [None])[0]) for one in _places(listing)))
    return found


def query(listing: Listing, span: Span, size: int) -> tuple[str, list[object]]:
    """The same for DuckDB: a select and its parameters."""
    shape = listing.record.__shape__
    columns = ", ".join(map(_column, _places(listing)))
    where = f"event_time >= $1 AND event_time < $2 AND {sql(listing.record, listing.where)}"
    order = f"ORDER BY event_time DESC, {quoted(shape.key)} LIMIT {size}"
    text = f"SELECT {columns} FROM {quoted(shape.table)} WHERE {where} {order}"  # noqa: S608 - quoted
    return text, [moment.replace(tzinfo=None) for moment in span]


def duckdb_lines(rows: Sequence[Sequence[Any]]) -> list[Line]:
    """What DuckDB found."""
    return [tuple(row) for row in rows]


def _places(listing: Listing) -> list[Place]:
    return [place(listing.record, name) for name in ("@timestamp", *listing.fields)]


def _format(one: Place) -> dict[str, str]:
    return {"format": "epoch_millis"} if one.kind == "timestamp" else {}


def _column(one: Place) -> str:
    column = quoted(one.column)
    if one.kind == "timestamp":
        return f"epoch_ms({column})"
    return f"CAST({column} AS VARCHAR)" if one.kind == "boolean" else column


def _value(one: Place, value: Any) -> Value:
    if value is None:
        return None
    if one.kind == "timestamp":
        return int(value)
    found: Value = str(value).lower() if one.kind == "boolean" else value
    return found
