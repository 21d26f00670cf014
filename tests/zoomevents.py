"""Zoom's meetings and sessions as events, for tests that need some."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from harvester.event import Event, event_id

UUID = "gm8s9L+PTEC/FG3sFbd1Cw=="
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def dashboard_meeting(**fields: Any) -> dict[str, Any]:
    """A row of the dashboard."""
    row: dict[str, Any] = {
        "uuid": UUID,
        "id": 93201235621,
        "topic": "Algebra",
        "host": "Jill Chill",
        "email": "jchill@example.edu",
    }
    row |= {"user_type": "Licensed", "start_time": "2026-11-20T09:00:00Z", "end_time": "2026-11-20T10:01:05Z"}
    row |= {"duration": "01:01:05", "participants": 42, "has_pstn": False, "has_voip": True, "has_3rd_party_audio": False}
    row |= {"has_video": True, "has_screen_share": True, "has_recording": False, "leave": "unheard of"}
    return row | fields


def report_meeting(**fields: Any) -> dict[str, Any]:
    """A row of the report of a host's meetings."""
    row: dict[str, Any] = {"uuid": UUID, "id": 93201235621, "type": 2, "topic": "Algebra", "user_name": "Jill Chill"}
    row |= {"user_email": "jchill@example.edu", "start_time": "2026-11-20T09:00:00Z", "end_time": "2026-11-20T10:01:05Z"}
    row |= {"duration": 62, "participants_count": 42, "total_minutes": 900}
    return row | fields


def dashboard_participant(**fields: Any) -> dict[str, Any]:
    """A row of the dashboard."""
    row: dict[str, Any] = {"id": "zJKyaiAyTNC-MWjiWC18KQ", "user_id": "16778240", "user_name": "Sam Student"}
    row |= {"email": "sstudent@example.edu", "participant_uuid": "D444CD06-2ABB", "role": "attendee", "device": "Windows"}
    row |= {"ip_address": "203.0.113.7", "location": "Boston (US )", "network_type": "Wifi", "leave_reason": "Sam Student left."}
    row |= {"join_time": "2026-11-20T09:01:00Z", "leave_time": "2026-11-20T09:45:30Z", "pc_name": "SAMS-LAPTOP"}
    row |= {"internal_ip_addresses": ["10.0.0.7"], "share_application": False, "share_desktop": True, "share_whiteboard": False}
    return row | {"recording": False, "status": "in_meeting"} | fields


def report_participant(**fields: Any) -> dict[str, Any]:
    """A row of the report of a meeting's participants."""
    row: dict[str, Any] = {"id": "zJKyaiAyTNC-MWjiWC18KQ", "user_id": "16778240", "name": "Sam Student", "failover": False}
    row |= {"user_email": "sstudent@example.edu", "join_time": "2026-11-20T09:01:00Z", "leave_time": "2026-11-20T09:45:30Z"}
    return row | {"duration": 2670, "status": "in_meeting"} | fields


def meeting_event(row: dict[str, Any] | None = None, *, given: str = "dashboard", version: int = 1, **more: Any) -> Event:
    """The event of a meeting; `more` stands beside its row."""
    row = dashboard_meeting() if row is None else row
    return _event("zoom.meeting", str(row.get("uuid")), {"meeting": row, "from": given, **more}, version)


def session_event(row: dict[str, Any] | None = None, *, version: int = 1, context: Any = None, uuid: str = UUID) -> Event:
    """The event of a stay. `context`: None for none, else the place (... for null)."""
    row = dashboard_participant() if row is None else row
    data = {"meeting": {"uuid": uuid, "id": 93201235621, "topic": "Algebra"}, "participant": row}
    event = _event("zoom.session", f"{uuid}/{row.get('user_id')}/{row.get('join_time')}", data, version)
    if context is None:
        return event
    found = msgspec.Raw(msgspec.json.encode(None if context is ... else context))
    return msgspec.structs.replace(event, context={"geoip": found})


def _event(type_: str, subject: str, data: dict[str, Any], version: int) -> Event:
    body = msgspec.json.encode(data)
    return Event(
        id=event_id("zoom", type_, subject, body),
        source="zoom",
        type=type_,
        subject=subject,
        version=version,
        time=START,
        read_at=START,
        data=msgspec.Raw(body),
    )
