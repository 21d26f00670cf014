"""What Opencast's search and workflow services answer, of any release (opencast.md §3.2, §3.3).

Wrapped or not, nothing for none, an object for one, a list for many: told apart by what is there, not by a version.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from harvester.errors import TransientError

SEARCH = "/search/episode.json"


def instances(body: bytes) -> Sequence[msgspec.Raw]:
    """The workflow instances of an answer: wrapped or a bare list, none, one object or many."""
    return _some(_inside(_inside(_raw(body, "workflow"), "workflows"), "workflow"))


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


def hit_of(body: bytes, mpid: str) -> msgspec.Raw | None:
    """The hit that is the recording `mpid`, None when there is none; a series hit has no media package."""
    for raw in hits(body):
        hit = read_hit(raw)
        if hit is None or hit.mediapackage is None:
            continue
        id_ = hit.id if hit.mediapackage.id is None else hit.mediapackage.id
        if id_ is None or _text(id_) == mpid:
            return raw
    return None


def read_hit(raw: msgspec.Raw) -> Hit | None:
    """None when it is no hit of any release."""
    try:
        return msgspec.json.decode(raw, type=Hit)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
