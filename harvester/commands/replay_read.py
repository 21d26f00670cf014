"""What a replay reads: our segments, or the chunks of the predecessor, told alike."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from harvester.commands.words import amount_of
from harvester.privacy import Veil
from harvester.protocols import Objects

if TYPE_CHECKING:
    from consumers.archived import Archived, Lost, Wanted
    from consumers.chunks import Broken, Read
    from consumers.segments import Segment

_SHOWN = 10


@dataclass
class Reading:
    """The events in parts, how much there is to read, and how far it came."""

    total: int
    """What `done` comes to in the end: events as manifests count them, or chunks, which nobody has counted the items of."""
    events: "AsyncIterator[Sequence[Archived]]" = field(init=False)
    done: int = 0
    broken: "list[Broken]" = field(default_factory=list)
    """Items of chunks that can be no event."""
    lost: "list[Lost]" = field(default_factory=list)
    """Segments and manifests that could not be read."""


async def reading(objects: Objects, wanted: "Wanted", form: str, veil: Veil | None = None) -> Reading:
    """What is wanted of the archive in `objects`; `form`: segments or chunks.

    `veil`: what is hidden in chunks. Segments hold what passed the policy when it was read from its source.
    """
    from consumers import archived, chunks

    if form == "chunks":
        names = await chunks.chunks(objects)
        found = Reading(len(names))
        found.events = _chunks(chunks.events(objects, names, wanted, veil), found)
    else:
        found = Reading(0)
        chosen = await archived.segments(objects, wanted, found.lost.append)
        found.total = sum(segment.events for segment in chosen)
        found.events = _segments(objects, chosen, wanted, found)
    return found


def unread(read: Reading) -> int:
    """Say what of the archive could not be read, or can be no event: 5 when there is any."""
    for broken in read.broken[:_SHOWN]:
        click.echo(f"left out: {broken.place}: {broken.error}", err=True)
    if read.broken:
        click.echo(f"{amount_of(len(read.broken), 'item')} left out", err=True)
    for lost in read.lost[:_SHOWN]:
        click.echo(f"lost: {lost.error} ({_what(lost)})", err=True)
    if read.lost:
        events = sum(lost.segment.events for lost in read.lost if lost.segment)
        click.echo(
            f"{amount_of(len(read.lost), 'object')} with at least {amount_of(events, 'event')} could not be read, the others "
            f"were; next: harvest archive verify, bring them back from a copy, and give the same command again",
            err=True,
        )
    return 5 if read.broken or read.lost else 0


def _what(lost: "Lost") -> str:
    if lost.segment is None:
        return "what it named is not known"
    held = lost.segment
    span = f"{held.first:%Y-%m-%d %H:%M} to {held.last:%Y-%m-%d %H:%M}"
    return f"{amount_of(held.events, 'event')} {held.type} of {held.source}, {span}"


async def _segments(
    objects: Objects, chosen: "Sequence[Segment]", wanted: "Wanted", found: Reading
) -> "AsyncIterator[Sequence[Archived]]":
    from consumers import archived

    async for segment, events in archived.events(objects, chosen, wanted, found.lost.append):
        found.done += segment.events
        yield events


async def _chunks(parts: "AsyncIterator[Read]", found: Reading) -> "AsyncIterator[Sequence[Archived]]":
    async for read in parts:
        found.done += 1
        found.broken += read.broken
        yield read.events
