"""Meetings and sessions as the records of each endpoint."""

from hashlib import blake2b
from typing import Any

from harvester.sandbox.clock import moment_of
from harvester.sandbox.zoom_world import Meeting, Session

Row = dict[str, Any]

_FLAGS = (
    "has_3rd_party_audio",
    "has_archiving",
    "has_pstn",
    "has_recording",
    "has_screen_share",
    "has_sip",
    "has_video",
    "has_voip",
    "has_manual_captions",
    "has_automated_captions",
    "has_poll",
    "has_qa",
    "has_survey",
)
_NETWORKS = ("Wired", "Wifi", "Wifi", "Cellular (3G and 4G)", "Others", "Wifi", "Wired", "PPP")
_DEVICES = (("Windows", "Win 11"), ("Mac", "14.6"), ("iOS", "17.6"), ("Android", "14"), ("Phone", ""), ("H.323/SIP", ""))
_PLACES = ("Cambridge (US)", "Boston (US )", "München (DE)", "Paris (FR)", "", "Unknown")
_REPORTS_ONLY = {"customer_key", "attentiveness_score", "bo_mtg_id", "participant_user_id"}
_QUALITIES = ("good", "good", "fair", "poor")


def time_text(ms: int) -> str:
    return moment_of(ms).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration_text(ms: int) -> str:
    """MM:SS, or HH:MM:SS from an hour on."""
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def minutes_of(ms: int) -> int:
    """Every minute that was begun."""
    return -(-ms // 60_000)


def _end_text(meeting: Meeting, *, told: bool) -> str:
    return time_text(meeting.told_end) if told else ""


def dashboard_meeting(meeting: Meeting, *, joins: int, told: bool, blank: bool, live: bool, tracking: bool) -> Row:
    """A row of /metrics/meetings. Not `told`: end and duration are empty. `blank`: the start is too. `live`: there are none."""
    host, series = meeting.series.host, meeting.series
    row: Row = {
        "uuid": meeting.uuid,
        "id": series.number,
        "topic": series.topic,
        "host": host.name,
        "email": host.email,
        "user_type": "Licensed",
        "dept": host.dept,
        "start_time": "" if blank else time_text(meeting.start),
        "participants": joins,
        "audio_quality": _QUALITIES[meeting.bits & 3],
        "video_quality": _QUALITIES[meeting.bits >> 2 & 3],
        "screen_share_quality": "",
        "custom_keys": [],
        "avg_jointime_cost": meeting.bits % 700 / 100,
    }
    row |= {name: bool(meeting.bits >> nth & 1) for nth, name in enumerate(_FLAGS)}
    if not live:
        row["end_time"] = _end_text(meeting, told=told)
        row["duration"] = duration_text(meeting.end - meeting.start) if told else ""
    if tracking:
        row["tracking_fields"] = [{"field": "Term", "value": "2026 Fall"}]
    return row


def report_meeting(meeting: Meeting, *, joins: int, told: bool, blank: bool, minutes: int) -> Row:
    """A row of /report/users/{id}/meetings; `minutes`: of all participants together."""
    host, series = meeting.series.host, meeting.series
    return {
        "uuid": meeting.uuid,
        "id": series.number,
        "type": series.type,
        "topic": series.topic,
        "user_name": host.name,
        "user_email": host.email,
        "start_time": "" if blank else time_text(meeting.start),
        "end_time": _end_text(meeting, told=told),
        "duration": minutes_of(meeting.end - meeting.start) if told else 0,
        "total_minutes": minutes,
        "participants_count": joins,
        "source": "Zoom",
        "has_screen_share": bool(meeting.bits >> 4 & 1),
        "has_recording": bool(meeting.bits >> 3 & 1),
        "has_chat": bool(meeting.bits & 1),
    }


def past_meeting(meeting: Meeting, *, joins: int, minutes: int) -> Row:
    """The answer of /past_meetings/{uuid}."""
    host, series = meeting.series.host, meeting.series
    return {
        "uuid": meeting.uuid,
        "id": series.number,
        "host_id": host.id,
        "type": series.type,
        "topic": series.topic,
        "user_name": host.name,
        "user_email": host.email,
        "start_time": time_text(meeting.start),
        "end_time": _end_text(meeting, told=True),
        "duration": minutes_of(meeting.end - meeting.start),
        "total_minutes": minutes,
        "participants_count": joins,
        "dept": host.dept,
        "source": "Zoom",
    }


def dashboard_participant(meeting: Meeting, stay: Session, *, live: bool, hipaa: bool, registrant: bool) -> Row:
    """A row of /metrics/meetings/{uuid}/participants."""
    person, bits = stay.person, stay.bits
    device, release = _DEVICES[bits % len(_DEVICES)]
    row: Row = {
        "id": person.id,
        "user_id": stay.user_id,
        "participant_uuid": _guid(meeting.uuid, stay.user_id),
        "user_name": "" if hipaa else person.name,
        "email": "" if hipaa else person.email,
        "device": device,
        "os": device,
        "os_version": release,
        "client": "Zoom Workplace",
        "version": "6.2.3.47417",
        "ip_address": "" if hipaa else address_of(stay),
        "internal_ip_addresses": [] if hipaa else [f"10.0.{bits & 255}.7"],
        "location": "" if hipaa else _PLACES[(bits >> 3) % len(_PLACES)],
        "network_type": _NETWORKS[bits >> 5 & 7],
        "data_center": "United States (SC Top)",
        "full_data_center": "United States (SC Top);",
        "connection_type": "UDP",
        "join_time": time_text(stay.join),
        "share_application": bool(bits & 1),
        "share_desktop": bits & 6 == 6,
        "share_whiteboard": bits & 24 == 24,
        "recording": bits & 96 == 96,
        "role": "host" if person.id and person.id == meeting.series.host.id else "attendee",
        "status": stay.status,
        "microphone": "Microphone (2- High Definition Audio Device)",
        "speaker": "",
        "camera": "FaceTime HD Camera" if bits & 2 else "",
        "customer_key": customer_key(stay),
        "has_archiving": False,
    }
    if not live:
        row["leave_time"] = time_text(stay.leave)
        who = "" if hipaa else f"{person.name} "
        row["leave_reason"] = (
            f"{who}left the meeting.<br>Reason: {'Host ended the meeting' if stay.leave == meeting.end else 'Left'}."
        )
    return row | _identity(meeting, stay, registrant=registrant)


def report_participant(meeting: Meeting, stay: Session, *, hipaa: bool, registrant: bool) -> Row:
    """A row of /report/meetings/{uuid}/participants."""
    person = stay.person
    row: Row = {
        "id": person.id,
        "user_id": stay.user_id,
        "name": "" if hipaa else person.name,
        "user_email": "" if hipaa else person.email,
        "join_time": time_text(stay.join),
        "leave_time": time_text(stay.leave),
        "duration": (stay.leave - stay.join) // 1000,
        "failover": False,
        "status": stay.status,
        "customer_key": customer_key(stay),
        "attentiveness_score": "",
    }
    return row | _identity(meeting, stay, registrant=registrant)


def past_participant(meeting: Meeting, stay: Session, *, hipaa: bool) -> Row:
    """A row of /past_meetings/{uuid}/participants."""
    row = report_participant(meeting, stay, hipaa=hipaa, registrant=True)
    kept = {name: value for name, value in row.items() if name not in _REPORTS_ONLY}
    return kept | {"internal_user": bool(stay.person.id), "groupId": ""}


def address_of(stay: Session) -> str:
    """Of a documentation network; empty for those who call by phone."""
    if _DEVICES[stay.bits % len(_DEVICES)][0] == "Phone":
        return ""
    if stay.person.huid is None:
        return f"2001:db8::{stay.bits:x}" if stay.bits & 1 else f"198.51.100.{stay.bits % 254 + 1}"
    return f"203.0.113.{int(stay.person.huid) % 254 + 1}"


def _identity(meeting: Meeting, stay: Session, *, registrant: bool) -> Row:
    """Guests have an empty participant_user_id, or none at all."""
    row: Row = {}
    if stay.person.id or stay.bits & 1:
        row["participant_user_id"] = stay.person.id
    if stay.breakout:
        row["bo_mtg_id"] = stay.breakout
    if registrant:
        row["registrant_id"] = _guid(meeting.uuid, stay.person.name)[:22] if meeting.bits & 7 == 7 else ""
    return row


def customer_key(stay: Session) -> str:
    """The university's id, of those who came by the link in their course's site."""
    return stay.person.huid if stay.person.huid and int(stay.person.huid) % 2 else ""


def _guid(*parts: str) -> str:
    digest = blake2b("\0".join(parts).encode(), digest_size=16).hexdigest().upper()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))
