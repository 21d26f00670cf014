"""What exports ask for: each question is declared once, over a record, and answered alike by an index and by a table."""

from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple, Protocol

from consumers.records.record import Column, Record, columns

Row = tuple[Any, ...]
"""Texts, whole numbers, booleans, aware UTC datetimes in whole ms, None where nothing is known."""


class Term(NamedTuple):
    """A condition on one column. `known` has no value; nothing but `is not` holds for a column without one."""

    column: str
    how: Literal["is", "is not", "above", "from", "before", "one of", "known"]
    value: Any = None


class Measure(NamedTuple):
    """A number of each group, of all its rows or of those that fit. Without any: 0 for `count` and `sum`, None for the others."""

    how: Literal["count", "sum", "min", "max"]
    column: str = ""
    where: tuple[Term, ...] = ()


class Groups(NamedTuple):
    """Rows of a record by `keys`, with their measures: keys, then measures.

    The first two keys are the source and the thing; rows without either are passed over. Groups come in the order of
    their keys: texts by code points, what is not known first.
    """

    record: type[Record]
    keys: tuple[str, ...]
    measures: tuple[Measure, ...]
    where: tuple[Term, ...] = ()


class Newest(NamedTuple):
    """Of each thing the newest row: keys (source and thing, both known), then columns. In the order of the keys."""

    record: type[Record]
    keys: tuple[str, str]
    columns: tuple[str, ...]
    where: tuple[Term, ...] = ()


Query = Groups | Newest


class Reader(Protocol):
    """A store that answers, as of the moment it was opened."""

    where: str
    """How messages call it."""

    def rows(self, query: Query, *more: Term) -> AsyncIterator[Row]:
        """The answer, however long. Nothing when the store has no such record yet.

        TransientError: no answer. PermanentError: login or rights. ConfigError: no store, or a damaged one.
        """
        ...


def column_of(record: type[Record], name: str) -> Column:
    """The column of that name."""
    return next(column for column in columns(record) if column.name == name)
