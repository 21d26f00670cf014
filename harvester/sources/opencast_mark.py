"""What is noted of Opencast's table between live polls, and the proof that a look at its end saw all that is new: ADR 0015."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Self

import msgspec

from harvester.coverage import EPOCH
from harvester.event import Event

_FORMAT = 1
_MOST = 4000
"""Rows that are noted: some kilobytes in the book."""
_SECOND = timedelta(seconds=1)
_LARGEST_ID = 2**62


class _Notes(msgspec.Struct, array_like=True):
    """Ids in order, and when each was created, as steps from one to the next: small numbers, most of them one byte."""

    format: int
    total: int
    since: int
    ids: list[int]
    times: list[int]


class Mark:
    """The table at one moment: how many rows it had, and all of those that were created since `since`.

    `since` and the times of `rows` are seconds since 1970.
    """

    def __init__(self, total: int, since: int, rows: Mapping[int, int]) -> None:
        newest = sorted(rows.items(), key=lambda row: row[1], reverse=True)
        if len(newest) > _MOST:
            since = newest[_MOST][1] + 1
        self.total = total
        self.since = since
        self.rows = {key: time for key, time in newest if time >= since}

    def encoded(self) -> bytes:
        rows = sorted(self.rows.items())
        ids, times = ([b - a for a, b in pairwise([0, *column])] for column in ([r[0] for r in rows], [r[1] for r in rows]))
        return msgspec.msgpack.encode(_Notes(_FORMAT, self.total, self.since, ids, times))

    @classmethod
    def decoded(cls, notes: bytes) -> Self | None:
        """None for what no mark was written as."""
        try:
            found = msgspec.msgpack.decode(notes, type=_Notes)
            if found.format != _FORMAT:
                return None
            return cls(found.total, found.since, dict(zip(accumulate(found.ids), accumulate(found.times), strict=True)))
        except ValueError:
            return None

    def after(self, total: int, seen: Mapping[int, int], start: datetime) -> "Mark | None":
        """The mark of the table as it is now, of which `seen` was looked at; None when that proves nothing for `start` and later.

        As many rows are new as the table has grown by. When as many new ones were seen, no other is there, in whatever order rows
        lie. A row is known to be new when it was created since `since` and is not among those that were there.
        """
        new = {key: time for key, time in seen.items() if time >= self.since and key not in self.rows}
        first = seconds(start)
        again = all(key in seen for key, time in self.rows.items() if time >= first)
        if first < self.since or len(new) != total - self.total or not again:
            return None
        return Mark(total, self.since, {**self.rows, **new})


def seconds(moment: datetime) -> int:
    """Since 1970, cut."""
    return (moment - EPOCH) // _SECOND


def times(events: Iterable[Event]) -> dict[int, int]:
    """When each row was created; without ids that no table counts up to."""
    return {number: seconds(event.time) for event in events if abs(number := int(event.subject)) < _LARGEST_ID}
