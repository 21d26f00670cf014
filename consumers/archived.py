"""Reading the archive: what its manifests name, in the order it was written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from consumers.segments import MANIFESTS, Segment, manifest_of, unpacked
from consumers.wiped import wiped
from harvester.errors import PermanentError
from harvester.event import Event
from harvester.protocols import Objects
from harvester.retry import ONE_SHOT, retrying

_AHEAD = 8
"""Objects that are read at the same time."""
_AHEAD_BYTES = 32 * 2**20
"""Of them together, but for one that is larger alone."""
_SKEW = timedelta(days=1)
_REMEMBERED = 500_000
"""States that are known again: a batch that was delivered twice comes soon after itself."""


class Wanted(NamedTuple):
    """Which events. Times are closed-open; None and () are all."""

    start: datetime | None = None
    """When they happened, at the earliest."""
    end: datetime | None = None
    read_start: datetime | None = None
    """When they were read from their source."""
    read_end: datetime | None = None
    sources: Sequence[str] = ()
    types: Sequence[str] = ()
    """Whole, or the last word alone: opencast.useraction, useraction."""

    def may_hold(self, segment: Segment) -> bool:
        """Whether one of its events can be wanted."""
        return (
            self._named(segment.source, segment.type)
            and not (self.start and segment.last < self.start)
            and not (self.end and segment.first >= self.end)
            and not (self.read_start and segment.last_read < self.read_start)
            and not (self.read_end and segment.first_read >= self.read_end)
        )

    def holds(self, event: Event) -> bool:
        """Whether this one is wanted."""
        return (
            self._named(event.source, event.type)
            and not (self.start and event.time < self.start)
            and not (self.end and event.time >= self.end)
            and not (self.read_start and event.read_at < self.read_start)
            and not (self.read_end and event.read_at >= self.read_end)
        )

    def _named(self, source: str, type_: str) -> bool:
        words = (type_, type_.rpartition(".")[2])
        return (not self.sources or source in self.sources) and (not self.types or any(word in self.types for word in words))

    @property
    def earliest(self) -> str:
        """Behind which names of manifests it is: nothing is written before it was read, but for clocks that differ."""
        return f"{MANIFESTS}{self.read_start - _SKEW:%Y-%m-%d}" if self.read_start else ""


class Archived(NamedTuple):
    """One event of the archive, with its line and where that is."""

    event: Event
    body: bytes
    place: str


class Lost(NamedTuple):
    """What of the archive could not be read: a segment, or a manifest, of which nobody knows what it named."""

    name: str
    error: str
    segment: Segment | None = None
    """What its manifest says was in it."""


class Repeats:
    """Which states came before, by id and version, as far back as is remembered.

    An id alone is what a thing looked like: where it came to look so again, with a later version, that is a state of its own.
    """

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._known: dict[bytes, None] = {}
        self.count = 0

    def again(self, event: Event) -> bool:
        """Whether this very state of a thing came already."""
        key = state(event)
        if key in self._known:
            self.count += 1
            return True
        self._known[key] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return False


def state(event: Event) -> bytes:
    """What tells one state of a thing from all others."""
    return f"{event.id}{event.version}".encode()


async def listed(objects: Objects, prefix: str, after: str = "") -> Sequence[str]:
    """All names with that prefix behind `after`, in order. Where the store breaks off it is asked again for the rest."""
    found: list[str] = []

    async def rest() -> None:
        async for name in objects.names(prefix, found[-1] if found else after):
            found.append(name)  # noqa: PERF401 - what came before it broke off is kept

    await retrying(rest, ONE_SHOT)
    return found


async def manifests(objects: Objects, after: str = "", known: Collection[str] = ()) -> AsyncIterator[tuple[str, bytes]]:
    """Each manifest with its name, in the order of writing, but for those that are `known`."""
    names = [name for name in await listed(objects, MANIFESTS, after) if name not in known]
    async for name, body in ahead(objects, names):
        if body is None:
            raise PermanentError(f"{name}: it was listed, and is gone")
        yield name, body


async def segments(objects: Objects, wanted: Wanted, lost: Callable[[Lost], None] | None = None) -> Sequence[Segment]:
    """The segments that can hold what is wanted, each once, in the order of writing.

    `lost` is told of a manifest that is damaged, and the others are read; without it that is a PermanentError.
    """
    found: dict[str, Segment] = {}
    gone = await wiped(objects)
    async for name, body in manifests(objects, wanted.earliest):
        try:
            manifest = manifest_of(name, body)
        except PermanentError as error:
            if lost is None:
                raise
            lost(Lost(name, str(error)))
            continue
        for segment in manifest.segments:
            if wanted.may_hold(segment) and not gone.holds(segment.name, manifest.written):
                found.setdefault(segment.name, segment)
    return list(found.values())


async def events(
    objects: Objects, chosen: Sequence[Segment], wanted: Wanted, lost: Callable[[Lost], None] | None = None
) -> AsyncIterator[tuple[Segment, list[Archived]]]:
    """What is wanted of these segments, segment by segment, each state once.

    `lost` is told of a segment that is missing or altered, and the others are read; without it that is a PermanentError.
    """
    repeats, by_name = Repeats(), {segment.name: segment for segment in chosen}
    async for name, body in ahead(objects, list(by_name), {name: segment.bytes for name, segment in by_name.items()}):
        try:
            lines = await _lines(by_name[name], body)
        except PermanentError as error:
            if lost is None:
                raise
            lost(Lost(name, str(error), by_name[name]))
            continue
        kept = [Archived(event, line, f"{name}:{at}") for at, (event, line) in enumerate(lines, 1) if wanted.holds(event)]
        yield by_name[name], [one for one in kept if not repeats.again(one.event)]


async def _lines(segment: Segment, body: bytes | None) -> Sequence[tuple[Event, bytes]]:
    if body is None:
        raise PermanentError(f"{segment.name}: missing, and a manifest names it; next: harvest archive verify")
    return await asyncio.to_thread(unpacked, segment, body)


async def ahead(
    objects: Objects, names: Sequence[str], sizes: Mapping[str, int] | None = None
) -> AsyncIterator[tuple[str, bytes | None]]:
    """Each object in order, some of them asked for ahead; None for one that is not there. `sizes`: their bytes, where known."""

    async def got(name: str) -> bytes | None:
        stored = await retrying(lambda: objects.get(name), ONE_SHOT)
        return None if stored is None else stored.body

    waiting: list[tuple[str, asyncio.Task[bytes | None]]] = []
    sizes, size = sizes or {}, 0
    try:
        for name in names:
            waiting.append((name, asyncio.create_task(got(name))))
            size += sizes.get(name, 0)
            while waiting and (len(waiting) >= _AHEAD or size > _AHEAD_BYTES):
                first, task = waiting.pop(0)
                size -= sizes.get(first, 0)
                yield first, await task
        while waiting:
            first, task = waiting.pop(0)
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
