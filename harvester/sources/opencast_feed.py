"""Opencast's harvest interface, made for Tobira: what changed since, deleted things too (opencast.md §2.2).

API: `/tobira/harvest`, opencast/opencast:modules/tobira/.../impl/Harvest.java. For administrators alone.
"""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from harvester.coverage import EPOCH, Interval
from harvester.errors import TransientError
from harvester.http import HttpClient, StatusError
from harvester.protocols import Broken
from harvester.raw import MAX_DEPTH, Refused, depth, split
from harvester.sources.opencast_episodes import GONE
from harvester.sources.opencast_pages import whole_page

HARVEST = "/tobira/harvest"
_EVENT = "event"
_MOST = 10_000
"""Things of one kind that are asked for at once, where as many have the same time."""
_UPDATED = re.compile(rb'"updated"\s*:\s*(\d{1,15})\b')
_KIND = re.compile(rb'"kind"\s*:\s*"([a-z-]{1,40})"')
_MILLISECOND = timedelta(milliseconds=1)
_LAST = 253_402_300_799_999
"""The last millisecond of the year 9999."""


class NoFeedError(StatusError):
    """There is no such interface, or not for this account."""


class Change(NamedTuple):
    """A recording that changed, or was deleted."""

    mpid: str
    deleted: bool
    record: bytes
    """As it came."""


class Changes(NamedTuple):
    """A page, as far as it is of the window: its recordings, and how far all is told with it."""

    changed: Sequence[Change]
    broken: Sequence[Broken]
    until: datetime


class _Page(msgspec.Struct, rename="camel"):
    includes_items_until: int
    has_more: bool = False
    items: msgspec.Raw = msgspec.Raw(b"[]")


class _Item(msgspec.Struct, gc=False):
    id: str
    kind: str
    updated: int


class _Rows(NamedTuple):
    page: _Page
    records: Sequence[bytes | msgspec.Raw]
    refused: Sequence[Refused]


_page = msgspec.json.Decoder(_Page)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_item = msgspec.json.Decoder(_Item)


class Feed:
    """The harvest interface of one server."""

    def __init__(self, http: HttpClient, amount: int) -> None:
        self._http = http
        self._amount = amount

    async def probe(self) -> None:
        """Ask for what is to come. Raises NoFeedError."""
        await self._ask(4_102_444_800_000, 1)

    async def changes(self, window: Interval) -> AsyncIterator[Changes]:
        """What changed in the window, from the oldest on, page by page. A page tells again what was told with the last time."""
        since, end, amount = _first(window.start), _first(window.end), self._amount
        while True:
            page, records, refused = await self._ask(since, amount)
            told = page.includes_items_until
            until = window.end if not page.has_more else EPOCH + max(0, told) * _MILLISECOND
            yield _within(window, records, refused, min(max(until, window.start), window.end))
            if not page.has_more or told >= end:
                return
            if told > since:
                since, amount = told, self._amount
            elif amount < _MOST:
                amount = min(4 * amount, _MOST)
            else:
                raise TransientError(f"opencast: {HARVEST} does not come further than since={since}")

    async def _ask(self, since: int, amount: int) -> _Rows:
        query = {"since": since, "preferredAmount": amount}
        try:
            return (await whole_page(self._http, HARVEST, _rows, query))[1]
        except StatusError as error:
            if error.status in (403, 404):
                raise NoFeedError(str(error), status=error.status) from error
            raise


def _rows(body: bytes) -> _Rows:
    """The page, and its records in their order. Raises TransientError when it is none."""
    try:
        body.decode()
        page = _bounded(_page.decode(body))
        records = _list.decode(page.items)
        whole = b"\n" not in body and b"\r" not in body and all(depth(bytes(record)) < MAX_DEPTH for record in records)
    except (ValueError, RecursionError):
        whole = False
    if whole:
        return _Rows(page, records, ())
    parts = split(body.strip(), "items")
    try:
        return _Rows(_bounded(_page.decode(parts.envelope)), parts.records, parts.refused)
    except (ValueError, RecursionError) as error:
        raise TransientError(f"opencast: the answer is no page of {HARVEST}: {error}") from error


def _bounded(page: _Page) -> _Page:
    """The page. Raises TransientError when it goes on from where no time is."""
    if page.has_more and page.includes_items_until > _LAST:
        told = page.includes_items_until
        raise TransientError(f"opencast: the answer is no page of {HARVEST}: includesItemsUntil={told} lies after the year 9999")
    return page


def _within(window: Interval, records: Sequence[bytes | msgspec.Raw], refused: Sequence[Refused], until: datetime) -> Changes:
    start, end = _first(window.start), _first(window.end)
    changed: list[Change] = []
    broken = [Broken(body, str(why), why.reason) for body, why in refused if _may_be_wanted(body, start, end)]
    for record in records:
        try:
            item = _item.decode(record)
        except (ValueError, RecursionError) as error:
            body = bytes(record)
            if _may_be_wanted(body, start, end):
                broken.append(Broken(body, f"no change of a recording: {error}", "schema"))
            continue
        if item.kind in (_EVENT, GONE) and start <= item.updated < end:
            changed.append(Change(item.id, item.kind == GONE, bytes(record)))
    return Changes(changed, broken, until)


def _first(moment: datetime) -> int:
    """The first millisecond that is not before it."""
    return -((EPOCH - moment) // _MILLISECOND)


def _may_be_wanted(body: bytes, start: int, end: int) -> bool:
    """Whether a broken record may be of a recording that changed in that time; yes where it cannot be read."""
    kind, updated = _KIND.search(body), _UPDATED.search(body)
    of_us = kind is None or kind[1].decode() in (_EVENT, GONE)
    return of_us and (updated is None or start <= int(updated[1]) < end)
