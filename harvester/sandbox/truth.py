"""What is true of the actions of a span: what a sink must hold once everything was read."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from harvester.sandbox.actions import FIRST_AGENT, Action
from harvester.sandbox.changes import Changes
from harvester.sandbox.clock import milliseconds, moment_of
from harvester.sandbox.faults import BROKEN_RECORDS, Faults
from harvester.sandbox.settings import SandboxSettings
from harvester.sandbox.table import FOREVER, Query, Table, View

_MILLISECOND = timedelta(milliseconds=1)


class TrueAction(msgspec.Struct, frozen=True, kw_only=True):
    """The newest state of one action that was ever served or would be served now."""

    id: int
    created: datetime
    version: int
    """The outpoint: what orders the states of an action."""
    type: str
    inpoint: int
    outpoint: int
    length: int
    is_playing: bool
    is_live: bool
    """Played live; only a patched server (`playing: int`) tells."""
    mpid: str
    session: str | None
    user: str | None
    ips: list[str]
    """The viewer's address, then the proxies."""
    useragent: str | None
    episode: bool
    """Whether search knows the recording."""
    title: str | None
    course: str | None
    series: str | None
    duration: int | None
    """Of the recording, ms."""
    rests: bool
    """It will not change any more."""
    broken: str | None = None
    """What makes its record unfit: it can only end as a dead letter, of the source or of a sink; None: it is fit."""


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A span of truth; `count` is that of `actions`, in which no broken record is."""

    now: datetime
    actions: Mapping[int, TrueAction]
    broken: Mapping[int, str]

    @property
    def count(self) -> int:
        return len(self.actions)


class Oracle:
    """Knows the truth without having stored it: it makes the same hours as the table."""

    def __init__(self, settings: SandboxSettings, table: Table, faults: Faults, changes: Changes) -> None:
        self._settings = settings
        self._table = table
        self._faults = faults
        self._changes = changes

    def hours(self, start: datetime | None, end: datetime | None, view: View) -> Iterator[list[TrueAction]]:
        """Actions with `start <= created < end`, an hour at a time, broken ones among them."""
        query = Query(_first_from(start) if start else 0, _first_from(end) - 1 if end else FOREVER)
        for actions in self._table.actions(query, view):
            yield [self._true(action, view) for action in actions]

    def _true(self, action: Action, view: View) -> TrueAction:
        length = action.length_at(view.now)
        lecture, viewer, masked = action.lecture, action.viewer, self._settings.masked
        fault = None if action.grows else self._faults.of_record(action.id)
        if self._settings.episode_changes and (state := self._changes.now(lecture.mpid, view)):
            lecture = state.lecture
        known = lecture if lecture.exists else None
        return TrueAction(
            id=action.id,
            created=moment_of(action.created),
            version=action.inpoint + length,
            type=action.type,
            inpoint=action.inpoint,
            outpoint=action.inpoint + length,
            length=length,
            is_playing=action.playing == 1 or (action.playing == 2 and self._settings.playing == "int"),
            is_live=action.playing == 2 and self._settings.playing == "int",
            mpid=lecture.mpid,
            session=None if masked else viewer.session,
            user=None if masked or viewer.user is None else str(viewer.user),
            ips=[] if masked else [part.strip() for part in viewer.address.split(",")],
            useragent=FIRST_AGENT if masked else viewer.agent,
            episode=known is not None,
            title=known.title if known else None,
            course=(known.course or None) if known else None,
            series=(known.series or None) if known else None,
            duration=known.duration // _MILLISECOND if known else None,
            rests=not action.grows or length == action.length,
            broken=fault if fault in BROKEN_RECORDS else None,
        )


def lines(hours: Iterator[list[TrueAction]]) -> Iterator[bytes]:
    """One action a line, broken ones too: their `broken` says why."""
    for hour in hours:
        yield b"".join(msgspec.json.encode(action) + b"\n" for action in hour)


def document(now: datetime, hours: Iterator[list[TrueAction]]) -> Iterator[bytes]:
    yield b'{"now":%b,"actions":{' % msgspec.json.encode(now)
    broken: dict[int, str] = {}
    count = 0
    for hour in hours:
        broken |= {action.id: action.broken for action in hour if action.broken}
        whole = [b'"%d":%b' % (action.id, msgspec.json.encode(action)) for action in hour if not action.broken]
        if whole:
            yield (b"," if count else b"") + b",".join(whole)
        count += len(whole)
    ids = msgspec.json.encode(list(broken))
    yield b'},"broken":%b,"reasons":%b,"count":%d}' % (ids, msgspec.json.encode(broken), count)


def _first_from(moment: datetime) -> int:
    """The first millisecond that is not before `moment`."""
    ms = milliseconds(moment)
    return ms if moment_of(ms) == moment else ms + 1
