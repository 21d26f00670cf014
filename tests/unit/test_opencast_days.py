"""What of a day is sure to be shown, whatever the second at which the server is asked, and what has to be read without it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.coverage import Interval, Intervals
from harvester.sources.opencast_days import days, in_seam, interior, seams, widest

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Vienna",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Havana",  # goes back from 01:00 to 00:00
        "Asia/Beirut",  # goes on from 00:00 to 01:00
        "America/Asuncion",  # went back from 24:00 to 23:00
    )
]
zones = st.sampled_from(ZONES)
moments = st.integers(0, 4 * 366 * 86_400).map(lambda s: datetime(2023, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
seconds = st.integers(0, 59_999).map(lambda ms: timedelta(milliseconds=ms))


def shown(day: date, since_minute: timedelta, zone: ZoneInfo, fold: int) -> tuple[datetime, datetime]:
    """What the vendor's server shows for a day, both ends inclusive: `fold` is which of two equal wall times it takes."""
    start, end = (datetime(day.year, day.month, day.day, h, m, tzinfo=zone, fold=fold) for h, m in ((0, 0), (23, 59)))
    return start.astimezone(UTC) + since_minute, end.astimezone(UTC) + since_minute


@given(moments, zones, seconds, st.sampled_from([0, 1]))
def test_all_of_an_interior_is_shown_whatever_the_second_of_the_request(
    moment: datetime, zone: ZoneInfo, since_minute: timedelta, fold: int
) -> None:
    day = moment.astimezone(zone).date()
    first, last = shown(day, since_minute, zone, fold)
    inside = interior(day, zone)
    assert first <= inside.start
    assert inside.end <= last + timedelta(microseconds=1)
    assert widest(day, zone).start <= first
    assert last <= widest(day, zone).end


@given(moments, zones, st.timedeltas(timedelta(0), timedelta(days=4)))
def test_interiors_and_seams_together_are_the_whole_span(moment: datetime, zone: ZoneInfo, length: timedelta) -> None:
    span = Interval(moment, moment + length)
    asked = Intervals(interior(day, zone) for day in days(span, zone))
    assert (seams(span, zone) | asked) & [span] == Intervals([span])
    assert seams(span, zone) & asked == Intervals()


@given(moments, zones)
def test_an_instant_lies_in_a_seam_or_in_the_interior_of_a_day(moment: datetime, zone: ZoneInfo) -> None:
    instant = Interval(moment, moment + timedelta(microseconds=1))
    assert in_seam(moment, zone) is bool(seams(instant, zone))


@pytest.mark.parametrize("zone", [z for z in ZONES if z.key in ("UTC", "Asia/Kathmandu")], ids=str)
def test_a_seam_is_the_two_minutes_around_midnight(zone: ZoneInfo) -> None:
    midnight = datetime(2026, 11, 3, tzinfo=zone).astimezone(UTC)
    around = Interval(midnight - timedelta(hours=5), midnight + timedelta(hours=5))
    assert seams(around, zone) == Intervals([(midnight - timedelta(minutes=1), midnight + timedelta(minutes=1))])
    assert [*days(around, zone)] == [date(2026, 11, 2), date(2026, 11, 3)]


def test_a_span_that_lies_within_a_day_needs_that_day_alone() -> None:
    start = datetime(2026, 11, 3, 8, tzinfo=UTC)
    span = Interval(start, start + timedelta(hours=3))
    assert [*days(span, ZONES[0])] == [date(2026, 11, 3)]
    assert seams(span, ZONES[0]) == Intervals()


def test_an_hour_of_midnight_that_comes_twice_is_no_part_of_an_interior() -> None:
    zone = ZoneInfo("America/Havana")
    first = datetime(2026, 11, 1, 0, 30, tzinfo=zone, fold=0).astimezone(UTC)
    assert in_seam(first, zone)
    assert not in_seam(first + timedelta(hours=1), zone)
