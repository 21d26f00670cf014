"""The server's days, and what of them `day=YYYYMMDD` is sure to show.

The server sets hour and minute of the request's own time and leaves its seconds and milliseconds (UserTrackingServiceImpl.java):
a request at second ss covers 00:00:ss … 23:59:ss. Whatever the second, that is all from 00:01 to 23:59, the day's *interior*;
what lies between two interiors, the two minutes around midnight, is a *seam* and has to be read without `day`. See ADR 0015.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from harvester.coverage import Interval, Intervals

_MINUTE = timedelta(minutes=1)
_ONE_DAY = timedelta(days=1)


def _instants(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the wall clock shows that time, first and last: two instants where it goes back, or was moved on."""
    local = datetime.combine(day, at, zone)
    both = [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    return min(both), max(both)


@lru_cache(maxsize=4096)
def interior(day: date, zone: ZoneInfo) -> Interval:
    """What every request for this day shows, whichever of two equal wall times the server takes."""
    start, end = _instants(day, time(0, 1), zone)[1], _instants(day, time(23, 59), zone)[0]
    return Interval(start, max(start, end))


def widest(day: date, zone: ZoneInfo) -> Interval:
    """Outside of this no request for the day shows anything."""
    return Interval(_instants(day, time(0), zone)[0], _instants(day, time(23, 59), zone)[1] + _MINUTE)


def days(span: Interval, zone: ZoneInfo) -> Iterator[date]:
    """The days of the server whose interiors a span touches, oldest first."""
    day, last = (moment.astimezone(zone).date() for moment in span)
    while day <= last:
        inside = interior(day, zone)
        if inside.start < span.end and span.start < inside.end:
            yield day
        day += _ONE_DAY


def seams(span: Interval, zone: ZoneInfo) -> Intervals:
    """The parts of a span that no request for a day is sure to show."""
    return Intervals([span]) - [interior(day, zone) for day in days(span, zone)]


def in_seam(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether an instant lies in a seam."""
    inside = interior(moment.astimezone(zone).date(), zone)
    return not inside.start <= moment < inside.end
