"""Checkpoints: what each collection of GitHub was asked for, how far it is, and how it ended, kept beside what it archived.

    acme/_checkpoints/20261128T120000Z.json

One object a collection. It is written under the condition that nobody else wrote it meanwhile, and is no source of truth of what
was read, which is the book: it says what to go on with after a crash.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import click
import msgspec

from harvester.errors import ConfigError, ConflictError, RefusedError
from harvester.logs import get_logger
from harvester.protocols import Objects
from harvester.retry import ONE_SHOT, retrying

FORMAT = 1
LOOKED_AT = 25
"""So many of the newest are looked at for unfinished ones; each start completes them, so none can be older."""
_SHOWN = 10
_FOLDER = "_checkpoints/"
_SHORT = "%Y%m%dT%H%M%SZ"

Kind = Literal["collect", "backfill", "scheduled"]
State = Literal["running", "complete", "partial", "failed"]


class Standing(msgspec.Struct, kw_only=True):
    """Where one stream of a repository stands, of the range that was asked for."""

    repository: str
    read_to: datetime | None = None
    """Everything from `since` to here is read."""
    left: Sequence[tuple[datetime, datetime]] = ()
    """What is not."""


class Fact(msgspec.Struct, kw_only=True):
    """What is read of one stream, and written into all sinks: its coverage."""

    start: datetime | None = None
    """Where it began; None when the collection was of a range."""
    read: Sequence[tuple[datetime, datetime]] = ()
    settled: Sequence[tuple[datetime, datetime]] = ()
    notes: bytes = b""
    notes_at: datetime | None = None


class Hole(msgspec.Struct, kw_only=True):
    """What the collection has not got, and why."""

    repository: str
    part: str
    """pulls · review_comments · issue_comments · sweep · repositories, or the sink that was not written."""
    why: str


class Checkpoint(msgspec.Struct, kw_only=True):
    """One collection. Times are UTC; `since` and `until` bound times of change, closed-open."""

    format: int = FORMAT
    collection_id: str
    kind: Kind
    state: State = "running"
    organisation: str
    since: datetime
    until: datetime
    whole: bool
    """Whether all repositories that there were are asked for."""
    live: bool = False
    """Whether it reads up to now, and not a range."""
    repositories: Sequence[str] = ()
    completed: Sequence[str] = ()
    streams: Mapping[str, Standing] = {}
    counts: Mapping[str, Mapping[str, int]] = {}
    """Repository → data type → what was read."""
    sinks: Mapping[str, Mapping[str, int]] = {}
    """Sink → consumed, delivered, filtered, dead_lettered."""
    dead_letters: int = 0
    holes: Sequence[Hole] = ()
    manifests: Sequence[str] = ()
    """Objects of the archive that name the segments written meanwhile."""
    facts: Mapping[str, Fact] = {}
    """What a process without a book goes on with; of one that ended, and left nothing in the queue."""
    updated: datetime | None = None
    ended: datetime | None = None


class _Version(msgspec.Struct):
    format: int = 0


def id_of(moment: datetime) -> str:
    """The id of a collection that began then, as it is printed."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat()


def short(collection: str) -> str:
    """The id as it stands in names of objects. Both forms are taken; exit 2 for any other text."""
    try:
        form = _SHORT if re.fullmatch(r"\d{8}T\d{6}Z", collection) else ""
        moment = datetime.strptime(collection, form).replace(tzinfo=UTC) if form else datetime.fromisoformat(collection)
    except ValueError:
        moment = None
    if moment is None or (moment.tzinfo is None):
        raise click.BadParameter(
            f"{collection!r} is no id of a collection: they look like 2025-01-01T12:00:00+00:00 or 20250101T120000Z",
            param_hint="--collection-id",
        )
    return moment.astimezone(UTC).strftime(_SHORT)


