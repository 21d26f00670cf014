"""Records of Opencast: what the player's viewers did, action by action (opencast.md §3.1 and §6)."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET

from consumers.records.agents import Agent, agent
from consumers.records.jettison import LEAST, MOST, UNKNOWN, Scalar, known, text, whole
from consumers.records.places import Geoip, geoip
from consumers.records.record import Family, Ip, Record
from harvester.errors import InvalidEventError
from harvester.event import Event

# X-Forwarded-For can be forged: what goes beyond stays together in the last one, so that no request makes fields at will.
MAX_PROXIES = 32
ANONYMOUS = "anonymous"
"""The `huid` that Opencast gives to everybody who is not logged in: nobody in particular."""
_PROXIES = [f"proxy{number}" for number in range(1, MAX_PROXIES + 1)]


class Action(msgspec.Struct, frozen=True, gc=False):
    """What was done in the player."""

    type: Annotated[str, "PLAY, PAUSE, SEEK, HEARTBEAT, FOOTPRINT …: an open set"]
    inpoint: Annotated[int, "second of the recording where it began"]
    outpoint: Annotated[int, "second of the recording where it ended; grows while a FOOTPRINT goes on"]
    length: Annotated[int, "outpoint − inpoint in seconds, negative for a seek backward"]
    is_playing: Annotated[bool, "whether the player was playing"]


class Episode(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The recording as the search service knows it; what is unknown is left out."""

    title: Annotated[str | None, "title of the recording"] = None
    duration: Annotated[int | None, "length of the recording in ms"] = None
    start: Annotated[datetime | None, "when the recording began"] = None
    course: Annotated[str | None, "title of the series"] = None
    series: Annotated[str | None, "id of the series"] = None
    year: Annotated[str | None, "characters 1–4 of a series id of at least 11 digits"] = None
    term: Annotated[str | None, "characters 5–6 of it"] = None
    cdn: Annotated[str | None, "characters 7–11 of it"] = None
    crn: Annotated[str | None, "the same as cdn, under its other name"] = None
    type: Annotated[str | None, "type of the recording, like L10 for the tenth lecture"] = None
    description: Annotated[str | None, "description of the recording"] = None


class UserAction(Record, index="useractions-{time:%Y.%m.%d}", table="useractions", key="action_id", enrichers=("episode",)):
    """One action of one viewer in one lecture recording."""

    action_id: Annotated[int, "number of the action at its Opencast"]
    timestamp: Annotated[datetime, "when the action was made"]
    mpid: Annotated[str, "media package (lecture recording) the action is in"]
    session_id: Annotated[str | None, "session of the viewer"]
    huid: Annotated[str | None, "id of the viewer, null when unknown or hidden; `anonymous` for everybody who is not logged in"]
    useragent: Annotated[str | None, "browser of the viewer as it named itself, at most 255 characters"]
    ua: Agent
    action: Action
    ip: Annotated[str | None, "address of the viewer, null when hidden; the viewer can forge it", Ip()]
    is_live: Annotated[bool, "true only for live playback"]
    episode: Episode
    proxies: Annotated[dict[str, str], "rest of the forwarded list", Family("proxy*")]
    geoip: Geoip = UNSET


class _Session(msgspec.Struct, frozen=True, rename="camel", gc=False):
    session_id: Scalar = None
    user_id: Scalar = None
    user_ip: Scalar = None
    user_agent: Scalar = None


