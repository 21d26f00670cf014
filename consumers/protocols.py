"""The contracts behind the queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, runtime_checkable

from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event


class Cache(Protocol):
    """Bytes by key, for a while. Never a place of truth: a cache that is away answers None and forgets."""

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]: ...

    async def set_many(self, items: Mapping[str, bytes], ttl: timedelta) -> None: ...


class Enricher(Protocol):
    """Adds one key to the context of events."""

    @property
    def name(self) -> str: ...

    @property
    def away(self) -> bool:
        """Whether its service did not answer, and it is too early to ask again: who can wait need not come now."""
        ...

    async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:
        """The same events in the same order, as many; those it does not concern come back as they are.

        `context[name]` is null when there is nothing to find. An event whose look-up could not be made comes back
        without the key: it is *pending*. Never raises for a service that is away, nor waits for one that is slow, unless
        the caller is `patient`, for nothing waits behind it; even then not for ever.
        """
        ...

    def concerns(self, event: Event) -> bool:
        """Whether this enricher adds to such an event: then a missing key means pending."""
        ...


NO_TEMPLATE = "no_template"
"""Reason of an event that a sink has no place for as yet. It says nothing of the event, nor of any other."""


class Rejection(NamedTuple):
    """An event that the sink did not take: broken for ever, or to be tried again."""

    event: Event
    error: InvalidEventError | TransientError


class Sink(Protocol):
    """A destination."""

    @property
    def name(self) -> str:
        """Also the name of its consumer group."""
        ...

    async def write(self, events: Sequence[Event]) -> Sequence[Rejection]:
        """Returns: all durable but the rejected ones. TransientError: the whole batch may be written again.

        InvalidEventError: the batch was refused whole and not written; the caller bisects it. PermanentError: stop.
        """
        ...


class Held(NamedTuple):
    """A state of a thing as a sink holds it: one for each of its records."""

    source: str
    subject: str
    """The record's key, as text."""
    event_id: str
    version: int
    time: datetime
    ingested: datetime
    """When it was handed to the sink."""
    enrichment: str
    """complete · not_found · pending · "" where nothing is looked up."""
    place: str
    """Where a person finds it: file and table, or index."""


@runtime_checkable
class Finder(Protocol):
    """What a sink offers beside `write` when it can be asked for one thing. A stream, such as stdout, cannot."""

    async def find(self, name: str, source: str = "") -> Sequence[Held]:
        """What it holds of the thing whose record's key is `name`, or under that event id; `source` "" is any. [] for nothing.

        Changes and makes nothing. TransientError: ask again; ConfigError and PermanentError: nobody can be asked there.
        """
        ...


class Pace(NamedTuple):
    """How large the batches are that a sink wants to be given, and for how long one may wait to become so large."""

    events: int
    seconds: float


@runtime_checkable
class Gathering(Protocol):
    """A sink to which each batch costs, a request that is paid for or an object: it would rather have few large ones."""

    @property
    def pace(self) -> Pace: ...


@runtime_checkable
class Counting(Protocol):
    """A sink that learns what it had already."""

    def duplicates(self) -> int:
        """How many events it had already, in this state or a newer one, since this was asked last."""
        ...


def rank(event: Event, *, complete: bool) -> int:
    """The number a sink compares, overwriting only on ≥: a richer state of the same version wins over a poorer."""
    return 2 * event.version + (1 if complete else 0)
