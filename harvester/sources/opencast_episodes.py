"""Opencast's recordings: what its search service and its workflows say of one, as an event (opencast.md §2.2, §3.2, §3.3).

The list of workflows by parameters ended with release 12: which way a server knows is told by what it answers.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from harvester.coverage import EPOCH
from harvester.event import Event, event_id
from harvester.http import HttpClient, StatusError
from harvester.opencast_answers import Hit, instances, read_hit

EPISODE = "opencast.episode"
_OF_PACKAGE = "/workflow/mediaPackage/{}/instances.json"
_LISTED = "/workflow/instances.json"
_DONE = "SUCCEEDED"
_MOST = 100
"""Workflows that a server is asked for of one recording."""
_REFUSED = (400, 404, 414, 422)
_ID = re.compile(r"(?!\.{1,255}$)[A-Za-z0-9._-]{1,255}")
"""What an id of a media package may be to stand in a path; every other was forged."""
_MILLISECOND = timedelta(milliseconds=1)


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
            if error.status not in _REFUSED:
                raise
            return None
        return instances(answer.body)

    async def _listed(self, mpid: str) -> Sequence[msgspec.Raw]:
        try:
            answer = await self._http.get(_LISTED, mp=mpid, state=_DONE, workflowdefinition=self._definition, count=_MOST)
        except StatusError as error:
            if error.status not in _REFUSED:
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


def _instance(raw: msgspec.Raw) -> _Instance | None:
    try:
        return msgspec.json.decode(raw, type=_Instance)
    except (ValueError, RecursionError):
        return None


def episode_event(mpid: str, hit: msgspec.Raw, workflow: msgspec.Raw | None, source: str, read_at: datetime) -> Event:
    """The recording as it is now. Its time is when it began; its version is when it was modified, in ms."""
    found = read_hit(hit) or Hit()
    began = _instant(found.mediapackage.start if found.mediapackage else None) or _instant(found.dc_created)
    modified = _instant(found.modified) or read_at
    data = msgspec.Raw(msgspec.json.encode({"search": hit, "workflow": workflow}).replace(b"\n", b" "))
    return Event(
        id=event_id(source, EPISODE, mpid, data),
        source=source,
        type=EPISODE,
        subject=mpid,
        version=max(0, (modified - EPOCH) // _MILLISECOND),
        time=began or EPOCH,
        read_at=read_at,
        data=data,
    )


def _instant(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None
