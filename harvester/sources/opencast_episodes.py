"""Opencast's recordings: what its search service and its workflows say of one, as an event (opencast.md §2.2, §3.2, §3.3).

The list of workflows by parameters ended with release 12: which way a server knows is told by what it answers.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from harvester.coverage import EPOCH
from harvester.errors import InvalidEventError
from harvester.event import Event, event_id
from harvester.http import HttpClient, StatusError
from harvester.opencast_answers import Hit, instances, operations, read_hit
from harvester.raw import checked

EPISODE = "opencast.episode"
GONE = "event-deleted"
"""The kind of a deleted recording in the harvest interface."""
REFUSED_IDS = (400, 414, 422)
"""With these a server refuses an id, not us."""
_OF_PACKAGE = "/workflow/mediaPackage/{}/instances.json"
_LISTED = "/workflow/instances.json"
_DONE = "SUCCEEDED"
_MOST = 100
"""Workflows that a server is asked for of one recording."""
_ID = re.compile(r"(?!\.{1,255}$)[A-Za-z0-9._-]{1,255}")
"""What an id of a media package may be to stand in a path; every other was forged."""
_MILLISECOND = timedelta(milliseconds=1)
_MOST_MS = 2**52
_NULL = msgspec.Raw(b"null")


class Workflows:
    """The newest finished workflow of one definition, by recording. Asks in the way that the server knows."""

    def __init__(self, http: HttpClient, definition: str) -> None:
        self._http = http
        self._definition = definition
        self._lists = False
        """Whether it is a server that lists by parameters, as up to 11."""

    async def newest(self, mpid: str) -> msgspec.Raw | None:
        """The instance with the highest id, None when there is none. Raises TransientError, PermanentError."""
        if not _ID.fullmatch(mpid):
            return None
        found = None if self._lists else await self._of_package(mpid)
        if found is None:
            found = await self._listed(mpid)
        done = [(instance, raw) for raw in found if (instance := _instance(raw)) and self._fits(instance)]
        return max(done, key=lambda pair: pair[0].number)[1] if done else None

    async def _of_package(self, mpid: str) -> Sequence[msgspec.Raw] | None:
        """None when the server has no such endpoint."""
        try:
            answer = await self._http.get(_OF_PACKAGE.format(mpid), endpoint=_OF_PACKAGE)
        except StatusError as error:
            if error.status not in (*REFUSED_IDS, 404):
                raise
            return None
        return instances(answer.body)

    async def _listed(self, mpid: str) -> Sequence[msgspec.Raw]:
        try:
            answer = await self._http.get(_LISTED, mp=mpid, state=_DONE, workflowdefinition=self._definition, count=_MOST)
        except StatusError as error:
            if error.status not in (*REFUSED_IDS, 404):
                raise
            return ()
        self._lists = True
        return instances(answer.body)

    def _fits(self, instance: "_Instance") -> bool:
        return instance.state == _DONE and instance.template == self._definition


class _Instance(msgspec.Struct, frozen=True):
    id: int | float | str | None = None
    state: str | None = None
    template: str | None = None

    @property
    def number(self) -> int:
        text = str(self.id)
        return int(text) if text.isdecimal() else -1


class _Operation(msgspec.Struct, frozen=True):
    completed: Any = None


class _Data(msgspec.Struct, frozen=True):
    """What an event of a recording holds, or a record of one that was kept as a letter."""

    search: msgspec.Raw = _NULL
    workflow: msgspec.Raw = _NULL
    deleted: msgspec.Raw = _NULL
    kind: Any = None


class _Gone(msgspec.Struct, frozen=True):
    id: str
    kind: str
    updated: int


_data = msgspec.json.Decoder(_Data)
_gone = msgspec.json.Decoder(_Gone)


def _instance(raw: msgspec.Raw) -> _Instance | None:
    try:
        return msgspec.json.decode(raw, type=_Instance)
    except (ValueError, RecursionError):
        return None


def episode_event(mpid: str, hit: msgspec.Raw, workflow: msgspec.Raw | None, source: str, read_at: datetime) -> Event:
    """The recording as it is now. Its time is when it began.

    Its version is when it was modified, in ms; with a workflow one more, or when that ended if this is later: so what is known
    without the workflow never replaces what was known with it.
    """
    found = read_hit(hit) or Hit()
    version = milliseconds(instant(found.modified) or read_at)
    if workflow is not None:
        version = max(version + 1, _ended(workflow))
    data = msgspec.Raw(msgspec.json.encode({"search": hit, "workflow": workflow}).replace(b"\n", b" "))
    return _event(mpid, data, version, instant(found.began) or EPOCH, source, read_at)


def gone_event(record: msgspec.Raw, source: str, read_at: datetime) -> Event:
    """A recording that was deleted, as the harvest interface tells it, which says no more of it than when: that is its time.

    Raises InvalidEventError.
    """
    try:
        gone = _gone.decode(record)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no deleted recording: {error}") from error
    if gone.kind != GONE or not gone.id or not 0 <= gone.updated < _MOST_MS:
        raise InvalidEventError(f"no deleted recording: {gone!r:.200}")
    time = EPOCH + gone.updated * _MILLISECOND
    return _event(gone.id, msgspec.Raw(b'{"deleted":%b}' % bytes(record)), gone.updated, time, source, read_at)


def event_of(record: bytes, source: str, read_at: datetime) -> Event:
    """The event that was made of this data, or of a hit or a deletion that was kept as a letter. Raises InvalidEventError."""
    try:
        body = msgspec.Raw(checked(record))
        data = _data.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no recording: {error}") from error
    if data.deleted != _NULL:
        return gone_event(data.deleted, source, read_at)
    if data.kind is not None:
        return gone_event(body, source, read_at)
    hit = body if data.search == _NULL else data.search
    workflow = None if data.workflow == _NULL else data.workflow
    return episode_event(subject_of(hit), hit, workflow, source, read_at)


def subject_of(hit: msgspec.Raw) -> str:
    """The id of the recording that a hit is. Raises InvalidEventError for what is none."""
    found = read_hit(hit)
    subject = found.subject if found else None
    if not subject:
        raise InvalidEventError("no recording: no hit of a search, or one without the id of a media package")
    return subject


def _event(mpid: str, data: msgspec.Raw, version: int, time: datetime, source: str, read_at: datetime) -> Event:
    return Event(
        id=event_id(source, EPISODE, mpid, data),
        source=source,
        type=EPISODE,
        subject=mpid,
        version=max(0, version),
        time=time,
        read_at=read_at,
        data=data,
    )


def _ended(workflow: msgspec.Raw) -> int:
    """When the last operation of a workflow ended, in ms; 0 when it does not say."""
    latest = 0
    for raw in operations(workflow):
        try:
            told = int(msgspec.json.decode(raw, type=_Operation).completed)
        except (ValueError, TypeError, OverflowError, RecursionError):
            continue
        latest = max(latest, told if told < _MOST_MS else 0)
    return latest


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - EPOCH) // _MILLISECOND


def instant(text: str | None) -> datetime | None:
    """The time in UTC; None for none, and for one without a zone."""
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
