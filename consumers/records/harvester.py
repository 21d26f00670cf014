"""Records of the harvester's own events: what it read, and what its consumers did."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from consumers.records.record import Record
from harvester.errors import InvalidEventError
from harvester.event import Event


class WindowRead(Record, index="harvester-windows-{time:%Y.%m.%d}", table="harvester_windows", key="id"):
    """One window that was read, by our clock when it was done; those that brought nothing are told with the next."""

    id: Annotated[str, "digest of source, stream, window and time"]
    source: Annotated[str, "name of the source that was read"]
    stream: Annotated[str, "name of its stream"]
    window_start: Annotated[datetime, "begin of the window, by the vendor's clock"]
    window_end: Annotated[datetime, "its end; not in it"]
    windows: Annotated[int, "windows that this tells of: this one, and those before it that brought nothing"]
    read: Annotated[int, "records that they held, repeats and broken ones included"]
    published: Annotated[int, "events that the queue acknowledged"]
    filtered: Annotated[int, "repeats that were recognised and left out"]
    dead_lettered: Annotated[int, "records that could not be read"]
    seconds: Annotated[float, "how long reading and publishing took, tries that failed included"]
    calls: Annotated[int, "requests to the vendor"]
    waited_seconds: Annotated[float, "how long was waited for a turn within the limits, or before another try"]
    call_limit: Annotated[int | None, "requests that the vendor allows in its period, as it last said"]
    calls_left: Annotated[int | None, "requests that are left of them"]
    lag_seconds: Annotated[float | None, "the vendor's now minus the live edge"]
    gap_seconds: Annotated[float, "time between the start and the live edge that is not read"]


class ConsumerMinute(Record, index="harvester-consumers-{time:%Y.%m.%d}", table="harvester_consumers", key="id"):
    """One minute of one member of a consumer group, by our clock at its end. Minutes in which nothing happened are not told."""

    id: Annotated[str, "digest of sink, member and time"]
    sink: Annotated[str, "name of the sink, and of its group"]
    member: Annotated[str, "which of the group's members: a random number, another one after each start"]
    seconds: Annotated[float, "how long this minute was: the last one before a stop is shorter"]
    received: Annotated[int, "events that were received and are done with, the harvester's own included"]
    delivered: Annotated[int, "events that the sink confirmed"]
    filtered: Annotated[int, "events that are not for this sink"]
    dead_lettered: Annotated[int, "events that were refused"]
    pending: Annotated[int, "events that were delivered without their enrichment, which is made later"]
    repaired: Annotated[int, "letters that were tried again and are done with"]
    batches: Annotated[int, "batches that were written"]
    batch_seconds: Annotated[float, "how long they took from receipt to confirmation; several run side by side"]
    lag: Annotated[int, "messages that the whole group had not committed when the minute ended"]
    letters: Annotated[int, "dead letters of the group, at the same time"]
    memory_bytes: Annotated[int | None, "memory of the member's process"]


OWN: tuple[type[Record], ...] = (WindowRead, ConsumerMinute)
"""What the harvester tells of itself: no vendor's data wait for a place to put it."""
_window = msgspec.json.Decoder(WindowRead)
_consumer = msgspec.json.Decoder(ConsumerMinute)
R = TypeVar("R", bound=Record)


def window(event: Event) -> WindowRead:
    """The record of a `harvester.window`. Raises InvalidEventError."""
    return _read(_window, event, "window of the harvester")


def consumer(event: Event) -> ConsumerMinute:
    """The record of a `harvester.consumer`. Raises InvalidEventError."""
    return _read(_consumer, event, "minute of a consumer")


def _read(decoder: msgspec.json.Decoder[R], event: Event, what: str) -> R:
    try:
        return decoder.decode(event.data)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no {what}: {error}") from error
