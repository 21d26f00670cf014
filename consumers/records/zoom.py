"""Records of Zoom: past meetings, and the stays of their participants (zoom.md §3 and §6)."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from consumers.records.jettison import instant, known
from consumers.records.places import Geoip, geoip
from consumers.records.record import Ip, Record
from harvester.errors import InvalidEventError
from harvester.event import Event

_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):([0-5]\d)", re.ASCII)
_MINUTES = re.compile(r"(\d{1,9})(?: ?mins?)?", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


class Host(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who a meeting belongs to: an account, for only hosts have one."""

    host_id: Annotated[str | None, "id of the host's account; the dashboard does not tell it"]
    host: Annotated[str | None, "name of the host"]
    email: Annotated[str | None, "mail address of the host"]
    user_type: Annotated[str | None, "kind of the host's licence"]


class Meeting(Record, index="meetings-{time:%Y.%m.%d}", table="meetings", key="uuid"):
    """One past meeting: one instance of a series, or of somebody's personal room."""

    uuid: Annotated[str, "id of this instance: 24 characters, letters, digits and symbols"]
    meeting_uuid: Annotated[str, "the same as uuid, under the name that sessions have it by"]
    meeting_series_id: Annotated[str | None, "number of the series or the personal room, 9 to 11 digits"]
    series_id: Annotated[str | None, "the same as meeting_series_id, under its other name"]
    link: Annotated[str | None, "address to join meetings of this number at"]
    topic: Annotated[str | None, "what the meeting was called"]
    host: Host
    start_time: Annotated[datetime | None, "when it began"]
    end_time: Annotated[datetime | None, "when it ended"]
    duration: Annotated[int | None, "its length in seconds; whole minutes where only those are told"]
    participant_sessions: Annotated[int | None, "how often somebody entered; who left and came back counts again"]
    distinct_participants: Annotated[int | None, "how many different participants; null where only entries were counted"]
    has_pstn: Annotated[bool | None, "whether somebody took part by telephone"]
    has_voip: Annotated[bool | None, "whether somebody used the computer's audio"]
    has_3rd_party_audio: Annotated[bool | None, "whether somebody used another telephone service"]
    has_video: Annotated[bool | None, "whether a camera was on"]
    has_screen_share: Annotated[bool | None, "whether a screen was shared"]
    recording: Annotated[bool | None, "whether it was recorded"]
    read_from: Annotated[str | None, "dashboard, or report, which does not tell all"]


class Session(Record, index="sessions-{time:%Y.%m.%d}", table="sessions", key="session_id"):
    """One stay of one participant in one meeting: from entering to leaving. Who comes back has another."""

    session_id: Annotated[str, "the meeting's uuid, user_id and time of entering, joined by _"]
    meeting: Annotated[str, "uuid of the meeting"]
    meeting_uuid: Annotated[str, "the same, under its other name"]
    series_id: Annotated[str | None, "number of the meeting's series or personal room"]
    id: Annotated[str | None, "account of the participant; null for guests"]
    user_id: Annotated[str | None, "number of the participant within this meeting: nothing else joins on it"]
    user_name: Annotated[str | None, "name that the participant chose"]
    email: Annotated[str | None, "mail address of the participant; null for guests"]
    role: Annotated[str | None, "host, attendee …"]
    status: Annotated[str | None, "in_meeting or in_waiting_room"]
    device: Annotated[str | None, "what was used: Windows, Mac, Phone …"]
    os: Annotated[str | None, "operating system of the device"]
    client: Annotated[str | None, "program that was used"]
    ip_address: Annotated[str | None, "address of the participant", Ip()]
    location: Annotated[str | None, "where the participant was, as Zoom says it"]
    country: Annotated[str | None, "country in the location: two letters, or its name where that stands alone"]
    city: Annotated[str | None, "city in the location"]
    network_type: Annotated[str | None, "Wired, Wifi …"]
    data_center: Annotated[str | None, "where the connection came to Zoom"]
    audio_quality: Annotated[str | None, "good, fair, poor …"]
    video_quality: Annotated[str | None, "good, fair, poor …"]
    screen_share_quality: Annotated[str | None, "good, fair, poor …"]
    join_time: Annotated[datetime | None, "when the participant entered"]
    leave_time: Annotated[datetime | None, "when the participant left"]
    duration: Annotated[int | None, "length of the stay in seconds"]
    share_application: Annotated[bool | None, "whether an application was shared"]
    share_desktop: Annotated[bool | None, "whether the desktop was shared"]
    share_whiteboard: Annotated[bool | None, "whether a whiteboard was shared"]
    recording: Annotated[bool | None, "whether the participant recorded"]
    geoip: Geoip = UNSET


