"""What of GitHub's is in an archive, by repository and data type: our segments and the predecessor's chunks."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from consumers.archived import Wanted, ahead, listed, segments
from consumers.segments import Segment, lines_of
from harvester.errors import PermanentError
from harvester.event import Event
from harvester.protocols import Objects

_NAME = re.compile(
    r"\A([^/]{1,300})/([^/]{1,300})/"
    r"(repositories|pull_requests|commits|pull_request_commits|reviews|review_comments|issue_comments)/"
    r"(\d{4}-\d\d-\d\d)/[^/]{1,300}(_chunk_\d{1,9}\.json|\.ndjson\.zst)\Z"
)
_CHECKPOINT = re.compile(r"\A([^/_][^/]{0,300})/_checkpoints/[^/]{1,300}\.json\Z")


class Place(NamedTuple):
    """What the name of an object says."""

    organisation: str
    repository: str
    data_type: str
    day: date
    """Of the collection it is from, or on which it was read."""
    chunk: bool
    """One of the predecessor's."""

    @property
    def whole(self) -> str:
        """Owner and name."""
        return f"{self.organisation}/{self.repository}"


def place_of(name: str) -> Place | None:
    """None: no data of GitHub's."""
    found = _NAME.match(name)
    if found is None:
        return None
    return Place(unquote(found[1]), unquote(found[2]), found[3], date.fromisoformat(found[4]), found[5].endswith(".json"))


class OfGithub(Wanted):
    """What is wanted of GitHub alone, of one repository if `repository` says so: owner and name, or its name."""

    repository: str = ""

    def may_hold(self, segment: Segment) -> bool:
        """By the name of the segment: a repository is found by the name that it had when it was read."""
        place = place_of(segment.name)
        return place is not None and is_of(place, self.repository) and super().may_hold(segment)

    def holds(self, event: Event) -> bool:
        """The same of events: chunks are chosen by them alone."""
        if not event.type.startswith("github.") or not super().holds(event):
            return False
        if not self.repository:
            return True
        about = msgspec.json.decode(event.data, type=_Data).repository
        return self.repository in (about.name, f"{about.owner}/{about.name}")


class _About(msgspec.Struct):
    name: str
    owner: str


class _Data(msgspec.Struct):
    repository: _About


def is_of(place: Place, repository: str) -> bool:
    """Whether that is the repository, or none is named."""
    return repository in ("", place.repository, place.whole)


class Amount(msgspec.Struct, kw_only=True):
    """What there is of one data type of one repository. The days are of the reading."""

    repository: str
    data_type: str
    files: int = 0
    records: int = 0
    bytes: int = 0
    first: date | None = None
    last: date | None = None

    def add(self, records: int, size: int, first: date, last: date) -> None:
        """One file more."""
        self.files += 1
        self.records += records
        self.bytes += size
        self.first = min(first, self.first or first)
        self.last = max(last, self.last or last)


class _Counted(msgspec.Struct):
    data: list[msgspec.Raw]


class _Number(msgspec.Struct):
    id: int


class _Numbered(msgspec.Struct):
    repository: _Number


class _Base(msgspec.Struct):
    repo: _Number | None = None


class _Item(msgspec.Struct):
    base: _Base | None = None


class _Chunk(msgspec.Struct):
    data: list[_Item]


class Unfinished(msgspec.Struct, kw_only=True):
    """A collection that is not complete."""

    collection_id: str
    organisation: str
    state: str


class Stock(msgspec.Struct, kw_only=True):
    """The whole of it."""

    amounts: list[Amount]
    unfinished: list[Unfinished]
    unreadable: list[str] = []
    """Objects that are no chunk or checkpoint although they are called so."""


async def names_of(objects: Objects, repository: str = "") -> Sequence[tuple[str, Place]]:
    """All objects of GitHub's data, those that no manifest names too."""
    return _placed(await listed(objects, ""), repository)


def _placed(names: Sequence[str], repository: str = "") -> Sequence[tuple[str, Place]]:
    placed = ((name, place_of(name)) for name in names)
    return [(name, place) for name, place in placed if place is not None and is_of(place, repository)]


async def gone_of(objects: Objects, there: Sequence[tuple[str, Place]]) -> Sequence[tuple[str, Place]]:
    """What manifests name of GitHub's and is not `there`, though nobody wiped it: lost, or wiped while it was being written."""
    known = {name for name, _ in there}
    named = await segments(objects, OfGithub(), lambda _: None)
    placed = ((segment.name, place_of(segment.name)) for segment in named if segment.name not in known)
    return [(name, place) for name, place in placed if place is not None]


async def numbers_of(objects: Objects, names: Sequence[str]) -> Mapping[str, frozenset[int]]:
    """Which repositories, by number, are in each of these objects; none where that cannot be told. All of them are read.

    A name is given away again: what lies under it may be of the repository that bears it now, and of the one before.
    """
    found: dict[str, frozenset[int]] = {}
    async for name, body in ahead(objects, names):
        try:
            found[name] = frozenset(_numbers(name, body or b""))
        except (PermanentError, msgspec.MsgspecError):
            found[name] = frozenset()
    return found


def _numbers(name: str, body: bytes) -> set[int]:
    if name.endswith(".json"):
        items = msgspec.json.decode(body, type=_Chunk).data
        return {item.base.repo.id for item in items if item.base and item.base.repo}
    return {msgspec.json.decode(event.data, type=_Numbered).repository.id for event, _ in lines_of(name, body)}


async def stock(objects: Objects) -> Stock:
    """Counted by manifests; chunks have none, and are read whole."""
    found: dict[tuple[str, str], Amount] = {}
    bad: list[str] = []

    def of(place: Place) -> Amount:
        return found.setdefault((place.whole, place.data_type), Amount(repository=place.whole, data_type=place.data_type))

    for segment in await segments(objects, OfGithub()):
        place = place_of(segment.name)
        assert place is not None
        of(place).add(segment.events, segment.bytes, segment.first_read.date(), segment.last_read.date())
    everything = await listed(objects, "")
    chunks = {name: place for name, place in _placed(everything) if place.chunk}
    async for name, body in ahead(objects, list(chunks)):
        try:
            records = len(msgspec.json.decode(body or b"", type=_Counted).data)
        except msgspec.MsgspecError:
            bad.append(name)
            continue
        of(chunks[name]).add(records, len(body or b""), chunks[name].day, chunks[name].day)
    unfinished = [one async for one in _unfinished(objects, everything, bad)]
    return Stock(amounts=[found[key] for key in sorted(found)], unfinished=unfinished, unreadable=bad)


async def _unfinished(objects: Objects, names: Sequence[str], bad: list[str]) -> AsyncIterator[Unfinished]:
    """By checkpoints; the predecessor's do not say how a collection ended."""
    async for name, body in ahead(objects, [name for name in names if _CHECKPOINT.match(name)]):
        try:
            said = msgspec.json.decode(body or b"", type=dict[str, Any])
        except msgspec.MsgspecError:
            bad.append(name)
            continue
        state, organisation = said.get("state"), name.partition("/")[0]
        if state is not None and state != "complete":
            id_ = str(said.get("collection_id") or name.rpartition("/")[2].removesuffix(".json"))
            yield Unfinished(collection_id=id_, organisation=organisation, state=str(state))