class _Row(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An action as the API gives it, in both session shapes: flat (1.6) and nested in `sessionId` (since 2.0)."""

    id: Scalar = None
    mediapackage_id: Scalar = None
    session_id: msgspec.Raw = msgspec.Raw(b"null")
    user_id: Scalar = None
    user_ip: Scalar = None
    user_agent: Scalar = None
    inpoint: Scalar = None
    outpoint: Scalar = None
    length: Scalar = None
    type: Scalar = None
    is_playing: Scalar = None


_Whole = Annotated[int, msgspec.Meta(ge=LEAST, le=MOST)]


class _Usual(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A row whose session is nested and whose values have the types that they had: there is nothing to convert."""

    id: _Whole
    mediapackage_id: str
    session_id: msgspec.Raw
    inpoint: _Whole
    outpoint: _Whole
    length: _Whole
    type: str
    is_playing: bool | int


class _Viewer(NamedTuple):
    session_id: str | None
    huid: str | None
    useragent: str | None
    ua: Agent
    ip: str | None
    proxies: dict[str, str]


class _Place(msgspec.Struct, frozen=True, rename="camel", gc=False):
    mediapackage_id: Scalar = None


_usual = msgspec.json.Decoder(_Usual)
_row = msgspec.json.Decoder(_Row)
_session = msgspec.json.Decoder(_Session)
_scalar = msgspec.json.Decoder(Scalar)
_place = msgspec.json.Decoder(_Place)
_found = msgspec.json.Decoder(Episode | None)
_NO_EPISODE = Episode()
_AHEAD = 10_000
_NONE = (None, None)
_read_ahead: dict[str, tuple[msgspec.Raw, _Usual]] = {}
"""Rows that were read for their recording or their address, by their event's, until they are read for their record."""


def useraction(event: Event) -> UserAction:
    """The record of one action. Raises InvalidEventError when a field that must be there is missing or no such value."""
    data, row = _read_ahead.pop(event.id, _NONE)
    try:
        if data is not event.data:
            row = _usual_row(event.data)
        action_id, mpid, action, live, viewer = _converted(event) if row is None else _plain(row)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no user action: {error}") from error
    found = event.context.get("episode")
    session_id, huid, useragent, ua, ip, proxies = viewer
    return UserAction(
        action_id=action_id,
        timestamp=event.time,
        mpid=mpid,
        session_id=session_id,
        huid=huid,
        useragent=useragent,
        ua=ua,
        action=action,
        ip=ip,
        is_live=live,
        episode=_NO_EPISODE if found is None else _episode(bytes(found)),
        proxies=proxies,
        geoip=geoip(event),
    )


def media_package(event: Event) -> str | None:
    """The id of the recording that an action is in, None when the record names none."""
    row = _ahead(event)
    if row is not None:
        return row.mediapackage_id
    try:
        return known(_place.decode(event.data).mediapackage_id)
    except (ValueError, RecursionError):
        return None


def viewer_address(event: Event) -> str | None:
    """The address of the viewer of an action, None when the record names none."""
    try:
        row = _ahead(event)
        return (_nested(bytes(row.session_id)) if row is not None else _converted(event)[-1]).ip
    except (ValueError, RecursionError, InvalidEventError):
        return None


def _ahead(event: Event) -> _Usual | None:
    """The row when it is a usual one; kept for whoever reads it next."""
    data, row = _read_ahead.get(event.id, _NONE)
    if data is event.data:
        return row
    row = _usual_row(event.data)
    if row is not None:
        if len(_read_ahead) >= _AHEAD:  # who asked for them made no records of them
            _read_ahead.clear()
        _read_ahead[event.id] = event.data, row
    return row


def _usual_row(data: msgspec.Raw) -> _Usual | None:
    """The row when nothing of it has to be converted."""
    try:
        row = _usual.decode(data)
    except (ValueError, RecursionError):
        return None
    mpid = row.mediapackage_id
    return None if mpid in UNKNOWN or "\0" in mpid or "\0" in row.type or bytes(row.session_id)[:1] != b"{" else row


def _plain(row: _Usual) -> tuple[int, str, Action, bool, _Viewer]:
    """What the record is made of, from a row as it usually is."""
    playing, live = _playing(row.is_playing)
    action = Action(row.type, row.inpoint, row.outpoint, row.length, playing)
    return row.id, row.mediapackage_id, action, live, _nested(bytes(row.session_id))


def _converted(event: Event) -> tuple[int, str, Action, bool, _Viewer]:
    """The same from any other row."""
    row = _row.decode(event.data)
    session = bytes(row.session_id)
    viewer = _nested(session) if session[:1] == b"{" else _flat(row)
    mpid, type_ = known(row.mediapackage_id), text(row.type)
    if mpid is None or type_ is None:
        raise InvalidEventError(f"user action {row.id!r:.40} has no {'mediapackageId' if mpid is None else 'type'}")
    inpoint = whole(row.inpoint, "inpoint")
    outpoint = inpoint if row.outpoint is None else whole(row.outpoint, "outpoint")
    length = outpoint - inpoint if row.length is None else whole(row.length, "length")
    playing, live = _playing(row.is_playing)
    return whole(row.id, "id"), mpid, Action(type_, inpoint, outpoint, length, playing), live, viewer


@lru_cache(maxsize=4096)  # a viewer's session stands in hundreds of actions: heartbeats alone come twice a minute
def _nested(session: bytes) -> _Viewer:
    found = _session.decode(session)
    return _viewer(found.session_id, found)


def _flat(row: _Row) -> _Viewer:
    return _viewer(_scalar.decode(row.session_id), row)


def _viewer(session_id: Scalar, viewer: _Session | _Row) -> _Viewer:
    ip, proxies = _forwarded(viewer.user_ip)
    useragent = known(viewer.user_agent)
    return _Viewer(known(session_id), known(viewer.user_id), useragent, agent(useragent), ip, proxies)


def _playing(value: Scalar) -> tuple[bool, bool]:
    """Whether it played, and whether live. Stock Opencast has a boolean, DCE's 0, 1 and 2 (live)."""
    if value is True or value is False:
        return value, False
    live = value in (2, "2", "live")
    return live or value in (1, "1", "true"), live


def _forwarded(value: Scalar) -> tuple[str | None, dict[str, str]]:
    """The viewer's address and the proxies behind it, from the X-Forwarded-For list."""
    if type(value) is not str or "," not in value:
        return known(value), {}
    first, *rest = value.split(",", MAX_PROXIES)
    proxies: dict[str, str] = {}
    for part in rest:
        address = known(part.strip())
        if address is not None:
            proxies[_PROXIES[len(proxies)]] = address
    return known(first.strip()), proxies


@lru_cache(maxsize=4096)  # thousands of actions share a recording: parse what the enricher found once
def _episode(found: bytes) -> Episode:
    try:
        episode = _found.decode(found) or _NO_EPISODE
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"context holds no episode: {error}") from error
    return series_parts(episode)


def series_parts(episode: Episode) -> Episode:
    """With the year, the term and the number of the course that the id of its series says, if it is of that kind."""
    series = episode.series or ""
    if len(series) < 11 or not (series.isascii() and series.isdigit()):
        return episode
    crn = series[6:11]
    return msgspec.structs.replace(episode, year=series[:4], term=series[4:6], cdn=crn, crn=crn)
