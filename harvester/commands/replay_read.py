"""What a replay reads: our segments, or the chunks of the predecessor, told alike."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harvester.protocols import Objects

if TYPE_CHECKING:
    from consumers.archived import Archived, Wanted
    from consumers.chunks import Broken
    from consumers.segments import Segment


@dataclass
class Reading:
    """The events in parts, how many there may be, and how far it came."""

    total: int
    events: "AsyncIterator[Sequence[Archived]]" = field(init=False)
    done: int = 0
    broken: "list[Broken]" = field(default_factory=list)


async def reading(objects: Objects, wanted: "Wanted", form: str) -> Reading:
    """What is wanted of the archive in `objects`; `form`: segments or chunks."""
    from consumers import archived, chunks

    if form == "chunks":
        names = await chunks.chunks(objects)
        found = Reading(len(names))
        found.events = _chunks(objects, names, wanted, found)
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


async def _chunks(
    objects: Objects, names: Sequence[str], wanted: "Wanted", found: Reading
) -> "AsyncIterator[Sequence[Archived]]":
    from consumers import chunks

    async for read in chunks.events(objects, names, wanted):
        found.done += 1
        found.broken += read.broken
        yield read.events
