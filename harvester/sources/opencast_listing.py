"""Opencast's recordings as its search service lists them, for servers without the harvest interface: no deletions there.

API: `/search/episode.json` (opencast.md §3.2). From 16 on by the time of change, before in the order of their ids.
"""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from harvester.coverage import Interval
from harvester.errors import InvalidEventError, TransientError
from harvester.http import Answer, HttpClient
from harvester.opencast_answers import SEARCH, Found, found, read_hit
from harvester.protocols import Broken
from harvester.sources.opencast_episodes import instant, subject_of
from harvester.sources.opencast_pages import whole_page

_NEWEST_FIRST = "modified desc"
_BY_ID = "MEDIA_PACKAGE_ID"
_PASSES = 8
_MODIFIED = re.compile(rb'"modified"\s*:\s*"([^"\\]{10,40})"')


class Listed(NamedTuple):
    """A page, as far as it is of the window."""

    hits: Sequence[msgspec.Raw]
    broken: Sequence[Broken]


class Listing:
    """The list of all recordings of one server."""

    def __init__(self, http: HttpClient, amount: int) -> None:
        self._http = http
        self._amount = amount
        self.sorted = True
        """Whether by the time of change; `probe` finds out."""

    async def probe(self) -> None:
        """Which release it is like, by the shape of its answer. Raises StatusError."""
        answer, _ = await self._asked(id="0", limit=1)
        self.sorted = b'"search-results"' not in answer.body[:100]

    async def of(self, mpid: str) -> Found:
        """The search for one recording."""
        return (await self._asked(id=mpid))[1]

    async def changes(self, window: Interval) -> AsyncIterator[Listed]:
        """What was changed last in the window, or may have been.

        Raises TransientError when the list would not stop shifting.
        """
        for _ in range(_PASSES):
            walk = _Walk(window, newest_first=self.sorted)
            while not walk.over:
                sort = _NEWEST_FIRST if self.sorted else _BY_ID
                _, page = await self._asked(sort=sort, limit=self._amount, offset=walk.offset)
                yield walk.take(page)
            if not walk.shifted:
                return
        raise TransientError("opencast: the recordings kept shifting while they were listed")

    async def _asked(self, **query: Any) -> tuple[Answer, Found]:
        return await whole_page(self._http, SEARCH, found, query)


class _Walk:
    """One way through the list. A page begins with what the last one ended with: if that is not there, something was jumped."""

    def __init__(self, window: Interval, *, newest_first: bool) -> None:
        self._window = window
        self._newest_first = newest_first
        self._received = 0
        self._again = 0
        """Rows at the end of a page that the next one begins with."""
        self._anchor = ""
        self._seen: set[str] = set()
        self.over = self.shifted = False

    @property
    def offset(self) -> int:
        return self._received - self._again

    def take(self, page: Found) -> Listed:
        """What of a page is wanted, and was not there before."""
        rows = {_state(hit): bytes(hit) for hit in page.hits}
        if self._anchor and self._anchor not in rows:
            self.shifted = self.over = True
            return Listed([], [])
        fresh = [row for state, row in rows.items() if state not in self._seen]
        self._seen.update(rows)
        count = len(page.hits) + len(page.refused)
        self._received = self.offset + count
        self._again = 1 + len(page.refused) if rows else 0
        self._anchor = next(reversed(rows), "")
        behind = self._newest_first and bool(rows) and self._before(rows[self._anchor])
        self.over = behind or not fresh or (page.total is not None and self._received >= page.total)
        return self._wanted(fresh, page)

    def _wanted(self, fresh: Sequence[bytes], page: Found) -> Listed:
        hits, broken = [], []
        for row in fresh:
            modified = _modified(row)
            if modified is not None and not self._window.start <= modified < self._window.end:
                continue
            try:
                subject_of(msgspec.Raw(row))
                hits.append(msgspec.Raw(row))
            except InvalidEventError as error:
                if not _is_series(row):
                    broken.append(Broken(row, str(error), error.reason))
        for body, why in page.refused:
            modified = _modified(body)
            if modified is None or self._window.start <= modified < self._window.end:
                broken.append(Broken(body, str(why), why.reason))
        return Listed(hits, broken)

    def _before(self, row: bytes) -> bool:
        modified = _modified(row)
        return modified is not None and modified < self._window.start


def _state(hit: msgspec.Raw) -> str:
    """What tells a state of a recording from others: the score of a search may be another each time."""
    found = read_hit(hit)
    return f"{found.subject}/{found.modified}" if found and found.subject else bytes(hit).hex()


def _is_series(row: bytes) -> bool:
    hit = read_hit(msgspec.Raw(row))
    return hit is not None and hit.mediapackage is None


def _modified(row: bytes) -> datetime | None:
    """When a hit was changed last, as far as that can be read."""
    told = _MODIFIED.search(row)
    return instant(told[1].decode(errors="replace")) if told else None
