"""Fields: where a record keeps them, and what they can be asked."""

from collections.abc import Sequence
from typing import NamedTuple

from consumers.records.mapping import dictionary
from consumers.records.record import Kind, Record
from dashboards.builder.aggregation import (
    Aggregation,
    AtLeast,
    Below,
    Bucket,
    Cases,
    Condition,
    Is,
    Known,
    Measure,
    Not,
    Ranges,
    Times,
    Top,
)

NUMBERS = frozenset({"long", "double"})
GROUPS = frozenset({"keyword", "boolean", "long"})
"""Types that values can be grouped by."""
DISTINCT = GROUPS | {"ip", "double"}


class Place(NamedTuple):
    """A field where it is kept."""

    name: str
    index_type: str
    column: str
    kind: Kind


def place(record: type[Record], name: str) -> Place:
    """Raises ValueError when documents of this record have no such field."""
    for field in dictionary(record):
        if field.document == name:
            return Place(name, field.index_type, field.column, field.table_type)
    raise ValueError(f"{record.__name__} has no field {name!r}")


def check(aggregation: Aggregation) -> None:
    """Raises ValueError for a field that is not there or cannot be asked like that, and for what no chart can show."""
    for measure in aggregation.measures:
        _check_measure(aggregation.record, measure)
    check_filter(aggregation.record, aggregation.where)
    for name in aggregation.names:
        _typed(aggregation.record, name.field, {"keyword"}, "Newest")
    for bucket in aggregation.buckets:
        _check_bucket(aggregation.record, bucket, aggregation.measures[0])
    once = [type(bucket) for bucket in aggregation.buckets if isinstance(bucket, Times | Cases)]
    if len(set(once)) < len(once) or not aggregation.measures:
        raise ValueError("an aggregation has one measure at least, and Times and Cases once at most")


def _check_measure(record: type[Record], measure: Measure) -> None:
    allowed = {"count": None, "distinct": DISTINCT}.get(measure.operation, NUMBERS)
    if allowed is not None:
        _typed(record, measure.field, allowed, measure.operation)
    check_filter(record, measure.where)


def _check_bucket(record: type[Record], bucket: Bucket, first: Measure) -> None:
    match bucket:
        case Top(field, _, size):
            _typed(record, field, GROUPS, "Top")
            if first.where:
                raise ValueError(f"the top {size} of {field} go by the first measure: it takes no `where` of its own")
        case Ranges(field, _, edges, _):
            _typed(record, field, NUMBERS, "Ranges")
            if sorted(set(edges)) != list(edges):
                raise ValueError(f"the edges of {field} do not grow: {edges}")
        case Cases(_, cases):
            for where in cases.values():
                check_filter(record, where)
        case Times():
            return


def check_filter(record: type[Record], where: Sequence[Condition]) -> None:
    """Raises ValueError for a condition that no document of the record could meet."""
    for condition in where:
        match condition:
            case Not(inner):
                check_filter(record, (inner,))
            case Is(field, values):
                wanted = {str: {"keyword"}, bool: {"boolean"}, int: {"long"}}
                for value in values:
                    _typed(record, field, wanted[type(value)], f"the value {value!r}")
            case AtLeast(field, _) | Below(field, _):
                _typed(record, field, NUMBERS, "a comparison")
            case Known(field):
                place(record, field)


def _typed(record: type[Record], field: str, allowed: frozenset[str] | set[str], what: str) -> None:
    found = place(record, field)
    if found.index_type not in allowed:
        raise ValueError(f"{what} does not fit {record.__name__}.{field}, a {found.index_type}")
