"""`harvest zoom`: one day of Zoom's meetings straight into the index or onto stdout, as the predecessor's command did it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, cast

import click
from pydantic import BaseModel

from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.commands import parts, spans
from harvester.commands.harvesting import open_shot, tell
from harvester.commands.options import although_paused_option, json_option, setting
from harvester.commands.progress import bar
from harvester.commands.times import begun, shown
from harvester.commands.words import amount_of
from harvester.coverage import Interval
from harvester.loading import Loaded
from harvester.service import run_once
from harvester.sources.zoom_settings import ZoomSettings

if TYPE_CHECKING:
    from harvester.sources.zoom import Meetings

_DAY = timedelta(days=1)
_LATE = timedelta(days=2)
"""So long before yesterday rows may still come late: these days are read again."""


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        fault = f"{text!r} is no day: write YYYY-MM-DD, such as 2026-11-23"
        raise click.BadParameter(fault, param_hint="--date") from error


@click.command("zoom")
@click.option("--date", "text", metavar="YYYY-MM-DD", help="Day to read, UTC.  [default: yesterday]")
@click.option(
    "--destination",
    type=click.Choice(["index", "stdout"]),
    default="index",
    show_default=True,
    help="Elasticsearch, or one JSON document a line: each meeting, then its sessions.",
)
@setting(ElasticsearchSettings, "url", "--es-host")
@setting(ZoomSettings, "client_id", "--key")
@setting(ZoomSettings, "client_secret", "--secret")
@although_paused_option
@json_option
def command(text: str | None, destination: str, as_json: bool) -> int:
    """Harvest past meetings and who took part in them, of one day. Without --date the two days before yesterday are read into the
    index again, too.

    Nothing is recorded as read: the daemon and `harvest backfill zoom` go on by themselves from where they are.

    \b
    harvest zoom                                           yesterday, into the index
    harvest zoom --date 2026-11-23 --destination stdout    JSON lines on stdout
    """
    printing = destination == "stdout"
    if as_json and printing:
        raise click.UsageError("--json and printing both want stdout")
    day = None if text is None else _day(text)
    models: list[type[BaseModel]] = [ZoomSettings]
    if not printing:
        models.append(ElasticsearchSettings)
        parts.default_node()
    return run_once(_harvest(parts.settings(*models), day, printing=printing, as_json=as_json))


async def _harvest(loaded: Loaded, day: date | None, *, printing: bool, as_json: bool) -> int:
    async with open_shot(loaded, "zoom", "meetings", into="stdout" if printing else "elasticsearch", hold="") as shot:
        span = _span(day, shot.source.now(), again=not printing)
        spans.allow(span, shot.stream, shot.limits, ranged=True)
        with bar("zoom", span.end - span.start, printing=printing) as progress:
            shot.harvest.on_window = lambda w: progress.update(
                (w.end - span.start).total_seconds(), count=shot.harvest.totals["read"], reached=w.end
            )
            await shot.harvest.read([span], record=False)
        code = tell(shot, "zoom", as_json=as_json)
    for left in cast("Meetings", shot.stream).left_out():
        meetings = amount_of(left.meetings, "meeting")
        again = f"`harvest zoom --date {left.day}` reads what is left from {shown(left.until)} on"
        click.echo(f"left out: {meetings} of {left.day} whose begin Zoom does not tell yet; {again}", err=True)
    return code


def _span(day: date | None, now: datetime, *, again: bool) -> Interval:
    """The day; without one yesterday, and what may have come late since. Exit 2 for a day to come."""
    if day is not None:
        start = datetime.combine(day, time(), UTC)
        return begun(Interval(start, start + _DAY), now, "--date")
    today = datetime.combine(now.date(), time(), UTC)
    return Interval(today - _DAY - (_LATE if again else timedelta()), today)
