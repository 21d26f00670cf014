"""`harvest backfill`: history into the queue, window by window, each committed alone."""

from datetime import datetime

import click
import msgspec

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts
from harvester.commands.harvesting import FILLING, Shot, open_shot, tell
from harvester.commands.options import although_paused_option, json_option, source_type, stream_option
from harvester.commands.outlook import Outlook, watched
from harvester.commands.progress import bar
from harvester.commands.times import ordered, parse_time, shown
from harvester.commands.words import amount_of
from harvester.coverage import Interval, Intervals, cut
from harvester.loading import Loaded
from harvester.service import run_once
from harvester.settings import CoreSettings


@click.command("backfill")
@click.argument("source", default="opencast", type=source_type)
@stream_option
@click.option("-s", "--start", required=True, metavar="TIME", help="How far back to read.")
@click.option("-e", "--end", metavar="TIME", help="Time to read up to.  [default: the live edge]")
@click.option("--again", is_flag=True, help="Read also what is read already.")
@click.option("--dry-run", is_flag=True, help="Say what would be read, and stop.")
@although_paused_option
@json_option
def command(source: str, stream: str, start: str, end: str | None, again: bool, dry_run: bool, as_json: bool) -> int:
    """Move the start of SOURCE back to --start and read what is not read yet. Interrupted, it goes on where it was.

    \b
    harvest backfill opencast --start 20260501000000
    """
    loaded = parts.settings(parts.source_settings(source), EpisodeSettings)
    zone = loaded.get(CoreSettings).timezone
    first = parse_time(start, zone, "--start")
    last = parse_time(end, zone, "--end") if end else None
    if last:
        ordered(first, last, "--start/--end")
    return run_once(_backfill(loaded, source, stream, first, last, again=again, dry_run=dry_run, as_json=as_json))


async def _backfill(
    loaded: Loaded,
    source: str,
    stream: str,
    first: datetime,
    last: datetime | None,
    *,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    async with open_shot(loaded, source, stream, hold="" if dry_run else FILLING) as shot:
        coverage = shot.book.coverage(shot.stream.name)
        now = shot.source.now()
        end = min(last or coverage.live_edge or now, now)
        ordered(first, end, "the range", now=now)
        span = Intervals([(first, end)])
        todo = span if again else span - coverage.read
        if dry_run:
            return _show(shot, todo, as_json=as_json)
        await shot.book.begin(shot.stream.name, first)
        await fill(shot, todo, "backfill")
        return tell(shot, "backfill", as_json=as_json)


async def fill(shot: Shot, todo: Intervals, title: str) -> None:
    """Read these intervals, oldest first."""
    total, name = todo.total.total_seconds(), shot.stream.name
    fresh = todo - shot.book.coverage(name).read
    outlook = Outlook(f"{shot.source.name}/{name}", shot.backfill)
    done, reached = 0.0, None

    def look() -> None:
        share = max(done, (fresh - missing()).total.total_seconds()) / total if total else 1.0
        shown_bar.update(share * total, count=shot.harvest.totals["read"], reached=reached, ends=outlook.at(share))

    def missing() -> Intervals:
        return fresh - shot.book.coverage(name).read

    def step(window: Interval) -> None:
        nonlocal done, reached
        done, reached = done + (window.end - window.start).total_seconds(), window.end
        look()

    with bar(title, total) as shown_bar:
        shot.harvest.on_window = step
        try:
            async with watched(look):
                await shot.harvest.read(todo)
        finally:
            outlook.over()


def _show(shot: Shot, todo: Intervals, *, as_json: bool) -> int:
    windows = sum(1 for span in todo for _ in cut(span, shot.stream.timing.window))
    if as_json:
        click.echo(msgspec.json.encode({"intervals": [[i.start, i.end] for i in todo], "windows": windows}))
        return 0
    for span in todo:
        click.echo(f"{shown(span.start)} … {shown(span.end)}")
    click.echo(f"{amount_of(windows, 'window')} of {shot.stream.timing.window}, {todo.total} in all; nothing was read", err=True)
    return 0
