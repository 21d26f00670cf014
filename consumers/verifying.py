"""The proof that the archive is whole: every manifest, every segment, every event is read."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

import msgspec

from consumers.archived import Repeats, ahead, listed, manifests, state
from consumers.segments import SUFFIX, Manifest, Segment, lines_of, manifest_of, unpacked
from consumers.wiped import Wiped, wiped
from harvester.errors import PermanentError
from harvester.protocols import Objects

Told = Callable[[int, int], None]


class Verdict(msgspec.Struct):
    """What a check of the archive found."""

    manifests: int = 0
    segments: int = 0
    events: int = 0
    bytes: int = 0
    repeated: int = 0
    """Events that were written more than once, as after a kill: readers drop them."""
    unnamed: list[str] = []
    """Segments that no manifest names. What they hold was written again, unless a fault says otherwise."""
    faults: list[str] = []
    """What is missing or altered."""


async def verified(objects: Objects, *, told: Told = lambda *_: None) -> Verdict:
    """Read all of it, also while it is being written. `told` hears of segments done, of how many."""
    return await _Check(objects, told).verdict()


class _Check:
    """One look at all of it."""

    def __init__(self, objects: Objects, told: Told) -> None:
        self._objects = objects
        self._told = told
        self._verdict = Verdict()
        self._seen: set[str] = set()
        self._wiped = Wiped()
        self._gone: set[str] = set()
        self._named: dict[str, Segment] = {}
        self._chain: dict[str, list[tuple[Manifest, str]]] = {}
        self._repeats = Repeats()
        self._alone: dict[bytes, str] = {}
        """States that were met in segments which no manifest names, and nowhere else yet."""

    async def verdict(self) -> Verdict:
        """Segments are listed before the manifests: what is written from then on is no part of the question."""
        self._wiped = await wiped(self._objects)
        there = [name for name in await listed(self._objects, "") if name.endswith(SUFFIX)]
        named = await self._manifests()
        unnamed = [name for name in there if name not in self._named and name not in self._gone]
        await self._read_unnamed(unnamed)
        await self._read(named)
        if unnamed:
            # Their manifests may have come while all the rest was read.
            late = set(unnamed)
            await self._read([segment for segment in await self._manifests() if segment.name in late])
        found = self._verdict
        found.unnamed = [name for name in unnamed if name not in self._named]
        found.segments = len(self._named)
        found.faults += [*_broken(self._chain), *self._unwritten()]
        return found

    async def _manifests(self) -> Sequence[Segment]:
        """The segments that manifests name which were not seen before."""
        fresh: list[Segment] = []
        async for name, body in manifests(self._objects, known=self._seen):
            self._seen.add(name)
            self._verdict.manifests += 1
            try:
                found = manifest_of(name, body)
            except PermanentError as error:
                self._verdict.faults.append(str(error))
                continue
            self._chain.setdefault(found.writer, []).append((found, sha256(body).hexdigest()))
            gone = {one.name for one in found.segments if self._wiped.holds(one.name, found.written)}
            self._gone |= gone
            fresh += [segment for segment in found.segments if segment.name not in gone and self._first(segment)]
        return fresh

    def _first(self, segment: Segment) -> bool:
        known = self._named.setdefault(segment.name, segment)
        if known != segment:
            self._verdict.faults.append(f"{segment.name}: two manifests say different things of it")
        return known is segment

    async def _read(self, segments: Sequence[Segment]) -> None:
        by_name = {segment.name: segment for segment in segments}
        done = 0
        async for name, body in ahead(self._objects, list(by_name), {one.name: one.bytes for one in segments}):
            done += 1
            self._told(done, len(by_name))
            if body is None:
                self._verdict.faults.append(f"{name}: missing")
                continue
            try:
                found = await asyncio.to_thread(unpacked, by_name[name], body)
            except PermanentError as error:
                self._verdict.faults.append(str(error))
                continue
            self._verdict.bytes += len(body)
            self._verdict.events += len(found)
            for event, _ in found:
                self._repeats.again(event)
                self._alone.pop(state(event), None)
        self._verdict.repeated = self._repeats.count

    async def _read_unnamed(self, names: Sequence[str]) -> None:
        async for name, body in ahead(self._objects, names):
            try:
                found = lines_of(name, body or b"")
            except PermanentError as error:
                self._verdict.faults.append(f"{error}; no manifest names it")
                continue
            self._alone.update({state(event): name for event, _ in found})

    def _unwritten(self) -> list[str]:
        return [
            f"{name}: {amount:,} of its events are nowhere else, and no manifest names it: its writer was killed and did not go "
            f"on (let `harvest consume archive` run, and look again), or its manifest was taken away (bring it back)"
            for name, amount in Counter(self._alone.values()).items()
        ]


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
