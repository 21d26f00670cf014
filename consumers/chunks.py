"""The JSON chunks that the predecessor archived of GitHub, as events: pull requests as REST gave them, all else as rows.

    acme/widgets/commits/2025-01-01/2025-01-01T12:00:00+00:00_chunk_1.json
    {organization, repository, data_type, timestamp, chunk_id, count, data: [...]}

Rows do not say the number of their repository: it is learnt from the pull requests of the same archive. A version is lower
than GitHub's own would be, so that what GitHub told us itself is never replaced. What is hidden of people is hidden here, too:
these records never passed a source.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from consumers.archived import Archived, Wanted, ahead, listed
from harvester.errors import InvalidEventError, PermanentError
from harvester.event import Event, encode_event, event_id
from harvester.privacy import Veil
from harvester.protocols import Objects
from harvester.veiled import veiled_event

Node = dict[str, Any]
SOURCE, HOST = "github", "github.com"
_NAME = re.compile(
    r"\A[^/]{1,100}/[^/]{1,100}/(pull_requests|commits|reviews|review_comments|issue_comments)/"
    r"\d{4}-\d\d-\d\d/[^/]{1,100}_chunk_\d{1,9}\.json"
)
_BELOW_OURS = 2**30
"""The version of a commit is this less the number of its pull request, so that the first stays; ours are from 2^31 on down."""


class Chunk(msgspec.Struct, frozen=True):
    """One object of it."""

    organization: str
    repository: str
    data_type: str
    timestamp: datetime
    data: list[Node]


class Broken(NamedTuple):
    """Something in it that can be no event."""

    place: str
    error: str


class Read(NamedTuple):
    """What one chunk gave."""

    events: Sequence[Archived]
    broken: Sequence[Broken]


async def chunks(objects: Objects) -> Sequence[str]:
    """The names of all chunks, pull requests first."""
    found = [name for name in await listed(objects, "") if _NAME.fullmatch(name)]
    return sorted(found, key=lambda name: (name.split("/")[2] != "pull_requests", name))


async def events(objects: Objects, names: Sequence[str], wanted: Wanted, veil: Veil | None = None) -> AsyncIterator[Read]:
    """What is wanted of these chunks, one by one; `names` as `chunks` gives them. `veil`: what is hidden of people, or None."""
    repositories: dict[tuple[str, str], int] = {}
    async for name, body in ahead(objects, names):
        if body is None:
            raise PermanentError(f"{name}: it was listed, and is gone")
        try:
            found = msgspec.json.decode(body, type=Chunk)
        except msgspec.MsgspecError as error:
            yield Read([], [Broken(name, f"no chunk: {error}")])
            continue
        kept, broken = list[Archived](), list[Broken]()
        for number, item in enumerate(found.data, 1):
            place = f"{name}:{number}"
            try:
                made = [veiled_event(event, veil) if veil else event for event in _events(found, item, repositories)]
            except InvalidEventError as error:
                broken.append(Broken(place, str(error)))
                continue
            kept += [Archived(event, encode_event(event), place) for event in made if wanted.holds(event)]
        yield Read(kept, broken)


def _events(chunk: Chunk, item: Node, repositories: dict[tuple[str, str], int]) -> Iterator[Event]:
    """The events of one item. Raises InvalidEventError for one that can be none."""
    place = (chunk.organization, chunk.repository)
    try:
        if chunk.data_type == "pull_requests":
            repositories.setdefault(place, int(item["base"]["repo"]["id"]))
        if place not in repositories:
            raise InvalidEventError(
                f"the number of the repository {'/'.join(place)} is not known: no chunk of its pull requests is in this archive"
            )
        yield from _MAKERS[chunk.data_type](_Place(chunk, repositories[place]), item)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # That of a ValueError quotes what stands there, which may be about people.
        why = type(error).__name__ if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise InvalidEventError(f"no item of {chunk.data_type}: {why}") from error


class _Place(NamedTuple):
    chunk: Chunk
    repository: int

    def event(self, thing: str, subject: object, version: int, time: datetime, said: Mapping[str, Any]) -> Event:
        about = {"id": self.repository, "name": self.chunk.repository, "owner": self.chunk.organization}
        data = msgspec.json.encode({"from": "predecessor", "host": HOST, "repository": about, **said})
        type_, name = f"github.{thing}", f"{self.repository}/{subject}"
        read_at = self.chunk.timestamp
        return Event(
            id=event_id(SOURCE, type_, name, data),
            source=SOURCE,
            type=type_,
            subject=name,
            version=max(0, version),
            time=time,
            read_at=read_at if read_at.tzinfo else read_at.replace(tzinfo=UTC),
            data=msgspec.Raw(data),
        )


def _pull_request(place: _Place, item: Node) -> Iterator[Event]:
    number = int(item["number"])
    node = {name: len(value) if name in _CHILDREN and isinstance(value, list) else value for name, value in item.items()}
    if isinstance(item.get("issue_comments"), list):
        node.setdefault("comments", node["issue_comments"])
    made = _time(item["created_at"])
    yield place.event("pull_request", number, _ms(_time(item["updated_at"])) - 1, made, {"pull_request": node})


def _commit(place: _Place, row: Node) -> Iterator[Event]:
    number, sha, committed = int(row["pr_number"]), str(row["sha"]), _time(row["commit_date"])
    git = {
        "message": row.get("message"),
        "author": {"name": row.get("author"), "email": row.get("author_email"), "date": row.get("author_date")},
        "committer": {"name": row.get("committer"), "email": row.get("committer_email"), "date": row["commit_date"]},
    }
    said = {"number": number, "commit": {"sha": sha, "html_url": row.get("url"), "commit": git}}
    yield place.event("commit", sha, _BELOW_OURS - number, committed, said)
    pair = {"number": number, "sha": sha, "position": None}
    yield place.event("pull_request_commit", f"{number}/{sha}", 0, committed, pair)


def _review(place: _Place, row: Node) -> Iterator[Event]:
    number, id_, said_at = int(row["pr_number"]), int(row["review_id"]), row.get("submitted_at")
    review = {"id": id_, "user": _user(row, "reviewer"), "html_url": row.get("url")}
    review |= {name: row.get(name) for name in ("state", "body", "submitted_at", "commit_id")}
    time = _time(said_at) if said_at else place.chunk.timestamp.astimezone(UTC)
    yield place.event("review", id_, _ms(time) - 1 if said_at else 0, time, {"number": number, "review": review})


def _comment(place: _Place, row: Node) -> Iterator[Event]:
    number, id_ = int(row["pr_number"]), int(row["comment_id"])
    names = ("body", "created_at", "updated_at", "path", "position", "commit_id")
    comment = {"id": id_, "user": _user(row, "author"), "html_url": row.get("url"), **{n: row[n] for n in names if n in row}}
    thing, changed = place.chunk.data_type.removesuffix("s"), _ms(_time(row.get("updated_at") or row["created_at"]))
    yield place.event(thing, id_, changed - 1, _time(row["created_at"]), {"number": number, "comment": comment})


def _user(row: Node, name: str) -> Node | None:
    return {"login": row[name], "type": row.get(f"{name}_type")} if row.get(name) else None


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


_CHILDREN = ("commits", "reviews", "review_comments", "issue_comments", "comments")
_MAKERS: Mapping[str, Callable[[_Place, Node], Iterator[Event]]] = {
    "pull_requests": _pull_request,
    "commits": _commit,
    "reviews": _review,
    "review_comments": _comment,
    "issue_comments": _comment,
}
