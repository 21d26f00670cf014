"""What a replay reads: our segments, or the chunks of the predecessor, told alike."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harvester.privacy import Veil
from harvester.protocols import Objects

if TYPE_CHECKING:
    from consumers.archived import Archived, Wanted
    from consumers.chunks import Broken, Read
    from consumers.segments import Segment


@dataclass
class Reading:
    """The events in parts, how many there may be, and how far it came."""

    total: int
    events: "AsyncIterator[Sequence[Archived]]" = field(init=False)
    done: int = 0
    broken: "list[Broken]" = field(default_factory=list)


async def reading(objects: Objects, wanted: "Wanted", form: str, veil: Veil | None = None) -> Reading:
    """What is wanted of the archive in `objects`; `form`: segments or chunks.

    `veil`: what is hidden in chunks. Segments hold what passed the policy when it was read from its source.
    """
    from consumers import archived, chunks

    if form == "chunks":
        names = await chunks.chunks(objects)
        found = Reading(len(names))
        read = chunks.events(objects, names, wanted, veil)
        found.events = _chunks(read, found)
    else:
        chosen = await archived.segments(objects, wanted)
        found = Reading(sum(segment.events for segment in chosen))
        found.events = _segments(objects, chosen, wanted, found)
    return found


async def _segments(
    objects: Objects, chosen: "Sequence[Segment]", wanted: "Wanted", found: Reading
) -> "AsyncIterator[Sequence[Archived]]":
    from consumers import archived

    async for segment, events in archived.events(objects, chosen, wanted):
        found.done += segment.events
        yield events


async def _chunks(parts: "AsyncIterator[Read]", found: Reading) -> "AsyncIterator[Sequence[Archived]]":
    async for read in parts:
        found.done += 1
        found.broken += read.broken
        yield read.events
