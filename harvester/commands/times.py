"""Times as people type them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click

from harvester.coverage import Interval

_FORMS = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 8: "%Y%m%d"}


def parse_time(text: str, zone: str, option: str) -> datetime:
    """`YYYYMMDDHHmmss` (or shorter: to the minute, to the day) or ISO 8601; without an offset in `zone`. Wrong: exit 2."""
    try:
        form = _FORMS.get(len(text)) if text.isdigit() else None
        moment = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - the zone follows
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: write YYYYMMDDHHmmss, such as 20261123144500, or 2026-11-23T14:45", param_hint=option
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def ordered(start: datetime, end: datetime, options: str, *, now: datetime | None = None) -> None:
    """Exit 2 unless start < end. `now`: by the server's clock, which is named when the end is no other than that."""
    if start >= end:
        clock = " (the server's clock)" if end == now else ""
        raise click.UsageError(f"{options}: the end {shown(end)}{clock} is not after the start {shown(start)}")


def begun(span: Interval, now: datetime, options: str) -> Interval:
    """The part of the span that is not in the future. Exit 2 when there is none: a stream must not begin there."""
    ordered(span.start, span.end, options, now=now)
    past(span.start, now, options)
    return Interval(span.start, min(span.end, now))


def past(start: datetime, now: datetime, options: str) -> None:
    """Exit 2 when that is in the future, by the server's clock."""
    if start >= now:
        raise click.UsageError(f"{options}: {shown(start)} is in the future: now is {shown(now)} (the server's clock)")


def shown(moment: datetime | None) -> str:
    """A time as we print it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "-"
