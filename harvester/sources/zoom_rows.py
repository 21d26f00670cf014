"""Zoom's rows without its server: a page cut into rows, a row made an event, an id written into a path."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, event_id
from harvester.protocols import Broken
from harvester.raw import MAX_DEPTH, Refused, checked, depth, split

MEETING = "zoom.meeting"
SESSION = "zoom.session"
From = Literal["dashboard", "report"]
_T = TypeVar("_T")
_DIGITS = re.compile(r"(\.\d{6})\d+")
_NULL = msgspec.Raw(b"null")
_NONE = msgspec.Raw(b"")


class Rows(NamedTuple):
    """A page: its rows, those that are none, and the token of the next page ("" at the end)."""

    rows: Sequence[bytes]
    refused: Sequence[Refused]
    token: str


class Meeting(NamedTuple):
    """A past meeting as it was listed. `head` is what its sessions tell of it."""

    uuid: str
    row: bytes
    head: bytes
    listed: From
    kind: str
    """past or pastOne: the participants have to be asked for by the same word."""
    start: datetime
    """The begin of its day where Zoom does not tell it."""
    blank: bool
    """Whether Zoom does not tell it."""
    end: datetime | None
    expected: int | None
    """How many stays Zoom counted; None: not told."""
    digest: bytes
    read_at: datetime
    host: str = ""
    """The account of whom it was asked for, which a report's row does not tell; "": nobody's."""


class _Page(msgspec.Struct):
    next_page_token: str | None = None
    meetings: msgspec.Raw = _NONE
    participants: msgspec.Raw = _NONE
    users: msgspec.Raw = _NONE


class _MeetingRow(msgspec.Struct, gc=False):
    uuid: str
    id: msgspec.Raw = _NULL
    topic: msgspec.Raw = _NULL
    start_time: Any = None
    end_time: Any = None
    duration: Any = None
    participants: Any = None
    participants_count: Any = None


class _StayRow(msgspec.Struct, gc=False):
    join_time: str
    user_id: int | str | None = None
    participant_uuid: str | None = None
    id: str | None = None
    participant_user_id: str | None = None
    registrant_id: str | None = None
    email: str | None = None
    user_email: str | None = None
    user_name: str | None = None
    name: str | None = None
    status: str | None = None


class _Head(msgspec.Struct, gc=False):
    uuid: str


class _Data(msgspec.Struct, rename={"listed": "from"}):
    meeting: msgspec.Raw
    participant: msgspec.Raw = _NONE
    listed: From | None = None
    day: date | None = None


_page = msgspec.json.Decoder(_Page)
_rows = msgspec.json.Decoder(list[msgspec.Raw])
_meeting = msgspec.json.Decoder(_MeetingRow)
_stay = msgspec.json.Decoder(_StayRow)
_head = msgspec.json.Decoder(_Head)
_data = msgspec.json.Decoder(_Data)
_json = msgspec.json.Encoder()


def path_id(uuid: str) -> str:
    """A uuid as a part of a path: encoded once, and twice when it begins with / or holds //, as Zoom wants it."""
    once = quote(uuid, safe="")
    return quote(once, safe="") if uuid.startswith("/") or "//" in uuid else once


def rows_of(body: bytes, key: str) -> Rows:
    """The rows under `key`, one line each; of a page that is not strict JSON only the bad ones are refused.

    Raises TransientError when it is no page of them.
    """
    body = body.strip()
    try:
        body.decode()
        page = _page.decode(body)
        found: msgspec.Raw = getattr(page, key)
        records = [bytes(row) for row in _rows.decode(found)]
    except (ValueError, RecursionError):
        return _broken_page(body, key)
    if b"\n" in body or b"\r" in body or any(depth(row) > MAX_DEPTH for row in records):
        return _broken_page(body, key)
    return Rows(records, (), page.next_page_token or "")


def _broken_page(body: bytes, key: str) -> Rows:
    parts = split(body, key)
    try:
        page = _page.decode(parts.envelope)
        if bytes(getattr(page, key)) != b"[]":
            raise TransientError(f"zoom: the answer is no page of {key}")
    except (ValueError, RecursionError) as error:
        raise TransientError(f"zoom: the answer is no page of {key}: {error}") from error
    return Rows(parts.records, parts.refused, page.next_page_token or "")


def meeting_of(row: bytes, day: date, listed: From, kind: str, read_at: datetime, host: str = "") -> Meeting:
    """A row of a list, of all meetings or of those of `host`. Where no begin is told, that of the day holds.

    Raises InvalidEventError: no uuid.
    """
    found = _decoded(_meeting, row, "meeting")
    if not found.uuid.strip():
        raise InvalidEventError("a meeting without uuid")
    start, end = moment(found.start_time), moment(found.end_time)
    decisive = [listed, found.end_time, found.duration, found.participants, found.participants_count]
    digest = blake2b(_json.encode(decisive), digest_size=6)
    head = b'{"uuid":%b,"id":%b,"topic":%b}' % (_json.encode(found.uuid), bytes(found.id), bytes(found.topic))
    expected = found.participants if found.participants is not None else found.participants_count
    return Meeting(
        uuid=found.uuid,
        row=row,
        head=head,
        listed=listed,
        kind=kind,
        start=start or midnight(day),
        blank=start is None,
        end=end,
        expected=expected if type(expected) is int and expected >= 0 else None,
        digest=digest.digest(),
        read_at=read_at,
        host=host,
    )


