"""What Opencast's search and workflow services answer, of any release (opencast.md §3.2, §3.3).

Wrapped or not, nothing for none, an object for one, a list for many: told apart by what is there, not by a version.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from harvester.errors import TransientError
from harvester.raw import MAX_DEPTH, Refused, depth, split

SEARCH = "/search/episode.json"


def instances(body: bytes) -> Sequence[msgspec.Raw]:
    """The workflow instances of an answer: wrapped or a bare list, none, one object or many."""
    return _some(_inside(_inside(_raw(body, "workflow"), "workflows"), "workflow"))


def operations(workflow: msgspec.Raw) -> Sequence[msgspec.Raw]:
    """The operations of a workflow instance, wrapped or a bare list."""
    return _some(_inside((_members(workflow) or {}).get("operations"), "operation"))


class Found(NamedTuple):
    """A page of a search: how many hits there are by the server's count, those that may travel, and those that may not."""

    total: int | None
    hits: Sequence[msgspec.Raw]
    refused: Sequence[Refused]


def found(body: bytes) -> Found:
    """A page in pieces, so that one bad hit does not spoil the others. TransientError when it is no page at all."""
    refused: list[Refused] = []
    try:
        body.decode()
        records = hits(body)
        whole = b"\n" not in body and b"\r" not in body and all(depth(bytes(record)) <= MAX_DEPTH for record in records)
    except (ValueError, TransientError):
        whole = False
    envelope = body
    if not whole:
        path = ("search-results", "result") if b'"search-results"' in body[:100] else ("result",)
        parts = split(body.strip(), *path)
        envelope, records, refused = parts.envelope, [msgspec.Raw(record) for record in parts.records], parts.refused
    members = _members(_inside(_raw(envelope, "search"), "search-results")) or {}
    total = bytes(members.get("total", b"")).strip(b'"')
    return Found(int(total) if total.isdigit() else None, records, refused)


def hits(body: bytes) -> Sequence[msgspec.Raw]:
    """The hits of a search answer of any release. TransientError when it is no search result at all."""
    answer = _inside(_raw(body, "search"), "search-results")
    members = _members(answer)
    if members is None or not members.keys() & {"result", "total"}:
        raise TransientError("search: neither search-results nor result in the answer")
    return _some(members.get("result"))


def _raw(body: bytes, what: str) -> msgspec.Raw:
    try:
        return msgspec.json.decode(body, type=msgspec.Raw)
    except (ValueError, RecursionError) as error:
        raise TransientError(f"{what}: no JSON: {error}") from error


def _members(value: msgspec.Raw | None) -> dict[str, msgspec.Raw] | None:
    try:
        return None if value is None else msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return None


def _inside(value: msgspec.Raw | None, name: str) -> msgspec.Raw | None:
    """The member of that name, or the value itself when it has none."""
    members = _members(value)
    return value if members is None else members.get(name, value)


def _some(value: msgspec.Raw | None) -> Sequence[msgspec.Raw]:
    """What stands for several things: nothing or a text for none, an object for one, a list."""
    text = b"" if value is None else bytes(value).lstrip()
    if text[:1] == b"{":
        return [msgspec.Raw(text)]
    return msgspec.json.decode(text, type=list[msgspec.Raw]) if text[:1] == b"[" else ()


class Package(msgspec.Struct, frozen=True):
    """What of its media package."""

    id: int | float | str | bool | None = None
    start: str | None = None


class Hit(msgspec.Struct, frozen=True, rename="camel"):
    """What of a search hit its readers need to know which it is, and since when it is so."""

    id: int | float | str | bool | None = None
    mediapackage: Package | None = None
    modified: str | None = None
    dc_created: str | None = None
    dc: Any = None

    @property
    def subject(self) -> str | None:
        """The id of the recording; None when it is none, such as a series."""
        if self.mediapackage is None:
            return None
        id_ = self.id if self.mediapackage.id is None else self.mediapackage.id
        return None if id_ is None else _text(id_)

    @property
    def began(self) -> str | None:
        """When the recording began, or else was created."""
        return (self.mediapackage.start if self.mediapackage else None) or self.dc_created or _first(self.dc)


def hit_of(body: bytes, mpid: str) -> msgspec.Raw | None:
    """The hit that is the recording `mpid`, None when there is none; a series hit has no media package."""
    for raw in hits(body):
        hit = read_hit(raw)
        if hit is None or hit.mediapackage is None:
            continue
        if hit.subject in (None, mpid):
            return raw
    return None


def _first(dc: Any) -> str | None:
    """The time of creation in Dublin Core as from 16 on, lists of text."""
    values = dc.get("created") if isinstance(dc, dict) else None
    return next((value for value in values if isinstance(value, str)), None) if isinstance(values, list) else None


def read_hit(raw: msgspec.Raw) -> Hit | None:
    """None when it is no hit of any release."""
    try:
        return msgspec.json.decode(raw, type=Hit)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