class _MeetingData(msgspec.Struct, frozen=True, rename={"read_from": "from"}):
    meeting: dict[str, Any]
    read_from: Any = None
    host_id: Any = None
    distinct_participants: Any = None


class _SessionData(msgspec.Struct, frozen=True):
    meeting: dict[str, Any]
    participant: dict[str, Any]


class _AddressData(msgspec.Struct, frozen=True):
    class Participant(msgspec.Struct, frozen=True):
        ip_address: Any = None

    participant: Participant


_meeting_data = msgspec.json.Decoder(_MeetingData)
_session_data = msgspec.json.Decoder(_SessionData)
_address_data = msgspec.json.Decoder(_AddressData)


def meeting(event: Event) -> Meeting:
    """The record of one meeting, of a row of the dashboard or of a report. Raises InvalidEventError when it has no uuid."""
    try:
        data = _meeting_data.decode(event.data)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no meeting: {error}") from error
    row = data.meeting
    uuid, number = _uuid(row), _text(row, "id")
    start, end = _time(row, "start_time"), _time(row, "end_time")
    return Meeting(
        uuid=uuid,
        meeting_uuid=uuid,
        meeting_series_id=number,
        series_id=number,
        link=f"https://zoom.us/j/{number}" if number and number.isascii() and number.isdigit() else None,
        topic=_text(row, "topic"),
        host=Host(
            host_id=_text(row, "host_id") or _scalar(data.host_id),
            host=_text(row, "host", "user_name", "host_name"),
            email=_text(row, "email", "user_email"),
            user_type=_text(row, "user_type"),
        ),
        start_time=start,
        end_time=end,
        duration=_length(row.get("duration"), start, end),
        participant_sessions=_count(row.get("participants", row.get("participants_count"))),
        distinct_participants=_count(data.distinct_participants),
        has_pstn=_flag(row, "has_pstn"),
        has_voip=_flag(row, "has_voip"),
        has_3rd_party_audio=_flag(row, "has_3rd_party_audio"),
        has_video=_flag(row, "has_video"),
        has_screen_share=_flag(row, "has_screen_share"),
        recording=_flag(row, "has_recording", "recording"),
        read_from=_scalar(data.read_from),
    )


