"""`/tobira/harvest` as opencast/opencast:modules/tobira/.../impl/Harvest.java has it: what changed since, deleted things too."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from harvester.sandbox.changes import Changes, State
from harvester.sandbox.clock import milliseconds, moment_of
from harvester.sandbox.faults import BROKEN_RECORDS, Faults
from harvester.sandbox.rows import SPOILED
from harvester.sandbox.table import View

HARVEST = "/tobira/harvest"
_BUFFER = 180_000
"""No answer says that it is complete up to less than so long ago (ms)."""
_OTHERS = ("playlist", "playlist-deleted", "series-deleted")
_ACL = {"read": ["ROLE_ANONYMOUS"], "write": ["ROLE_ADMIN"]}


class TrueEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """The newest state of one recording that was ever served or would be served now."""

    mpid: str
    modified: datetime
    deleted: bool
    title: str
    course: str | None
    series: str | None
    broken: str | None = None
    """What makes its record unfit in lists; None: it is fit."""


class _Item(NamedTuple):
    updated: int
    body: bytes


class Feed:
    """What changed, from the oldest on."""

    def __init__(self, changes: Changes, faults: Faults, *, since: int) -> None:
        self._changes = changes
        self._faults = faults
        self._since = since

    def answer(self, query: Mapping[str, str], view: View, now: int) -> web.Response:
        """One page. `now` in ms."""
        try:
            since, amount = int(query["since"]), int(query["preferredAmount"])
        except (KeyError, ValueError):
            since, amount = -1, 0
        if since < 0 or amount <= 0:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text="since from 0 and preferredAmount from 1 on are needed")
        kinds = [self._events(view), self._series(view), self._others(view)]
        found = [[item for item in items if item.updated >= since][: amount + 1] for items in kinds]
        full = [items[-1].updated for items in found if len(items) > amount]
        until = min([now, *full])
        items = sorted((item for items in found for item in items[:amount] if item.updated <= until), key=lambda i: i.updated)
        head = b'{"includesItemsUntil":%d,"hasMore":%b,"items":[' % (min(until, now - _BUFFER), b"true" if full else b"false")
        body = head + b",".join(item.body for item in items) + b"]}"
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    def truth(self, view: View, start: datetime | None, end: datetime | None) -> dict[str, TrueEpisode]:
        """Every recording whose newest change was in `start <= modified < end`, by its id."""
        found = (self._true(state) for state in self._changes.standing(view))
        return {e.mpid: e for e in found if (start is None or start <= e.modified) and (end is None or e.modified < end)}

    def broken(self, mpid: str) -> str | None:
        """What makes the record of a recording unfit in lists."""
        fault = self._faults.of_record(f"episode/{mpid}")
        return fault if fault in BROKEN_RECORDS else None

    def spoiled(self, mpid: str, body: bytes) -> bytes:
        """The record in a list, with the fault that is its fate. By itself it is whole, so that look-ups of it are."""
        fault = self._faults.of_record(f"episode/{mpid}")
        if fault is None:
            return body
        if fault in ("huge-id", "no-created"):
            return body.replace(b'"id":', b'"number":')
        return SPOILED[fault](body)

    def _true(self, state: State) -> TrueEpisode:
        lecture = state.lecture
        return TrueEpisode(
            mpid=lecture.mpid,
            modified=moment_of(state.at),
            deleted=not lecture.exists,
            title=lecture.title,
            course=lecture.course or None,
            series=lecture.series or None,
            broken=self.broken(lecture.mpid),
        )

    def _events(self, view: View) -> Sequence[_Item]:
        found = sorted(self._changes.standing(view), key=lambda state: state.at)
        return [_Item(s.at, self.spoiled(s.lecture.mpid, msgspec.json.encode(_event(s)))) for s in found]

    def _series(self, view: View) -> Sequence[_Item]:
        last = min(view.now, view.stopped)
        newest = {state.id: state for state in self._changes.series if state.at <= last}
        found = sorted(newest.values(), key=lambda state: state.at)
        return [
            _Item(s.at, msgspec.json.encode({"id": s.id, "kind": "series", "title": s.title, "acl": _ACL, "updated": s.at}))
            for s in found
        ]

    def _others(self, view: View) -> Sequence[_Item]:
        """Now and then something that is no recording."""
        times = range(self._since, view.now, 7 * 3_600_000)
        return [
            _Item(at, msgspec.json.encode({"id": f"other-{n}", "kind": _OTHERS[n % len(_OTHERS)], "updated": at}))
            for n, at in enumerate(times)
        ]


def _event(state: State) -> dict[str, Any]:
    lecture = state.lecture
    if not lecture.exists:
        return {"id": lecture.mpid, "kind": "event-deleted", "updated": state.at}
    return {
        "id": lecture.mpid,
        "kind": "event",
        "title": lecture.title,
        "partOf": lecture.series or None,
        "description": lecture.description or None,
        "created": milliseconds(lecture.start),
        "startTime": None,
        "endTime": None,
        "creators": [],
        "duration": lecture.duration.total_seconds() * 1000,
        "isLive": lecture.live,
        "tracks": [],
        "acl": _ACL,
        "metadata": {"dcterms": {}},
        "updated": state.at,
    }
