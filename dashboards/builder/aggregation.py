"""Aggregations: what a panel asks, said once, in the words of a record."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from consumers.records.record import Record

Scalar = str | int | bool
Unit = Literal["", "seconds", "minutes", "hours", "hours of minutes", "bytes"]
"""How a measure is shown. Fields of time are in seconds: `minutes` and `hours` are made of them for the eye alone, and of a field
in minutes `hours of minutes`."""
Operation = Literal["count", "distinct", "total", "average", "greatest"]
Every = Literal["minute", "hour", "day", "week"]


class Is(NamedTuple):
    """The field has one of the values."""

    field: str
    values: tuple[Scalar, ...]


class Known(NamedTuple):
    """The field has a value."""

    field: str


class AtLeast(NamedTuple):
    field: str
    number: int


class Below(NamedTuple):
    field: str
    number: int


class Not(NamedTuple):
    condition: "Is | Known | AtLeast | Below"


Condition = Is | Known | AtLeast | Below | Not
Filter = tuple[Condition, ...]
"""All of them hold; () lets everything pass."""


class Measure(NamedTuple):
    """One number of each bucket. `where`: of its documents, only those are measured."""

    operation: Operation
    label: str
    field: str = ""
    unit: Unit = ""
    where: Filter = ()


def count(label: str, *, where: Filter = ()) -> Measure:
    """How many documents."""
    return Measure("count", label, where=where)


def distinct(field: str, label: str, *, where: Filter = ()) -> Measure:
    """How many different values."""
    return Measure("distinct", label, field, where=where)


def total(field: str, label: str, *, unit: Unit = "", where: Filter = ()) -> Measure:
    """The sum."""
    return Measure("total", label, field, unit, where)


def average(field: str, label: str, *, unit: Unit = "", where: Filter = ()) -> Measure:
    """The mean of those that have a value."""
    return Measure("average", label, field, unit, where)


def greatest(field: str, label: str, *, unit: Unit = "", where: Filter = ()) -> Measure:
    """The greatest value."""
    return Measure("greatest", label, field, unit, where)


class Times(NamedTuple):
    """A bucket for each part of the time, by UTC here and by the reader's zone in Kibana."""

    every: Every = "day"
    label: str = "time"


class Top(NamedTuple):
    """A bucket for each of the values with the most of the first measure; equals are taken by their own order."""

    field: str
    label: str
    size: int = 10


class Ranges(NamedTuple):
    """A bucket from each edge up to, and without, the next; the last is open. Labels show edges divided by `scale`."""

    field: str
    label: str
    edges: tuple[int, ...]
    scale: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """What each bucket is called."""
        ends = [*self.edges[1:], None]
        return tuple(self._name(start, end) for start, end in zip(self.edges, ends, strict=True))

    def _name(self, start: int, end: int | None) -> str:
        first = start // self.scale
        if end is None:
            return f"{first} or more"
        last = end // self.scale
        # Whole things: "2–4" says what 2, 3 and 4 are; of time that flows, "0–5" says it.
        if self.scale > 1:
            return f"{first}–{last}"
        return str(first) if last - first == 1 else f"{first}–{last - 1}"


class Cases(NamedTuple):
    """A bucket for each case; a document may be in several, or in none."""

    label: str
    cases: Mapping[str, Filter]


Bucket = Times | Top | Ranges | Cases


class Newest(NamedTuple):
    """What a bucket is called: the text in the newest of its documents that have one.

    A `Top` of it instead would part the bucket wherever it was renamed, and count each part alone.
    """

    field: str
    label: str


class Aggregation(NamedTuple):
    """What is measured, in which buckets, of which documents. `names`: how each bucket is called beside its key."""

    record: type[Record]
    measures: tuple[Measure, ...]
    buckets: tuple[Bucket, ...] = ()
    where: Filter = ()
    names: tuple[Newest, ...] = ()


class Span(NamedTuple):
    """From `start` up to, and without, `end`; aware UTC."""

    start: datetime
    end: datetime


class Row(NamedTuple):
    """One bucket of the answer: ms since 1970 for Times, names for all others. An average of nothing is None."""

    keys: tuple[int | str, ...]
    values: tuple[int | float | None, ...]
    names: tuple[str | None, ...] = ()
