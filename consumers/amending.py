"""Bringing records up to date about another thing: what a sink may offer beside `write`."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from consumers.records.record import Record


class Amendment(NamedTuple):
    """What records of a class are to say of another thing, as it is now: their `part` is `content` where `field` is `value`."""

    record: type[Record]
    source: str
    field: str
    value: str
    part: str
    content: msgspec.Struct
    """What the enricher of that name would give them, as the record holds it."""
    read_at: datetime
    """Before the request that told it: a record that was handed to the sink later is left alone, it may know more."""


@runtime_checkable
class Amender(Protocol):
    """What a sink offers beside `write` when its records can be brought up to date about another thing."""

    async def changed(self, record: type[Record], source: str, since: datetime) -> Sequence[str]:
        """The keys of its records whose `updated` is not before `since`; [] for none."""
        ...

    async def amend(self, changes: Sequence[Amendment]) -> int:
        """How many records were rewritten: each in its own version, so that every newer state still replaces them.

        Twice is once. TransientError: some may have been; do it again.
        """
        ...
