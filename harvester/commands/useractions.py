"""`harvest useractions`: Opencast's user actions once, as the predecessor's command did it."""

from collections.abc import Awaitable
from datetime import datetime, timedelta

import click

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts
from harvester.commands.harvesting import Shot, open_shot, tell
from harvester.commands.options import json_option, setting
from harvester.commands.progress import bar
from harvester.commands.times import ordered, parse_time
from harvester.coverage import Interval, live_window
from harvester.errors import RefusedError
from harvester.loading import Loaded
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings


@click.command("useractions")
@click.option(
    "-s", "--start", metavar="YYYYMMDDHHmmss", help="First time to read; without it, on from where the last harvest ended."
)
@click.option("-e", "--end", metavar="YYYYMMDDHHmmss", help="Time to read up to.  [default: now]")
@setting(OpencastSettings, "wait", "-w", "--wait")
@setting(OpencastSettings, "url", "-H", "--engage_host")
@setting(OpencastSettings, "user", "-u", "--user")
@setting(OpencastSettings, "password", "-p", "--password")
@click.option(
    "-o", "--output", default="queue", show_default=True, help="`queue`, or `-` for one JSON document a line on stdout."
)
@click.option("-q", "--queue-name", help="`-` prints, too; other names are for an SQS queue.  [env: SQS_QUEUE_NAME]")
@setting(OpencastSettings, "batch_size", "-b", "--batch-size")
@setting(CoreSettings, "default_interval", "-i", "--interval")
@click.option("--disable-start-end-span-check", "whole", is_flag=True, help="Fetch the whole span at once, however long.")
@setting(CoreSettings, "span_policy", "--span-policy")
@click.option(
    "--update-last-ts/--no-update-last-ts",
    "update",
    default=None,
    help="Whether this harvest counts as done.  [default: yes, but not when printing]",
)
@json_option
def command(
    start: str | None,
    end: str | None,
    output: str,
    queue_name: str | None,
    whole: bool,
    update: bool | None,
    as_json: bool,
) -> int:
    """Harvest user actions once: what is new since the last time, or a range with --start and --end.

    \b
    harvest useractions                                    what is new, to the queue
    harvest useractions -s 20261116000000 -e 20261123000000
    harvest useractions --batch-size 100 --output -        JSON lines on stdout
    """
    if output not in ("-", "queue"):
        raise click.BadParameter("write `-` for stdout, or leave it out for the queue", param_hint="--output")
    loaded = parts.settings(OpencastSettings, EpisodeSettings)
    printing = "-" in (output, queue_name)
    record = not printing if update is None else update
    zone = loaded.get(CoreSettings).timezone
    first = parse_time(start, zone, "--start") if start else None
    last = parse_time(end, zone, "--end") if end else None
    if first and last:
        ordered(first, last, "--start/--end")
    if as_json and printing:
        raise click.UsageError("--json and printing both want stdout")
    return run_once(_harvest(loaded, first, last, printing=printing, record=record, whole=whole, as_json=as_json))


async def _harvest(
    loaded: Loaded, start: datetime | None, end: datetime | None, *, printing: bool, record: bool, whole: bool, as_json: bool
) -> int:
    async with open_shot(loaded, "opencast", "useractions", printing=printing, hold=record) as shot:
        now = shot.source.now()
        coverage = shot.book.coverage(shot.stream.name)
        first_start = now - timedelta(minutes=loaded.get(CoreSettings).default_interval)
        if start or end or not record:
            since = start or (live_window(coverage, now, shot.stream.timing).start if coverage.start else first_start)
            span = Interval(since, end or now)
            ordered(span.start, span.end, "the range")
            await _read(shot, span, record=record, whole=whole)
        else:
            edge = coverage.live_edge or first_start
            with bar("useractions", now - edge) as shown:
                shot.harvest.on_window = lambda w: shown.update(
                    (w.end - edge).total_seconds(), events=shot.harvest.totals["read"], reached=w.end
                )
                await _refusing(shot.harvest.poll(first_start, whole=whole))
        return tell(shot, "useractions", as_json=as_json)


async def _read(shot: Shot, span: Interval, *, record: bool, whole: bool) -> None:
    if record and shot.book.coverage(shot.stream.name).start is None:
        await shot.book.begin(shot.stream.name, span.start)
    with bar("useractions", span.end - span.start) as shown:
        shot.harvest.on_window = lambda w: shown.update(
            (w.end - span.start).total_seconds(), events=shot.harvest.totals["read"], reached=w.end
        )
        await _refusing(shot.harvest.read([span], whole=whole, record=record))


async def _refusing(work: Awaitable[None]) -> None:
    """Name the two ways on when the span is refused."""
    try:
        await work
    except RefusedError as error:
        raise RefusedError(
            f"{error}.\nTwo ways on:\n"
            "  1. pause scheduled harvests, then once: harvest useractions --disable-start-end-span-check\n"
            "  2. harvest coverage reset useractions --yes, then fill the gap in several runs: "
            "harvest useractions --start … --end …\n"
            "Or let it be cut into windows by itself: --span-policy windows"
        ) from error
