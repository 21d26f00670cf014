"""Whether a record has the fields that are asked of it, with types that they can be asked by."""

from collections.abc import Iterator
from typing import Any

from consumers.records.record import Record
from dashboards.builder import lint_lens
from dashboards.builder.fields import DISTINCT, GROUPS, NUMBERS, place
from dashboards.builder.kql import asked

Json = dict[str, Any]
_OPERATIONS = {
    "unique_count": DISTINCT,
    "sum": NUMBERS,
    "average": NUMBERS,
    "max": NUMBERS,
    "range": NUMBERS,
    "terms": GROUPS,
    "last_value": frozenset({"keyword"}),
    "date_histogram": frozenset({"date"}),
}
"""The types of a field that an operation can be asked of."""


def lens_fields(record: type[Record], found: Json) -> Iterator[str]:
    """What is wrong with the columns and queries of a Lens panel."""
    queries = [found["state"]["query"]["query"]]
    for layer in lint_lens.layers(found).values():
        for column in layer["columns"].values():
            queries += lint_lens.queries(column)
            operation = column["operationType"]
            if operation in _OPERATIONS:
                yield from fits(record, column["sourceField"], _OPERATIONS[operation], operation)
            if operation == "last_value":
                yield from fits(record, column["params"]["sortField"], frozenset({"date"}), "the order of a last value")
    yield from queried(record, queries)


def search_fields(record: type[Record], search: Json) -> Iterator[str]:
    """What is wrong with the columns and the query of a search."""
    for name in search["attributes"]["columns"]:
        yield from fits(record, name, None, "a column")
    yield from queried(record, [search["source"]["query"]["query"]])


def queried(record: type[Record], queries: list[str]) -> Iterator[str]:
    """What is wrong with queries in KQL."""
    for words in queries:
        try:
            terms = asked(words)
        except ValueError as error:
            yield f"no KQL: {error}"
            continue
        for term in terms:
            yield from _asked(record, term.field, term.sign, term.values)


def _asked(record: type[Record], field: str, sign: str, values: tuple[str, ...]) -> Iterator[str]:
    if sign != ":":
        yield from fits(record, field, NUMBERS | {"date"}, sign)
        return
    for value in values:
        if value == "*":
            yield from fits(record, field, None, "any value")
        elif value in ("true", "false"):
            yield from fits(record, field, frozenset({"boolean", "keyword"}), value)
        else:
            kinds = frozenset({"keyword", "ip", *(NUMBERS if value.lstrip("-").isdigit() else ())})
            yield from fits(record, field, kinds, f"the value {value!r}")


def fits(record: type[Record], field: str, types: frozenset[str] | None, what: str) -> Iterator[str]:
    """Whether the record has the field, with one of the types if any are given."""
    try:
        found = place(record, field)
    except ValueError as error:
        yield str(error)
        return
    if types is not None and found.index_type not in types:
        yield f"{what} does not fit {field}, a {found.index_type}"
