"""Opencast's rows, page by page until none can have been jumped over, and the part of a page that was wanted."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from harvester.coverage import Interval, Intervals
from harvester.errors import TransientError
from harvester.event import Event, event_id
from harvester.http import TooLargeError
from harvester.protocols import Broken, Page
from harvester.sources.opencast_calls import Endpoint, Query, Sheet
from harvester.sources.opencast_paging import Reading, Row

_MAX_PASSES = 8
"""How often rows are paged anew because they shifted meanwhile."""
_CREATED = re.compile(rb'"created"\s*:\s*"([^"\\]{10,40})"')


async def sheets(endpoint: Endpoint, query: Query, reading: Reading) -> AsyncIterator[Sheet]:
    """Every page of what a query asks for, until no row can have been jumped over.

    Raises TransientError when the rows would not stop shifting.
    """
    for _ in range(_MAX_PASSES):
        try:
            async for sheet in one_pass(endpoint, query, reading):
                yield sheet
        except TooLargeError:
            if not reading.keep_small():
                raise
            continue
        if reading.whole:
            return
    raise TransientError(f"opencast: the rows of {words(query)} kept shifting while they were paged")


async def one_pass(endpoint: Endpoint, query: Query, reading: Reading) -> AsyncIterator[Sheet]:
    """The pages from where the reading begins to one that brings nothing new."""
    reading.begin()
    more = True
    while more:
        sheet = await endpoint.sheet(query, reading.limit, reading.offset)
        seen = [(row.subject, row.id) if isinstance(row, Event) else _broken_row(row) for row in sheet.rows]
        more = reading.add(seen, [_broken_row(bad) for bad in sheet.refused], sheet.total)
        yield sheet


def words(query: Query) -> str:
    """What is asked for, for people."""
    return f"{query.within.start} … {query.within.end}" if query.within else "the whole table"


def page_of(sheet: Sheet, wanted: Interval | Intervals, reading: Reading, zone: ZoneInfo) -> Page | None:
    """The rows of a page that are wanted and were not seen before in this reading; None when there are none.

    A broken row is wanted when its time is, or cannot be told.
    """
    spans = [wanted] if isinstance(wanted, Interval) else wanted
    events = [
        event
        for event in sheet.events
        if any(start <= event.time < end for start, end in spans) and reading.is_new((event.subject, event.id))
    ]
    broken = [
        bad
        for bad in sheet.broken
        if ((time := created(bad.body, zone)) is None or any(start <= time < end for start, end in spans))
        and reading.is_new(_broken_row(bad))
    ]
    return Page(events, broken) if events or broken else None


def created(body: bytes, zone: ZoneInfo) -> datetime | None:
    """When the row of which these are the bytes was created, as far as that can be read."""
    found = _CREATED.search(body)
    try:
        moment = datetime.fromisoformat(found[1].decode()) if found else None
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _broken_row(bad: Broken) -> Row:
    return "", event_id("", "", "", bad.body)
