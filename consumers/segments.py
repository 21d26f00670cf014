"""Archive segments: events as they came, one envelope a line, compressed; and the manifests that say which there are.

    opencast/useractions/2026-11-28/20261128T120000Z-3f9a0c…_chunk_1.ndjson.zst
    acme/widgets/pull_requests/2026-11-28/20261128T120000Z-77b1e2…_chunk_1.ndjson.zst      of GitHub: by repository
    _manifests/2026-11-28/120103Z-5d0f1a2b-000007.json

The day and the time are when the first of its events was read from its source, the hex digits are of its bytes: one name is one
content for ever. What no manifest names is no part of the archive.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

import msgspec
import zstandard

from harvester.errors import ConfigError, InvalidEventError, PermanentError
from harvester.event import Event, decode_event, encode_event

FORMAT = 1
MANIFESTS = "_manifests/"
SUFFIX = ".ndjson.zst"
_LEVEL = 9
_DIGITS = 16
_LONGEST = 100
"""Characters of one part of a name: file systems take 255 bytes."""


class Segment(msgspec.Struct, frozen=True):
    """What a manifest says of one segment. The times are of its events: when they happened, and when they were read."""

    name: str
    sha256: str
    """Of the object as it is stored."""
    bytes: int
    events: int
    source: str
    type: str
    first: datetime
    last: datetime
    first_read: datetime
    last_read: datetime


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one writer added in one go. Its manifests are numbered from 1, each names the digest of the one before."""

    format: int = FORMAT
    writer: str
    number: int
    previous: str
    """SHA-256 of the writer's manifest before, "" for the first."""
    written: datetime
    """When the first of its segments was about to be."""
    segments: Sequence[Segment]


class Packed(NamedTuple):
    """A segment with its bytes."""

    segment: Segment
    body: bytes


class _Version(msgspec.Struct, frozen=True):
    format: int


class _Repository(msgspec.Struct, frozen=True):
    name: str
    owner: str


class _Placed(msgspec.Struct, frozen=True):
    repository: _Repository


_placed = msgspec.json.Decoder(_Placed)


def packed(events: Sequence[Event], chunk: int) -> list[Packed]:
    """The segments of a batch: one for each source, type, folder and day of reading; of GitHub's none is larger than `chunk`."""
    groups: dict[tuple[str, str, str], list[Event]] = {}
    for event in events:
        folder = f"{_folder(event)}/{event.read_at.astimezone(UTC):%Y-%m-%d}"
        groups.setdefault((event.source, event.type, folder), []).append(event)
    found = []
    for (_, type_, folder), group in groups.items():
        most = chunk if type_.startswith("github.") else len(group)
        found += [_packed(folder, group[at : at + most], at // most + 1) for at in range(0, len(group), most)]
    return found


def _packed(folder: str, events: Sequence[Event], number: int) -> Packed:
    body = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(b"".join(encode_event(e) + b"\n" for e in events))
    digest, times, reads = sha256(body).hexdigest(), [e.time for e in events], [e.read_at for e in events]
    name = f"{folder}/{min(reads).astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest[:_DIGITS]}_chunk_{number}{SUFFIX}"
    segment = Segment(
        name=name,
        sha256=digest,
        bytes=len(body),
        events=len(events),
        source=events[0].source,
        type=events[0].type,
        first=min(times),
        last=max(times),
        first_read=min(reads),
        last_read=max(reads),
    )
    return Packed(segment, body)


def unpacked(segment: Segment, body: bytes) -> Sequence[tuple[Event, bytes]]:
    """Each event with its line. PermanentError: these are not the bytes that were written, or no events."""
    if sha256(body).hexdigest() != segment.sha256:
        raise PermanentError(f"{segment.name}: altered since it was written: its digest is another one")
    found = lines_of(segment.name, body)
    if len(found) != segment.events:
        raise PermanentError(f"{segment.name}: {len(found)} events, and its manifest says {segment.events}")
    return found


def lines_of(name: str, body: bytes) -> Sequence[tuple[Event, bytes]]:
    """The same of one of which no manifest says anything. PermanentError: these are no events."""
    try:
        lines = zstandard.ZstdDecompressor().decompress(body).split(b"\n")[:-1]
        return [(decode_event(line), line) for line in lines]
    except (zstandard.ZstdError, InvalidEventError) as error:
        raise PermanentError(f"{name}: no segment of events: {error}") from error


def manifest_name(manifest: Manifest) -> str:
    """Where it is kept: in the order of writing."""
    return f"{MANIFESTS}{manifest.written:%Y-%m-%d/%H%M%SZ}-{manifest.writer}-{manifest.number:06d}.json"


def manifest_of(name: str, body: bytes) -> Manifest:
    """ConfigError: a newer version of ours wrote it. PermanentError: it is damaged."""
    try:
        found = msgspec.json.decode(body, type=_Version).format
        if found > FORMAT:
            raise ConfigError(f"{name}: an archive of format {found}, this version reads up to {FORMAT}: upgrade this process")
        return msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"{name}: damaged: {error}") from error


def _folder(event: Event) -> str:
    """By repository for GitHub, as its archives always were; else by source."""
    kind, _, thing = event.type.rpartition(".")
    place = [event.source]
    if kind == "github":
        try:
            found = _placed.decode(event.data).repository
        except (ValueError, RecursionError):
            pass
        else:
            place = [found.owner, found.name]
    return "/".join(map(_part, [*place, _plural(thing)]))


def _plural(thing: str) -> str:
    return f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"


def _part(text: str) -> str:
    """A text as one part of a name: no slash in it, and none of the names that mean another folder."""
    part = quote(text, safe="")[:_LONGEST]
    return part if part.strip(".") and not part.startswith("_") else f"%{ord(part[0]):02X}{part[1:]}" if part else "%00"
