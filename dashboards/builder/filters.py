"""Conditions in the three languages: KQL for Kibana, the query DSL of Elasticsearch, SQL."""

from collections.abc import Sequence
from typing import Any

from consumers.records.record import Record
from consumers.sinks.duckdb_sql import quoted
from dashboards.builder.aggregation import AtLeast, Below, Condition, Filter, Is, Known, Not, Scalar
from dashboards.builder.fields import place


def kql(where: Filter) -> str:
    """Of no condition an empty text."""
    return " and ".join(map(_kql, where))


def dsl(where: Filter) -> list[dict[str, Any]]:
    """The list of a `filter` clause."""
    return list(map(_dsl, where))


def sql(record: type[Record], where: Filter) -> str:
    """`TRUE` for no condition."""
    return " AND ".join(_sql(record, one) for one in where) or "TRUE"


def text(value: Scalar) -> str:
    """A literal of SQL."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).upper()


def _kql(condition: Condition) -> str:
    match condition:
        case Is(field, values):
            words = list(map(_word, values))
            return f"{field}: {words[0]}" if len(words) == 1 else f"{field}: ({' or '.join(words)})"
        case Known(field):
            return f"{field}: *"
        case AtLeast(field, number):
            return f"{field} >= {number}"
        case Below(field, number):
            return f"{field} < {number}"
        case Not(inner):
            return f"not {_kql(inner)}"


def _word(value: Scalar) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value).lower()


def _dsl(condition: Condition) -> dict[str, Any]:
    match condition:
        case Is(field, values):
            return {"terms": {field: list(values)}}
        case Known(field):
            return {"exists": {"field": field}}
        case AtLeast(field, number):
            return {"range": {field: {"gte": number}}}
        case Below(field, number):
            return {"range": {field: {"lt": number}}}
        case Not(inner):
            return {"bool": {"must_not": [_dsl(inner)]}}


def _sql(record: type[Record], condition: Condition) -> str:
    match condition:
        case Is(field, values):
            return f"{_column(record, field)} IN ({_comma(values)})"
        case Known(field):
            return f"{_column(record, field)} IS NOT NULL"
        case AtLeast(field, number):
            return f"{_column(record, field)} >= {number}"
        case Below(field, number):
            return f"{_column(record, field)} < {number}"
        case Not(inner):  # as in an index: who has no value is not what was asked for
            return f"NOT coalesce({_sql(record, inner)}, FALSE)"


def _column(record: type[Record], field: str) -> str:
    return quoted(place(record, field).column)


def _comma(values: Sequence[Scalar]) -> str:
    return ", ".join(map(text, values))
