"""Opencast's actions without any window: read through as a whole, or looked at from their end on. See ADR 0015."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec

from harvester.coverage import Interval, Intervals
from harvester.event import Event
from harvester.protocols import Broken, Page
from harvester.sources.opencast_calls import EVERYTHING, Endpoint
from harvester.sources.opencast_days import in_seam
from harvester.sources.opencast_mark import Mark, seconds, times
from harvester.sources.opencast_paging import Reading
from harvester.sources.opencast_sheets import created, one_pass, page_of, sheets

_MOST_PAGES = 50
"""From the end on: what takes more is read as a whole at once."""


class Table:
    """The whole table of one server."""

    def __init__(self, endpoint: Endpoint, batch: int, settle: timedelta) -> None:
        self._endpoint = endpoint
        self._batch = batch
        self._settle = settle
        self._kept: tuple[datetime, list[Event], list[Broken]] | None = None
        """When it was read through last, and what it held around midnights: a few rows of each day."""

    async def total(self) -> int | None:
        """How many rows there are."""
        return (await self._endpoint.rows(EVERYTHING, 1, 0)).total

    async def at_the_end(self, window: Interval, notes: bytes) -> Page | None:
        """All actions created in a window that is not at rest, if a look at the table's end proves that it holds them."""
        mark = Mark.decoded(notes)
        if mark is None:
            return None
        # half a page back, for rows that grow leave their places, and those behind them move up
        reading, seen = Reading(self._batch, base=max(0, mark.total - (self._batch + 1) // 2)), dict[int, int]()
        events, broken, pages = list[Event](), list[Broken](), 0
        async for sheet in one_pass(self._endpoint, EVERYTHING, reading):
            seen |= times(sheet.events)
            if page := page_of(sheet, window, reading, self._endpoint.zone):
                events += page.events
                broken += page.broken
            pages += 1
            if reading.to_the_end or pages > _MOST_PAGES:
                break
        now = None if reading.total is None else mark.after(reading.total, seen, window.start)
        return None if now is None else Page(events, broken, notes=now.encoded())

    async def through(self, wanted: Intervals) -> AsyncIterator[Page]:
        """All actions created in `wanted`, and the mark of the whole with the last page when it was certain."""
        began, zone = self._endpoint.now(), self._endpoint.zone
        around, unread, recent = dict[str, Event](), dict[bytes, Broken](), dict[int, int]()
        reading = Reading(self._batch, whole=True)
        async for sheet in sheets(self._endpoint, EVERYTHING, reading):
            recent |= times(event for event in sheet.events if event.time >= began - self._settle)
            around |= {e.subject: _apart(e) for e in sheet.events if in_seam(e.time, zone)}
            unread |= {bad.body: bad for bad in sheet.broken if (at := created(bad.body, zone)) is None or in_seam(at, zone)}
            if page := page_of(sheet, wanted, reading, zone):
                yield page
        self._kept = began, list(around.values()), list(unread.values())
        if reading.counted and reading.total is not None:
            yield Page([], notes=Mark(reading.total, seconds(began - self._settle) + 1, recent).encoded())

    async def seams(self, wanted: Intervals) -> AsyncIterator[Page]:
        """All actions created in `wanted`, which lies around midnights: from the last reading if they were at rest then."""
        if self._kept is None or wanted[-1].end > self._kept[0] - self._settle:
            async for page in self.through(wanted):
                yield page
            return
        _, around, unread = self._kept
        zone, spans = self._endpoint.zone, wanted
        events = [event for event in around if spans.holding(event.time)]
        yield Page(events, [bad for bad in unread if (at := created(bad.body, zone)) is None or spans.holding(at)])


def _apart(event: Event) -> Event:
    """The event with bytes of its own, so that it does not keep its page in memory."""
    return msgspec.structs.replace(event, data=event.data.copy())