def session(event: Event) -> Session:
    """The record of one stay, of a row of the dashboard or of a report. Raises InvalidEventError without the meeting's uuid."""
    try:
        data = _session_data.decode(event.data)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no session: {error}") from error
    row, uuid = data.participant, _uuid(data.meeting)
    joined, left, location = _time(row, "join_time"), _time(row, "leave_time"), _text(row, "location")
    city, country = _city_and_country(location)
    user = _text(row, "user_id")
    # Rows of HIPAA accounts may hold neither; the session is one all the same.
    who = user or _text(row, "participant_uuid", "id") or ""
    return Session(
        session_id=f"{uuid}_{who}_{_written(joined or event.time)}",
        meeting=uuid,
        meeting_uuid=uuid,
        series_id=_text(data.meeting, "id"),
        id=_text(row, "id", "participant_user_id"),
        user_id=user,
        user_name=_text(row, "user_name", "name"),
        email=_text(row, "email", "user_email"),
        role=_text(row, "role"),
        status=_text(row, "status"),
        device=_text(row, "device"),
        os=_text(row, "os"),
        client=_text(row, "client"),
        ip_address=_text(row, "ip_address"),
        location=location,
        country=_text(row, "country", "cn") or country,
        city=_text(row, "city") or city,
        network_type=_text(row, "network_type"),
        data_center=_text(row, "data_center"),
        audio_quality=_text(row, "audio_quality"),
        video_quality=_text(row, "video_quality"),
        screen_share_quality=_text(row, "screen_share_quality"),
        join_time=joined,
        leave_time=left,
        duration=_stay(row.get("duration"), joined, left),
        share_application=_flag(row, "share_application"),
        share_desktop=_flag(row, "share_desktop"),
        share_whiteboard=_flag(row, "share_whiteboard"),
        recording=_flag(row, "recording"),
        geoip=geoip(event),
    )


def participant_address(event: Event) -> str | None:
    """The address of the participant, None when the record names none."""
    try:
        return _scalar(_address_data.decode(event.data).participant.ip_address)
    except (ValueError, RecursionError):
        return None


def _uuid(row: dict[str, Any]) -> str:
    uuid = _text(row, "uuid")
    if uuid is None:
        raise InvalidEventError("the meeting has no uuid")
    return uuid


def _text(row: dict[str, Any], *names: str) -> str | None:
    """The first of these fields that says something."""
    return next((found for name in names if (found := _scalar(row.get(name))) is not None), None)


def _scalar(value: Any) -> str | None:
    """The text of a scalar without blanks around it; None for what is empty, hidden, or no scalar."""
    return known(value.strip() if isinstance(value, str) else value) if isinstance(value, str | int | float) else None


def _time(row: dict[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    return instant(value.strip()) if isinstance(value, str) else None


def _written(moment: datetime) -> str:
    """The time as keys have it, whichever of its forms the row had."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _length(value: Any, start: datetime | None, end: datetime | None) -> int | None:
    """Seconds of `MM:SS` or `HH:MM:SS`, of minutes, or between both times; None when nothing tells it.

    Where minutes and the times agree to the minute the times are taken, which know the seconds.
    """
    told = known(value) if isinstance(value, str) else None
    if told and (clock := _CLOCK.fullmatch(told)):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return hours * 3600 + minutes * 60 + seconds
    between = _between(start, end)
    minutes_told = _MINUTES.fullmatch(told) if told else None
    whole = int(minutes_told[1]) if minutes_told else _count(value)
    if whole is None or (between is not None and abs(between - whole * 60) < 60):
        return between
    return whole * 60


def _stay(value: Any, joined: datetime | None, left: datetime | None) -> int | None:
    """Seconds as a report tells them, else between both times."""
    told = _count(value)
    return _between(joined, left) if told is None else told


def _between(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds; None when one is unknown, or the end lies before the start, as it does in some rows."""
    seconds = int((end - start).total_seconds()) if start and end else -1
    return seconds if seconds >= 0 else None


def _count(value: Any) -> int | None:
    """A number that counts something; None for what is none, or less than nothing."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**31 else None


def _flag(row: dict[str, Any], *names: str) -> bool | None:
    """A boolean, also as text or as a number, as older rows have it; None when it is not told."""
    value = next((row[name] for name in names if name in row), None)
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value) if isinstance(value, bool | int) else None


def _city_and_country(location: str | None) -> tuple[str | None, str | None]:
    """`Boston (US )`: both. A text alone is the country's name."""
    city, bracket, rest = (location or "").rpartition("(")
    city, country = city.strip(), rest.removesuffix(")").strip()
    if bracket and city and rest.endswith(")") and _COUNTRY.fullmatch(country):
        return city, country
    return None, location