def name_of(organisation: str, collection: str) -> str:
    """Where the checkpoint is, in the archive."""
    return f"{organisation}/{_FOLDER}{short(collection)}.json"


async def ids(objects: Objects, organisation: str) -> list[str]:
    """The ids that there are, in their short form, oldest first."""
    names = [name async for name in objects.names(f"{organisation}/{_FOLDER}")]
    return [name.rpartition("/")[2].removesuffix(".json") for name in names]


async def named(objects: Objects, organisation: str, collection: str) -> "Kept":
    """The checkpoint of that id. Exit 2 naming the ids that exist; ConfigError: a newer version of ours wrote it."""
    kept = await _kept(objects, name_of(organisation, collection))
    if kept is None:
        known = (await ids(objects, organisation))[-_SHOWN:]
        there = f"the newest are {', '.join(known)}" if known else f"there is none of {organisation}"
        raise click.BadParameter(f"there is no collection {collection}: {there}", param_hint="--collection-id")
    return kept


async def unfinished(objects: Objects, organisation: str) -> AsyncIterator["Kept"]:
    """Collections that were cut off, oldest first. What cannot be read is told in the log, and left."""
    async for kept in newest(objects, organisation):
        if kept.checkpoint.state == "running":
            yield kept


async def newest(objects: Objects, organisation: str) -> AsyncIterator["Kept"]:
    """The newest collections, oldest first. What cannot be read is told in the log, and left."""
    for one in (await ids(objects, organisation))[-LOOKED_AT:]:
        try:
            kept = await _kept(objects, f"{organisation}/{_FOLDER}{one}.json")
        except (ConfigError, RefusedError) as error:
            get_logger("github").warning("a checkpoint cannot be read", collection_id=one, error=str(error))
            continue
        if kept is not None:
            yield kept


async def _kept(objects: Objects, name: str) -> "Kept | None":
    stored = await retrying(lambda: objects.get(name), ONE_SHOT)
    if stored is None:
        return None
    try:
        if msgspec.json.decode(stored.body, type=_Version).format > FORMAT:
            raise ConfigError(f"{name}: a checkpoint of a newer version: upgrade this process")
        found = msgspec.json.decode(stored.body, type=Checkpoint)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RefusedError(f"{name}: no checkpoint of ours: {error}") from error
    return Kept(objects, found, stored.tag)


class Kept:
    """A checkpoint with its object; nobody else's change of it is written over. Without objects it is kept nowhere."""

    def __init__(self, objects: Objects | None, checkpoint: Checkpoint, tag: str = "") -> None:
        self.checkpoint = checkpoint
        self._objects = objects
        self._tag = tag
        self._tried: list[bytes] = []
        """What may be there although the answer was lost, since the tag is known."""

    async def begin(self) -> None:
        """The first write, under an id that nobody has: the next free second."""
        while self._objects and await self._objects.get(self.name) is not None:
            later = datetime.fromisoformat(self.checkpoint.collection_id) + timedelta(seconds=1)
            self.checkpoint.collection_id = id_of(later)
        await self.write()

    @property
    def name(self) -> str:
        """Its object's."""
        return name_of(self.checkpoint.organisation, self.checkpoint.collection_id)

    async def write(self) -> None:
        """Returns = durable. RefusedError: another process writes it, too. TransientError: the store is away."""
        objects = self._objects
        if objects is None:
            return
        name = self.name
        self.checkpoint.updated = datetime.now(UTC)
        body = msgspec.json.encode(self.checkpoint)
        self._tried.append(body)

        async def put() -> str:
            try:
                return await objects.put(name, body, replaces=self._tag)
            except ConflictError as error:
                found = await objects.get(name)
                if found is None or found.body not in self._tried:
                    raise RefusedError(f"{name}: another process works on this collection; next: wait for it") from error
                return found.tag if found.body == body else await objects.put(name, body, replaces=found.tag)

        self._tag = await retrying(put, ONE_SHOT)
        self._tried = [body]
