"""A batch on its way into a sink: events become records with the rank they are compared by."""

from collections.abc import Sequence
from typing import NamedTuple

from consumers.protocols import Rejection, found_everything, rank
from consumers.records import records_of
from consumers.records.record import Record, key
from harvester.errors import InvalidEventError
from harvester.event import Event


class Shaped(NamedTuple):
    """One record to write, and the event it came from."""

    record: Record
    event: Event
    rank: int


def shaped(events: Sequence[Event]) -> tuple[list[Shaped], list[Rejection]]:
    """The records of all events in their order; an event whose record cannot be made is rejected alone."""
    records: list[Shaped] = []
    rejections: list[Rejection] = []
    for event in events:
        try:
            made = records_of(event)
        except InvalidEventError as error:
            rejections.append(Rejection(event, error))
            continue
        if made:
            number = rank(event, complete=complete(event))
            records.extend(Shaped(record, event, number) for record in made)
    return records, rejections


def complete(event: Event) -> bool:
    """Whether all that could be found was found.

    An empty context never counts: it is a pending look-up, or a set-up without enrichers, which must not outrank one with.
    """
    return bool(event.context) and found_everything(event)


def newest(records: Sequence[Shaped]) -> list[Shaped]:
    """One state of each thing: the highest rank, the later of equals."""
    best: dict[tuple[type, str, object], Shaped] = {}
    for item in records:
        name = (type(item.record), item.event.source, key(item.record))
        known = best.get(name)
        if known is None or item.rank >= known.rank:
            best[name] = item
    return list(best.values())
