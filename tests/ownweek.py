"""A week of the harvester's own events as daemons tell them, with an outage of a vendor on Tuesday and of a sink on Thursday."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import pi, sin

from harvester.event import Event
from harvester.ownevents import CONSUMER, WINDOW, own_event

_WINDOW, _HOUR = timedelta(minutes=30), timedelta(hours=1)
_STREAMS = (("opencast", "useractions"), ("zoom", "meetings"))
_SINKS = ("duckdb", "elasticsearch")
_DAILY_CALLS = 60_000


def own_week(start: datetime) -> Iterator[Event]:
    """The same for every start of a week, but for its times."""
    published = Counter[int]()
    yield from _windows(start, published)
    yield from _minutes(start, published)


def _busy(offset: timedelta) -> int:
    """Events of half an hour: many by day, few by night, fewer at the end of the week."""
    hour = offset / _HOUR % 24
    return int((3 if offset.days >= 5 else 12) * (1 + 9 * max(0.0, sin((hour - 7) / 14 * pi) if 7 <= hour <= 21 else 0)))


def _within(offset: timedelta, day: int, first: int, last: int) -> bool:
    return timedelta(days=day, hours=first) <= offset < timedelta(days=day, hours=last)


def _windows(start: datetime, published: Counter[int]) -> Iterator[Event]:
    behind, calls_today = timedelta(), 0
    for n in range(7 * 48):
        offset = n * _WINDOW
        for source, stream in _STREAMS:
            zoom = source == "zoom"
            if zoom and _within(offset, 1, 9, 12):
                behind += _WINDOW  # nothing is read while the vendor is away
                continue
            late, windows = (behind, 1 + behind // _WINDOW) if zoom else (timedelta(), 1)
            behind = timedelta() if zoom else behind
            events = _busy(offset) * windows // (4 if zoom else 1)
            broken = n % 50 // 49
            published[n] += events - broken
            calls = (20 if zoom else 3) * windows + events // 5
            calls_today = (0 if offset % timedelta(days=1) == timedelta() else calls_today) + (calls if zoom else 0)
            data: dict[str, object] = {
                "source": source,
                "stream": stream,
                "window_start": start + offset - late,
                "window_end": start + offset + _WINDOW,
                "windows": windows,
                "read": events + 5,
                "published": events - broken,
                "filtered": 5,
                "dead_lettered": broken,
                "seconds": round(0.5 + events / 40 + calls / 10, 3),
                "calls": calls,
                "waited_seconds": round(calls / 20 + late.total_seconds() / 60, 3),
                "call_limit": _DAILY_CALLS if zoom else None,
                "calls_left": _DAILY_CALLS - calls_today if zoom else None,
                "lag_seconds": 120 + late.total_seconds(),
                "gap_seconds": 5400 if not zoom and _within(offset, 3, 6, 15) else 0,
            }
            yield own_event(WINDOW, (source, stream, n), data, start + offset + _WINDOW - timedelta(seconds=1))


def _minutes(start: datetime, published: Counter[int]) -> Iterator[Event]:
    for number, sink in enumerate(_SINKS):
        lag = letters = 0
        for n in range(7 * 48):
            offset = n * _WINDOW
            lag += published[n]
            away = number == 1 and _within(offset, 3, 10, 14)
            refused = int(not away and n % 60 == 25)
            delivered, lag = (0, lag) if away else (lag - refused, 0)
            pending = delivered // 3 if _within(offset, 0, 8, 10) else 0
            repaired = letters if _within(offset, 0, 10, 11) else 0
            letters += refused + pending - repaired
            data: dict[str, object] = {
                "sink": sink,
                "member": f"{number:08x}",
                "seconds": 60.0,
                "received": delivered + refused,
                "delivered": delivered,
                "filtered": 0,
                "dead_lettered": refused,
                "pending": pending,
                "repaired": repaired,
                "batches": 1 if delivered else 0,
                "batch_seconds": round(delivered / 400, 3),
                "lag": lag,
                "letters": letters,
                "memory_bytes": (110 + 30 * number + delivered // 20) * 2**20,
            }
            yield own_event(CONSUMER, (sink, n), data, start + offset + _WINDOW - timedelta(seconds=1))
