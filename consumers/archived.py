"""Reading the archive: what its manifests name, in the order it was written, and the proof that all of it is there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

import msgspec

from consumers.segments import MANIFESTS, SUFFIX, Manifest, Segment, manifest_of, unpacked
from harvester.errors import PermanentError
from harvester.event import Event
from harvester.protocols import Objects
from harvester.retry import ONE_SHOT, retrying

_AHEAD = 8
"""Objects that are read at the same time."""
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
        key = f"{event.id}{event.version}".encode()
        if key in self._known:
            self.count += 1
            return True
        self._known[key] = None
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return False


async def manifests(objects: Objects, after: str = "") -> AsyncIterator[tuple[str, bytes]]:
    """Each manifest with its name, in the order of writing."""
    names = [name async for name in objects.names(MANIFESTS, after)]
    async for name, body in ahead(objects, names):
        if body is None:
            raise PermanentError(f"{name}: it was listed, and is gone")
        yield name, body


async def segments(objects: Objects, wanted: Wanted) -> Sequence[Segment]:
    """The segments that can hold what is wanted, each once, in the order of writing."""
    found: dict[str, Segment] = {}
    async for name, body in manifests(objects, wanted.earliest):
        for segment in manifest_of(name, body).segments:
            if wanted.may_hold(segment):
                found.setdefault(segment.name, segment)
    return list(found.values())


async def events(objects: Objects, chosen: Sequence[Segment], wanted: Wanted) -> AsyncIterator[tuple[Segment, list[Archived]]]:
    """What is wanted of these segments, segment by segment, each event once. PermanentError: one is missing or altered."""
    repeats, by_name = Repeats(), {segment.name: segment for segment in chosen}
    async for name, body in ahead(objects, list(by_name)):
        if body is None:
            raise PermanentError(f"{name}: missing, and a manifest names it; next: harvest archive verify")
        lines = await asyncio.to_thread(unpacked, by_name[name], body)
        kept = [Archived(event, line, f"{name}:{at}") for at, (event, line) in enumerate(lines, 1) if wanted.holds(event)]
        yield by_name[name], [one for one in kept if not repeats.again(one.event)]


async def ahead(objects: Objects, names: Sequence[str]) -> AsyncIterator[tuple[str, bytes | None]]:
    """Each object in order, some of them asked for ahead; None for one that is not there."""

    async def got(name: str) -> bytes | None:
        stored = await retrying(lambda: objects.get(name), ONE_SHOT)
        return None if stored is None else stored.body

    waiting: list[tuple[str, asyncio.Task[bytes | None]]] = []
    rest = iter(names)
    try:
        for name in rest:
            waiting.append((name, asyncio.create_task(got(name))))
            if len(waiting) == _AHEAD:
                first, task = waiting.pop(0)
                yield first, await task
        while waiting:
            first, task = waiting.pop(0)
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


class Verdict(msgspec.Struct):
    """What a check of the archive found."""

    manifests: int = 0
    segments: int = 0
    events: int = 0
    bytes: int = 0
    repeated: int = 0
    """Events that were written more than once, as after a kill: readers drop them."""
    unnamed: list[str] = []
    """Segments that no manifest names: their writer was killed, and what they hold was written again."""
    faults: list[str] = []
    """What is missing or altered."""


async def verified(objects: Objects, *, told: Callable[[int, int], None] = lambda *_: None) -> Verdict:
    """Read all of it: every manifest, every segment, every event. `told` hears of segments done, of how many."""
    verdict, named, chain = Verdict(), dict[str, Segment](), dict[str, list[tuple[Manifest, str]]]()
    async for name, body in manifests(objects):
        verdict.manifests += 1
        try:
            found = manifest_of(name, body)
        except PermanentError as error:
            verdict.faults.append(str(error))
            continue
        chain.setdefault(found.writer, []).append((found, sha256(body).hexdigest()))
        for segment in found.segments:
            if named.setdefault(segment.name, segment) != segment:
                verdict.faults.append(f"{segment.name}: two manifests say different things of it")
    verdict.faults += _broken(chain)
    verdict.segments = len(named)
    await _read(objects, named, verdict, told)
    verdict.unnamed = [name async for name in objects.names("") if name.endswith(SUFFIX) and name not in named]
    return verdict


async def _read(objects: Objects, named: Mapping[str, Segment], verdict: Verdict, told: Callable[[int, int], None]) -> None:
    repeats, done = Repeats(), 0
    async for name, body in ahead(objects, list(named)):
        done += 1
        told(done, len(named))
        if body is None:
            verdict.faults.append(f"{name}: missing")
            continue
        try:
            found = await asyncio.to_thread(unpacked, named[name], body)
        except PermanentError as error:
            verdict.faults.append(str(error))
            continue
        verdict.bytes += len(body)
        verdict.events += len(found)
        for event, _ in found:
            repeats.again(event)
    verdict.repeated = repeats.count


def _broken(chain: Mapping[str, Iterable[tuple[Manifest, str]]]) -> list[str]:
    """Where a manifest is missing or altered: each names the one before by its digest. The last of a writer names itself only."""
    faults = []
    for writer, written in chain.items():
        known: dict[int, set[str]] = {0: {""}}
        ordered = sorted(written, key=lambda one: one[0].number)
        for manifest, digest in ordered:
            known.setdefault(manifest.number, set()).add(digest)
        for manifest, _ in ordered:
            before = known.get(manifest.number - 1)
            if before is None:
                faults.append(
                    f"manifest {manifest.number - 1} of writer {writer}: missing, before {manifest.written:%Y-%m-%d %H:%M}"
                )
            elif manifest.previous not in before:
                faults.append(f"manifest {manifest.number - 1} of writer {writer}: altered since it was written")
    return faults
