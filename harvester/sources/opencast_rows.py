"""Opencast's rows without its server: a page cut into rows, a row made an event, a window told in the server's clock."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from harvester.coverage import Interval
from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, event_id
from harvester.raw import MAX_DEPTH, Refused, depth, split

USERACTION = "opencast.useraction"
_LARGEST_VERSION = 2**61
"""Twice this plus one still fits the 64 bits that sinks compare."""
_EXACT = 2**53
"""From here on two numbers may share one float."""
_WHOLE = re.compile(r"[+-]?[0-9]+")


class Rows(NamedTuple):
    """A page: how many rows the window has by the server's count, those that may travel, and those that may not."""

    total: int | None
    rows: Sequence[bytes | msgspec.Raw]
    refused: Sequence[Refused]


class _Actions(msgspec.Struct, gc=False):
    total: int | float | str | None = None
    action: msgspec.Raw = msgspec.Raw(b"[]")


class _ActionsPage(msgspec.Struct):
    actions: _Actions


class _Action(msgspec.Struct, gc=False):
    """The fields that make an event of a record, in every type that Jettison gives them."""

    id: int | str | float
    created: str
    inpoint: int | float | str | None = None
    outpoint: int | float | str | None = None


_page_decoder = msgspec.json.Decoder(_ActionsPage)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_action_decoder = msgspec.json.Decoder(_Action)


def rows(body: bytes) -> Rows:
    """The rows of a page: none (no `action` key), one (an object) or many (a list), as Jettison writes them.

    From a page that is not strict JSON only the bad rows are refused. Raises TransientError when it is no page at all.
    """
    body = body.strip()
    try:
        body.decode()
        page = _page_decoder.decode(body).actions
        found = page.action
        records = [found] if memoryview(found)[0] == ord("{") else _list_decoder.decode(found)
    except (ValueError, RecursionError):
        return _rows_of_a_broken_page(body)
    if b"\n" in body or b"\r" in body or any(depth(bytes(record)) > MAX_DEPTH for record in records):
        return _rows_of_a_broken_page(body)
    return Rows(_whole_number(page.total), records, ())


def _rows_of_a_broken_page(body: bytes) -> Rows:
    parts = split(body, "actions", "action")
    try:
        page = _page_decoder.decode(parts.envelope).actions
    except ValueError as error:
        raise TransientError(f"opencast: the answer is no page of actions: {error}") from error
    return Rows(_whole_number(page.total), parts.records, parts.refused)


def useraction_event(record: bytes | msgspec.Raw, source: str, read_at: datetime, zone: ZoneInfo) -> Event:
    """An action as an event: its id is the subject, its outpoint the version, since only FOOTPRINT rows change and they grow.

    A `created` without offset is the server's local time. Raises InvalidEventError.
    """
    try:
        action = _action_decoder.decode(record)
        created = datetime.fromisoformat(action.created)
        time = (created if created.tzinfo else created.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidEventError(f"no user action: {error}") from error
    number, position = action.id, action.inpoint if action.outpoint is None else action.outpoint
    subject = number if type(number) is int else _whole_number(number)
    outpoint = position if type(position) is int and position >= 0 else _whole_seconds(position)
    if subject is None or outpoint >= _LARGEST_VERSION:
        raise InvalidEventError(f"no user action: id {action.id!r:.100}, outpoint {action.outpoint!r:.100}")
    key = str(subject)
    return Event(
        id=event_id(source, USERACTION, key, record),
        source=source,
        type=USERACTION,
        subject=key,
        version=outpoint,
        time=time,
        read_at=read_at,
        data=record if isinstance(record, msgspec.Raw) else msgspec.Raw(record),
    )


def offset_of(record: bytes | msgspec.Raw) -> timedelta | None:
    """How far the server's clock is from UTC by the record's `created`; None when it does not say."""
    try:
        return datetime.fromisoformat(_action_decoder.decode(record).created).utcoffset()
    except (ValueError, RecursionError):
        return None


def _whole_number(value: int | str | float | None) -> int | None:
    """Jettison writes numbers as text and text as numbers; None for what is no whole number, or no exact one."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else None
    if isinstance(value, str):
        try:
            return int(value) if _WHOLE.fullmatch(value) else None
        except ValueError:  # more digits than anybody counts with
            return None
    return value


def _whole_seconds(value: int | str | float | None) -> int:
    """A position in the recording, cut to seconds; what is none or before its begin counts as 0."""
    whole = _whole_number(value)
    if whole is None and value is not None:
        try:
            whole = math.floor(float(value))
        except (ValueError, OverflowError):
            whole = 0
    return max(whole or 0, 0)


def server_span(window: Interval, zone: ZoneInfo) -> Interval:
    """What is asked for to read a window: whole seconds, both inclusive there.

    An hour that the server's clock shows twice is asked for as a whole, from before it to behind it: read twice rather than lost.
    """
    start = window.start.replace(microsecond=0)
    end = window.end.replace(microsecond=0) + timedelta(seconds=1 if window.end.microsecond else 0)
    while fold := _fold(start, zone):
        start -= fold
    while fold := _fold(end, zone):
        end += fold
    return Interval(start, end)


def server_bounds(window: Interval, zone: ZoneInfo) -> tuple[str, str]:
    """The window as `start` and `end`, of the server's wall clock, which carry no zone."""
    start, end = (moment.astimezone(zone) for moment in server_span(window, zone))
    return f"{start:%Y%m%d%H%M%S}", f"{end:%Y%m%d%H%M%S}"


def _fold(moment: datetime, zone: ZoneInfo) -> timedelta:
    """How long the wall clock repeats itself around `moment`; zero when its time is shown once only."""
    local = moment.astimezone(zone)
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    return max((first or timedelta()) - (second or timedelta()), timedelta())
