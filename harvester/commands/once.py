"""`harvest once`: one range of a source into the queue, or a look at what it would give."""

from datetime import datetime, timedelta

import click

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts, spans
from harvester.commands.harvesting import named_stream, open_shot, tell
from harvester.commands.options import although_paused_option, json_option, source_type, stream_option
from harvester.commands.progress import bar
from harvester.commands.times import begun, ordered, parse_time
from harvester.commands.words import amount_of
from harvester.coverage import Interval, plan
from harvester.event import encode_event
from harvester.loading import Loaded
from harvester.retry import ONE_SHOT
from harvester.screens import plain_json
from harvester.service import run_once
from harvester.settings import CoreSettings


@click.command("once")
@click.argument("source", type=source_type)
@stream_option
@click.option("--since", metavar="TIME", help="First time to read.  [default: an hour before --until]")
@click.option("--until", metavar="TIME", help="Time to read up to.  [default: now]")
@click.option("--dry-run", is_flag=True, help="Print events as JSON lines; nothing is published or recorded.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many events; with --dry-run.  [default: none]")
@click.option("-o", "--output", type=click.Choice(["ndjson"]), default="ndjson", show_default=True, help="How --dry-run prints.")
@although_paused_option
@json_option
def command(
    source: str,
    stream: str,
    since: str | None,
    until: str | None,
    dry_run: bool,
    limit: int | None,
    output: str,  # noqa: ARG001 - one form today
    as_json: bool,
) -> int:
    """Read one range of SOURCE into the queue, or with --dry-run only show what it would give.

    \b
    harvest once opencast --since 2026-11-22 --dry-run --limit 20
    """
    if as_json and dry_run:
        raise click.UsageError("--json is for what was done; --dry-run prints JSON lines by itself")
    if limit and not dry_run:
        raise click.UsageError("--limit goes with --dry-run: half a window cannot be recorded as read")
    loaded = parts.settings(parts.source_settings(source), EpisodeSettings)
    zone = loaded.get(CoreSettings).timezone
    first = parse_time(since, zone, "--since") if since else None
    last = parse_time(until, zone, "--until") if until else None
    if first and last:
        ordered(first, last, "--since/--until")
    if dry_run:
        return run_once(_look(loaded, source, stream, first, last, limit))
    return run_once(_read(loaded, source, stream, first, last, as_json=as_json))


def _span(first: datetime | None, last: datetime | None, now: datetime) -> Interval:
    end = last or now
    return begun(Interval(first or end - timedelta(hours=1), end), now, "--since/--until")


async def _look(
    loaded: Loaded, source_name: str, stream_name: str, first: datetime | None, last: datetime | None, limit: int | None
) -> int:
    seen = broken = 0
    async with parts.open_source(source_name, loaded, ONE_SHOT) as source:
        stream = named_stream(await source.streams(), stream_name)
        for window in plan(_span(first, last, source.now()), stream.timing.window, None):
            async for page in stream.fetch(window, b""):
                broken += len(page.broken)
                events = page.events[: limit - seen] if limit else page.events
                for event in events:
                    click.echo(plain_json(encode_event(event)))
                seen += len(events)
                if limit and seen >= limit:
                    break
            if limit and seen >= limit:
                break
    click.echo(
        f"{amount_of(seen, 'event')} shown, {amount_of(broken, 'broken record')}; nothing was published or recorded", err=True
    )
    return 5 if broken else 0


async def _read(loaded: Loaded, source: str, stream: str, first: datetime | None, last: datetime | None, *, as_json: bool) -> int:
    async with open_shot(loaded, source, stream) as shot:
        span = _span(first, last, shot.source.now())
        spans.allow(span, shot.stream, shot.limits, ranged=True)
        if shot.book.coverage(shot.stream.name).start is None:
            await shot.book.begin(shot.stream.name, span.start)
        with bar(source, span.end - span.start) as shown:
            shot.harvest.on_window = lambda w: shown.update(
                (w.end - span.start).total_seconds(), count=shot.harvest.totals["read"], reached=w.end
            )
            await shot.harvest.read([span])
        return tell(shot, "once", as_json=as_json)