def meeting_data(meeting: Meeting, people: int | None) -> bytes:
    """What a meeting's event carries: the row as it came, where and of whom it was listed, and how many people were there."""
    parts = [b'{"meeting":%b,"from":"%b"' % (meeting.row, meeting.listed.encode())]
    if meeting.host:
        parts.append(b',"host_id":%b' % _json.encode(meeting.host))
    if people is not None:
        parts.append(b',"distinct_participants":%d' % people)
    if meeting.blank:
        parts.append(b',"day":"%b"' % meeting.start.date().isoformat().encode())
    return b"".join([*parts, b"}"])


def event_of(data: bytes, source: str, read_at: datetime) -> Event:
    """The event of what `meeting_data` and `stays_of` make. Raises InvalidEventError."""
    found = _decoded(_data, data, "Zoom record")
    if bytes(found.participant):
        return _session_event(data, found, source, read_at)
    if found.listed is None:
        raise InvalidEventError("neither a meeting nor a participant", reason="participants")
    row = _decoded(_meeting, bytes(found.meeting), "meeting")
    time = moment(row.start_time) or (None if found.day is None else midnight(found.day))
    if not row.uuid.strip() or time is None:
        raise InvalidEventError("a meeting without uuid, or without a start and the day it was listed for")
    return _event(MEETING, row.uuid, time, data, source, read_at)


def _session_event(data: bytes, found: _Data, source: str, read_at: datetime) -> Event:
    head, row = _decoded(_head, bytes(found.meeting), "meeting"), _decoded(_stay, bytes(found.participant), "participant")
    joined = moment(row.join_time)
    if joined is None or not head.uuid.strip():
        raise InvalidEventError("a participant without a time of joining, or of no meeting")
    who = first(row.user_id, row.participant_uuid, row.id)
    return _event(SESSION, f"{head.uuid}/{who}/{joined.isoformat().replace('+00:00', 'Z')}", joined, data, source, read_at)


def _event(kind: str, subject: str, time: datetime, data: bytes, source: str, read_at: datetime) -> Event:
    return Event(
        id=event_id(source, kind, subject, data),
        source=source,
        type=kind,
        subject=subject,
        version=max(0, int(read_at.timestamp() * 1000)),
        time=time,
        read_at=read_at,
        data=msgspec.Raw(data),
    )


def stays_of(meeting: Meeting, page: Rows, source: str, read_at: datetime) -> tuple[list[Event], list[Broken]]:
    """The participants of a page as events, and those that cannot become one."""
    events: list[Event] = []
    broken = [Broken(body, str(why), why.reason) for body, why in page.refused]
    for row in page.rows:
        data = b'{"meeting":%b,"participant":%b}' % (meeting.head, row)
        try:
            events.append(event_of(data, source, read_at))
        except InvalidEventError as error:
            broken.append(Broken(data, str(error), error.reason))
    return events, broken


def missing(meeting: Meeting, why: str) -> Broken:
    """What is kept of participants that Zoom does not give."""
    return Broken(b'{"meeting":%b,"participants":null}' % meeting.head, why, "participants")


def people(events: Iterable[Event]) -> int:
    """How many different people these sessions are of: by account, registration, mail or name, whichever is told first.

    Who was in the waiting room alone was not there. Guests of one name count as one.
    """
    found = set()
    for event in events:
        row = _stay.decode(_data.decode(event.data).participant)
        if row.status != "in_waiting_room":
            known = (row.id, row.participant_user_id, row.registrant_id, row.email, row.user_email, row.user_name, row.name)
            found.add(first(*known, row.participant_uuid, row.user_id))
    return len(found)


def first(*values: int | str | None) -> str:
    """The first that says something, "" when none does."""
    return next((str(value) for value in values if value not in (None, "")), "")


def moment(text: Any) -> datetime | None:
    """A time as Zoom writes it, which without an offset is UTC; None for what is empty or none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(_DIGITS.sub(r"\1", text.strip()))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def days(start: datetime, end: datetime) -> Iterable[date]:
    """The UTC days that an interval touches."""
    day = start.date()
    while midnight(day) < end:
        yield day
        day += timedelta(days=1)


def midnight(day: date) -> datetime:
    """When a UTC day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _decoded(decoder: "msgspec.json.Decoder[_T]", body: bytes, what: str) -> _T:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no {what}: {error}") from error


def checked_event(record: bytes, source: str, read_at: datetime) -> Event:
    """One record alone as an event. Raises InvalidEventError."""
    return event_of(checked(record), source, read_at)
