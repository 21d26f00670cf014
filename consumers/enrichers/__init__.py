"""Enrichers: one kind of metadata each."""

import msgspec

from harvester.event import Event


def with_context(event: Event, name: str, value: msgspec.Raw) -> Event:
    """The event with one more key in its context. `value` may be shared by many events."""
    return msgspec.structs.replace(event, context={**event.context, name: value} if event.context else {name: value})
