"""`harvest useractions`: Opencast's user actions once, as the predecessor's command did it."""

from datetime import datetime

import click

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts, spans
from harvester.commands.harvesting import HARVESTING, Shot, first_start, open_shot, start_set, tell
from harvester.commands.options import although_paused_option, json_option, setting
from harvester.commands.progress import bar
from harvester.commands.times import begun, ordered, parse_time
from harvester.coverage import Interval, live_window
from harvester.loading import Loaded
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings


@click.command("useractions")
@click.option("-s", "--start", metavar="YYYYMMDDHHmmss", help="First time to read.  [default: where the last harvest ended]")
@click.option("-e", "--end", metavar="YYYYMMDDHHmmss", help="Time to read up to.  [default: now]")
@setting(OpencastSettings, "wait", "-w", "--wait")
@setting(OpencastSettings, "url", "-H", "--engage_host")
@setting(OpencastSettings, "user", "-u", "--user")
@setting(OpencastSettings, "password", "-p", "--password")
@click.option(
    "-o", "--output", default="queue", show_default=True, help="`queue`, or `-` for one JSON document a line on stdout."
)
@setting(CoreSettings, "sqs_queue_name", "-q", "--queue-name")
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
@although_paused_option
@json_option
def command(
    start: str | None,
    end: str | None,
    output: str,
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
    core = loaded.get(CoreSettings)
    printing = "-" in (output, core.sqs_queue_name)
    if as_json and printing:
        raise click.UsageError("--json and printing both want stdout")
    start_set("opencast", loaded)
    record = not printing if update is None else update
    first = parse_time(start, core.timezone, "--start") if start else None
    last = parse_time(end, core.timezone, "--end") if end else None
    if first and last:
        ordered(first, last, "--start/--end")
    if core.sqs_queue_name and not printing and loaded.given("HARVESTER_QUEUE_URL"):
        click.echo(f"queue name {core.sqs_queue_name}: not used, the queue is {core.queue_url} (HARVESTER_QUEUE_URL)", err=True)
    return run_once(_harvest(loaded, first, last, printing=printing, record=record, whole=whole, as_json=as_json))


async def _harvest(
    loaded: Loaded, start: datetime | None, end: datetime | None, *, printing: bool, record: bool, whole: bool, as_json: bool
) -> int:
    hold = HARVESTING if record else ""
    async with open_shot(loaded, "opencast", "useractions", printing=printing, hold=hold) as shot:
        now = shot.source.now()
        coverage = shot.book.coverage(shot.stream.name)
        ranged = bool(start or end)
        live = live_window(coverage, now, shot.stream.timing)
        since = start or (live.start if coverage.start else await first_start(shot.source, loaded, coverage))
        span = Interval(since, end or now) if ranged else Interval(min(since, now), now)
        if ranged:
            span = begun(span, now, "--start/--end")
        if not whole:
            spans.allow(span, shot.stream, shot.limits, ranged=ranged)
        with bar("useractions", span.end - span.start, printing=printing) as shown:
            shot.harvest.on_window = lambda w: shown.update(
                (w.end - span.start).total_seconds(), count=shot.harvest.totals["read"], reached=w.end
            )
            await _read(shot, span, ranged=ranged, record=record, whole=whole)
        return tell(shot, "useractions", as_json=as_json)


async def _read(shot: Shot, span: Interval, *, ranged: bool, record: bool, whole: bool) -> None:
    if record and not ranged:
        await shot.harvest.poll(span.start, whole=whole)
        return
    if record and shot.book.coverage(shot.stream.name).start is None:
        await shot.book.begin(shot.stream.name, span.start)
    await shot.harvest.read([span], whole=whole, record=record)
