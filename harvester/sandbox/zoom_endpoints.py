"""What each endpoint finds. Every function takes the account and a call, and returns a listing or one record."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from harvester.sandbox.faults import Faults
from harvester.sandbox.rows import SPOILED
from harvester.sandbox.stats import Stats
from harvester.sandbox.zoom_account import Account, Moment
from harvester.sandbox.zoom_pages import Listing, days
from harvester.sandbox.zoom_people import Person
from harvester.sandbox.zoom_refusals import RefusedError, invalid_field, no_meeting
from harvester.sandbox.zoom_rows import (
    Row,
    dashboard_meeting,
    dashboard_participant,
    minutes_of,
    past_meeting,
    past_participant,
    report_meeting,
    report_participant,
    time_text,
)
from harvester.sandbox.zoom_settings import BROKEN_RECORDS, DAY
from harvester.sandbox.zoom_world import Meeting, Session


class Call(NamedTuple):
    request: web.Request
    moment: Moment
    name: str
    """The meeting or user in the path; "": there is none."""
    hipaa: bool
    faults: Faults
    stats: Stats

    def asked(self, name: str, known: tuple[str, ...]) -> str:
        """A parameter, by default the first known. Raises RefusedError for an unknown value."""
        given = self.request.query.get(name) or known[0]
        if given not in known:
            raise invalid_field(name)
        return given

    def included(self, field: str) -> bool:
        return field in self.request.query.get("include_fields", "").split(",")

    def meeting_record(self, row: Row) -> bytes:
        return self._record(row, "uuid", str(row["uuid"]))

    def session_record(self, meeting: Meeting, stay: Session, row: Row) -> bytes:
        return self._record(row, "join_time", key_of(meeting, stay))

    def _record(self, row: Row, name: str, key: str) -> bytes:
        """As its fault has it; `name`: the field that a nameless one lacks."""
        fault = self.faults.of_record(key)
        if fault == "nameless":
            row = {field: value for field, value in row.items() if field != name}
        record = msgspec.json.encode(row)
        if fault in SPOILED:
            record = SPOILED[fault](record)
        if fault in BROKEN_RECORDS:
            self.stats.unfit(record)
        return record


def key_of(meeting: Meeting, stay: Session) -> str:
    return f"{meeting.uuid}/{stay.user_id}/{time_text(stay.join)}"


def metrics_meetings(account: Account, call: Call) -> Listing[Meeting]:
    kind = call.asked("type", ("live", "past", "pastOne"))
    first, last, head = days(call.request, call.moment)
    moment, live = call.moment, kind == "live"
    found = account.live(moment) if live else _past(account, moment, first, last, one=kind == "pastOne")

    def encode(meeting: Meeting) -> bytes:
        joins = len(account.present(meeting, moment)) if live else account.joins(meeting, moment)
        told, blank = moment.filled(meeting), moment.blank(meeting) and not live
        row = dashboard_meeting(
            meeting, joins=joins, told=told, blank=blank, live=live, tracking=call.included("tracking_fields")
        )
        return call.meeting_record(row)

    return Listing("meetings", found, encode, head)


def metrics_participants(account: Account, call: Call) -> Listing[Session]:
    kind = call.asked("type", ("live", "past", "pastOne"))
    live = kind == "live"
    meeting = account.find(call.name, call.moment)
    if meeting is None or meeting.deleted or not (call.moment.live(meeting) if live else call.moment.past(meeting)):
        raise no_meeting(call.name)
    found = account.present(meeting, call.moment) if live else account.rows(meeting, call.moment)
    row = partial(dashboard_participant, meeting, live=live, hipaa=call.hipaa, registrant=call.included("registrant_id"))
    head = {"meeting_number": str(meeting.series.number)}
    return _participants(call, meeting, found, lambda stay: row(stay=stay))._replace(head=head)


def report_users(account: Account, call: Call) -> Listing[Row]:
    kind = call.asked("type", ("active", "inactive"))
    first, last, head = days(call.request, call.moment)
    sums = {host.id: _unused(host) for host in account.cast.hosts}
    for meeting in account.days(first, min(last, call.moment.now // DAY)):
        if call.moment.past(meeting):
            row = sums[meeting.series.host.id]
            row["meetings"] += 1
            row["participants"] += account.joins(meeting, call.moment)
            row["meeting_minutes"] += minutes_of(meeting.end - meeting.start)
    found = [row for row in sums.values() if bool(row["meetings"]) == (kind == "active")]
    totals = {f"total_{name}": sum(row[name] for row in found) for name in ("meetings", "participants", "meeting_minutes")}
    return Listing("users", sorted(found, key=lambda row: str(row["email"])), msgspec.json.encode, head | totals)


def _unused(host: Person) -> Row:
    names = {"id": host.id, "email": host.email, "user_name": host.name, "type": 2, "dept": host.dept}
    return names | {"meetings": 0, "participants": 0, "meeting_minutes": 0}


def report_user_meetings(account: Account, call: Call) -> Listing[Meeting]:
    kind = call.asked("type", ("past", "pastOne"))
    host = account.user(call.name)
    if host is None:
        raise RefusedError(404, 1001, f"User does not exist: {call.name}.")
    first, last, head = days(call.request, call.moment)
    moment = call.moment
    of_all = _past(account, moment, first, last, one=kind == "pastOne")

    def encode(meeting: Meeting) -> bytes:
        joins, told, blank = account.joins(meeting, moment), moment.filled(meeting), moment.blank(meeting)
        minutes = _minutes(account, meeting, moment)
        return call.meeting_record(report_meeting(meeting, joins=joins, told=told, blank=blank, minutes=minutes))

    return Listing("meetings", [meeting for meeting in of_all if meeting.series.host.id == host.id], encode, head)


def report_participants(account: Account, call: Call) -> Listing[Session]:
    meeting = _ended(account, call, alone=False)
    row = partial(report_participant, meeting, hipaa=call.hipaa, registrant=call.included("registrant_id"))
    return _participants(call, meeting, account.rows(meeting, call.moment), lambda stay: row(stay=stay))


def past_participants(account: Account, call: Call) -> Listing[Session]:
    meeting = _ended(account, call, alone=False)
    row = partial(past_participant, meeting, hipaa=call.hipaa)
    return _participants(call, meeting, account.rows(meeting, call.moment), lambda stay: row(stay=stay))


def past_meeting_details(account: Account, call: Call) -> Row:
    meeting = _ended(account, call, alone=True)
    return past_meeting(meeting, joins=account.joins(meeting, call.moment), minutes=_minutes(account, meeting, call.moment))


def past_instances(account: Account, call: Call) -> Row:
    """At most those of fifteen months: that is how long the sandbox's world is at most remembered."""
    found = list(account.instances(int(call.name), call.moment)) if call.name.isdigit() else []
    if not found:
        raise no_meeting(call.name)
    return {"meetings": [{"uuid": meeting.uuid, "start_time": time_text(meeting.start)} for meeting in found]}


def _past(account: Account, moment: Moment, first: int, last: int, *, one: bool) -> list[Meeting]:
    """Past meetings with two people and more, or with `one` alone; the vendor never gives both."""
    last = min(last, moment.now // DAY)
    return [meeting for meeting in account.days(first, last) if moment.past(meeting) and meeting.one == one]


def _ended(account: Account, call: Call, *, alone: bool) -> Meeting:
    """The past meeting in the path. Raises RefusedError; not `alone`: also if nobody but the host came."""
    meeting = account.find(call.name, call.moment)
    if meeting is None or meeting.deleted or not call.moment.past(meeting) or (meeting.one and not alone):
        raise no_meeting(call.name)
    return meeting


def _participants(call: Call, meeting: Meeting, found: list[Session], row: Callable[[Session], Row]) -> Listing[Session]:
    more = meeting.phantoms
    return Listing("participants", found, lambda stay: call.session_record(meeting, stay, row(stay)), {}, more)


def _minutes(account: Account, meeting: Meeting, moment: Moment) -> int:
    return sum(minutes_of(stay.leave - stay.join) for stay in account.rows(meeting, moment))


Found = Listing[Any] | Row
