"""`harvest github collect`: what changed, once."""

from collections.abc import Sequence
from datetime import timedelta

import click

from harvester.commands.github_collection import Asked
from harvester.commands.github_run import collect, repos_option
from harvester.commands.github_site import need_archive, settings
from harvester.commands.options import although_paused_option, json_option
from harvester.commands.times import ordered, parse_time
from harvester.service import run_once
from harvester.settings import CoreSettings

_USUAL = 24


@click.command("collect", short_help="Collect what changed, once: the last day, or a range.")
@click.option("--since", metavar="TIME", help="Changes from this time on; a day is its midnight.  [default: 24 hours ago]")
@click.option("--until", metavar="TIME", help="Changes before this time.  [default: now]")
@click.option("--hours", type=click.IntRange(min=1), help="Changes of the last hours, in the place of a range.  [default: 24]")
@click.option(
    "--go-on",
    is_flag=True,
    help="Where nothing is remembered, as in a container without a volume, go on where the collections of the archive ended.",
)
@repos_option
@although_paused_option
@json_option
def command(since: str | None, until: str | None, hours: int | None, repos: Sequence[str], *, go_on: bool, as_json: bool) -> int:
    """Collect what changed, then archive it, then write it into the warehouses of HARVESTER_SINKS.

    Without --since and --until also what was missed since streams began, so that no downtime leaves a hole. What was read is
    not asked for again. Exit 5 with holes, which are listed.

    \b
    harvest github collect
    harvest github collect --since 2025-01-01T00:00:00Z --until 2025-03-31T23:59:59Z --repos widgets,gadgets
    """
    if hours and (since or until):
        raise click.UsageError("--hours counts from now: leave it out, or --since and --until")
    if go_on and (since or until):
        raise click.UsageError("--go-on reads up to now: leave it out, or --since and --until")
    loaded = settings()
    if go_on:
        need_archive(loaded, "--go-on")
    zone = loaded.get(CoreSettings).timezone
    first = parse_time(since, zone, "--since") if since else timedelta(hours=hours or _USUAL)
    last = parse_time(until, zone, "--until") if until else None
    if not isinstance(first, timedelta) and last:
        ordered(first, last, "--since/--until")
    elif last and isinstance(first, timedelta):
        first = last - first
    return run_once(collect(loaded, Asked("collect", first, last, repos, go_on), as_json=as_json))
