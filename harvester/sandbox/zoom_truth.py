"""What is true of the meetings of a span: what a sink must hold once everything was read."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from harvester.sandbox.clock import milliseconds, moment_of
from harvester.sandbox.faults import Faults
from harvester.sandbox.zoom_account import Account, Moment
from harvester.sandbox.zoom_endpoints import key_of
from harvester.sandbox.zoom_rows import address_of, customer_key, minutes_of
from harvester.sandbox.zoom_settings import BROKEN_RECORDS, DAY, ZoomSandboxSettings
from harvester.sandbox.zoom_world import NEVER, Meeting, Session


class TrueMeeting(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="meeting"):
    """The newest state of one past meeting that was ever served or would be served now. None: the vendor does not tell."""

    uuid: str
    id: int
    topic: str
    type: int
    host_id: str
    host_name: str
    host_email: str
    start_time: datetime | None
    end_time: datetime | None
    seconds: int | None
    """What the dashboard tells as duration."""
    minutes: int | None
    """What reports tell."""
    participants: int
    """Sessions, not people."""
    people: int
    """Different people in its sessions; guests by user_id, since nothing else tells them apart."""
    one: bool
    """Nobody but the host came: it stands under pastOne alone."""
    readable: bool
    """Its sessions can be had; False: it was deleted, or it is one person's and there is no dashboard."""
    rests: bool
    """Nothing about it or its sessions will change any more."""
    broken: str | None = None
    """What makes its record unfit: it can only end as a dead letter."""


class TrueSession(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="session"):
    key: str
    """uuid/user_id/join_time"""
    uuid: str
    user_id: str
    huid: str | None
    """The person's `user` in the simulated Opencast; None: a guest."""
    name: str | None
    email: str | None
    ip: str | None
    customer_key: str | None
    join_time: datetime
    leave_time: datetime
    seconds: int
    status: str
    broken: str | None = None


class ZoomTruth(msgspec.Struct, frozen=True, kw_only=True):
    """A span of truth, by the start of meetings."""

    now: datetime
    meetings: Mapping[str, TrueMeeting]
    """By uuid, without broken ones."""
    sessions: Mapping[str, TrueSession]
    """By key, without broken ones."""
    broken: Mapping[str, str]
    """uuid or key → what is wrong."""
    unreachable: Sequence[str]
    """Keys of sessions whose meeting is broken: whether they can be had depends on how."""


class ZoomOracle:
    """Knows the truth without having stored it: it makes the same days as the account."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self._account = account
        self._faults = faults

    def meetings(self, start: datetime | None, end: datetime | None, moment: Moment) -> Iterator[Meeting]:
        """Past meetings with `start <= start_time < end`, a day at a time."""
        first, last = milliseconds(start) if start else 0, milliseconds(end) if end else moment.now
        for meeting in self._account.days(first // DAY, min(last, moment.now) // DAY):
            if first <= meeting.start < last and moment.past(meeting):
                yield meeting

    def meeting(self, meeting: Meeting, settings: ZoomSandboxSettings, moment: Moment) -> TrueMeeting:
        told, blank, length = moment.filled(meeting), moment.blank(meeting), meeting.end - meeting.start
        host, rows = meeting.series.host, self._account.rows(meeting, moment)
        everything = [meeting.visible, meeting.filled, *(stay.visible for stay in self._account.sessions(meeting))]
        return TrueMeeting(
            uuid=meeting.uuid,
            id=meeting.series.number,
            topic=meeting.series.topic,
            type=meeting.series.type,
            host_id=host.id,
            host_name=host.name,
            host_email=host.email,
            start_time=None if blank else moment_of(meeting.start),
            end_time=moment_of(meeting.told_end) if told else None,
            seconds=length // 1000 if told else None,
            minutes=minutes_of(length) if told else None,
            participants=self._account.joins(meeting, moment),
            people=len({stay.person.id or stay.user_id for stay in rows}),
            one=meeting.one,
            readable=readable(meeting, settings),
            rests=all(time <= moment.now or time >= NEVER for time in everything),
            broken=self._broken(meeting.uuid),
        )

    def sessions(self, meeting: Meeting, settings: ZoomSandboxSettings, moment: Moment) -> Iterator[TrueSession]:
        """What is told of the stays in a meeting; nothing if it is not readable."""
        if readable(meeting, settings):
            for stay in self._account.rows(meeting, moment):
                yield self._session(meeting, stay, hipaa=settings.hipaa, dashboard=_dashboard(settings))

    def _session(self, meeting: Meeting, stay: Session, *, hipaa: bool, dashboard: bool) -> TrueSession:
        key = key_of(meeting, stay)
        return TrueSession(
            key=key,
            uuid=meeting.uuid,
            user_id=stay.user_id,
            huid=stay.person.huid,
            name=None if hipaa else stay.person.name,
            email=None if hipaa else stay.person.email or None,
            ip=None if hipaa or not dashboard else address_of(stay) or None,
            customer_key=customer_key(stay) or None,
            join_time=moment_of(stay.join),
            leave_time=moment_of(stay.leave),
            seconds=(stay.leave - stay.join) // 1000,
            status=stay.status,
            broken=self._broken(key),
        )

    def _broken(self, key: str) -> str | None:
        fault = self._faults.of_record(key)
        return fault if fault in BROKEN_RECORDS else None


def readable(meeting: Meeting, settings: ZoomSandboxSettings) -> bool:
    return not meeting.deleted and (_dashboard(settings) or not meeting.one)


def _dashboard(settings: ZoomSandboxSettings) -> bool:
    return settings.plan == "business" and settings.dashboard


def gathered(now: datetime, found: Iterator[tuple[TrueMeeting, list[TrueSession]]]) -> ZoomTruth:
    meetings: dict[str, TrueMeeting] = {}
    sessions: dict[str, TrueSession] = {}
    broken: dict[str, str] = {}
    unreachable: list[str] = []
    for meeting, stays in found:
        if meeting.broken:
            broken[meeting.uuid] = meeting.broken
            unreachable += [stay.key for stay in stays]
            continue
        meetings[meeting.uuid] = meeting
        broken |= {stay.key: stay.broken for stay in stays if stay.broken}
        sessions |= {stay.key: stay for stay in stays if not stay.broken}
    return ZoomTruth(now=now, meetings=meetings, sessions=sessions, broken=broken, unreachable=unreachable)
