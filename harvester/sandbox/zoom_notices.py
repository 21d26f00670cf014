"""What Zoom pushes: the events of meetings and participants, and how a request is signed."""

import hmac
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from harvester.sandbox.zoom_account import Account, Moment
from harvester.sandbox.zoom_rows import Row, customer_key, dashboard_participant, minutes_of, time_text
from harvester.sandbox.zoom_settings import DAY
from harvester.sandbox.zoom_world import Meeting, Session


class Notice(NamedTuple):
    """One event, when it happened in ms."""

    at: int
    event: str
    meeting: Meeting
    stay: Session | None = None


def notices(account: Account, after: int, moment: Moment) -> list[Notice]:
    """Everything that happened later than `after` and by `moment`, in order."""
    first, last = after // DAY - 1, moment.now // DAY
    meetings = [meeting for meeting in account.days(first, last) if meeting.start <= moment.stopped and meeting.end > after]
    found = (notice for meeting in meetings for notice in _of_meeting(account, meeting))
    return sorted((notice for notice in found if after < notice.at <= moment.now), key=lambda notice: (notice.at, notice.event))


def _of_meeting(account: Account, meeting: Meeting) -> Iterator[Notice]:
    yield Notice(meeting.start, "meeting.started", meeting)
    for stay in account.sessions(meeting):
        room = "_waiting_room" if stay.status == "in_waiting_room" else ""
        yield Notice(stay.join, f"meeting.participant_joined{room}", meeting, stay)
        yield Notice(stay.leave, f"meeting.participant_left{room}", meeting, stay)
    yield Notice(meeting.end, "meeting.ended", meeting)


def body_of(notice: Notice, *, account_id: str, hipaa: bool) -> bytes:
    """The body; a meeting's id is a number in meeting.started, text in the others, as the vendor has it."""
    series, meeting = notice.meeting.series, notice.meeting
    thing: Row = {
        "uuid": meeting.uuid,
        "id": series.number if notice.event == "meeting.started" else str(series.number),
        "host_id": series.host.id,
        "topic": series.topic,
        "type": series.type,
        "start_time": time_text(meeting.start),
        "timezone": "America/New_York",
        "duration": minutes_of(meeting.end - meeting.start),
    }
    if notice.event == "meeting.ended":
        thing["end_time"] = time_text(meeting.end)
    if notice.stay is not None:
        thing["participant"] = _participant(notice, notice.stay, hipaa=hipaa)
    content = {"event": notice.event, "event_ts": notice.at, "payload": {"account_id": account_id, "object": thing}}
    return msgspec.json.encode(content)


def _participant(notice: Notice, stay: Session, *, hipaa: bool) -> Row:
    row = dashboard_participant(notice.meeting, stay, live=False, hipaa=hipaa, registrant=True)
    kept = ("user_id", "user_name", "id", "participant_uuid", "email", "registrant_id", "participant_user_id")
    participant: dict[str, Any] = {name: row[name] for name in kept if name in row}
    participant |= {"customer_key": customer_key(stay), "phone_number": ""}
    if notice.event.endswith("_waiting_room"):
        return participant | {"date_time": time_text(notice.at)}
    if notice.event.endswith("joined"):
        return participant | {"join_time": time_text(stay.join)}
    return participant | {"leave_time": time_text(stay.leave), "leave_reason": row["leave_reason"]}


def signed(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a request: its time in seconds, and the signature of time and raw body."""
    text = b"v0:%d:%b" % (timestamp, body)
    return {
        "Content-Type": "application/json; charset=utf-8",
        "x-zm-request-timestamp": str(timestamp),
        "x-zm-signature": f"v0={hmac.digest(secret.encode(), text, 'sha256').hex()}",
    }


def encrypted(secret: str, plain: str) -> str:
    """The right answer to endpoint.url_validation."""
    return hmac.digest(secret.encode(), plain.encode(), "sha256").hex()
