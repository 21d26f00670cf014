"""A batch on its way into a sink: events become records with the rank they are compared by."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from consumers.protocols import Rejection, rank
from consumers.records import records_of
from consumers.records.record import Record, enrichment, key
from harvester.errors import InvalidEventError
from harvester.event import Event


class Shaped(NamedTuple):
    """One record to write, and the event it came from."""

    record: Record
    event: Event
    rank: int


def shaped(events: Sequence[Event]) -> tuple[list[Shaped], list[Rejection]]:
    """The records of all events in their order; an event whose record cannot be made is rejected alone."""
    rejections: list[Rejection] = []
    return list(shaping(events, rejections)), rejections


def shaping(events: Sequence[Event], rejections: list[Rejection]) -> Iterator[Shaped]:
    """The same one by one, while what the event holds is still in the processor's cache; adds to `rejections`."""
    for event in events:
        try:
            made = records_of(event)
        except InvalidEventError as error:
            rejections.append(Rejection(event, error))
            continue
        for record in made:
            yield Shaped(record, event, rank(event, complete=enrichment(record, event) == "complete"))


def newest(records: Sequence[Shaped]) -> list[Shaped]:
    """One state of each thing: the highest rank, the later of equals."""
    best: dict[tuple[type, str, object], Shaped] = {}
    for item in records:
        name = (type(item.record), item.event.source, key(item.record))
        known = best.get(name)
        if known is None or item.rank >= known.rank:
            best[name] = item
    return list(best.values())


def by_table(records: list[Shaped]) -> list[list[Shaped]]:
    """Those of each table together, in the order they had; sorts `records`."""
    records.sort(key=table)
    return [list(same) for _, same in groupby(records, key=table)]


def table(item: Shaped) -> str:
    """The name of its record's table."""
    return type(item.record).__shape__.table
