"""`harvest github load-gcs`: what was archived of GitHub into the warehouse, as records are made of it today."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import click

from consumers.sinks import RAW
from harvester.commands import archives, github_archive, parts
from harvester.commands.github_metrics import Told, compute, day_of, lines
from harvester.commands.github_stores import stores_of
from harvester.commands.options import although_paused_option, json_option
from harvester.commands.replay import open_ways, veil
from harvester.commands.replay_feed import Counts, feed
from harvester.commands.replay_read import Reading, reading, unread
from harvester.commands.words import amount_of
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.service import run_once
from harvester.settings import CoreSettings

if TYPE_CHECKING:
    from consumers.archived import Archived
    from consumers.stock import OfGithub

FORMS = ("segments", "chunks")


@click.command("load-gcs")
@click.option("--repo", default="", metavar="NAME", help="One repository, by its name at that time.  [default: all]")
@click.option("--date", "day", metavar="YYYY-MM-DD", help="What was collected on that day, UTC.  [default: all]")
@although_paused_option
@json_option
def command(*, repo: str, day: str | None, as_json: bool) -> int:
    """Load what was archived of GitHub into the sinks that are set, and compute the metrics then. GitHub is not asked.

    Rows are made as they are made today, so this also reprocesses after a change. Segments of this harvester and chunks of
    its predecessor are both read. Newer states that a sink has stay; twice is once.

    \b
    harvest github load-gcs
    harvest github load-gcs --repo widgets --date 2026-11-23
    """
    names = [name for name in parts.configured_sinks() if parts.group_of(name) not in {*RAW, "stdout"}]
    if not names:
        raise ConfigError("HARVESTER_SINKS names no sink to load into: add duckdb, postgres, bigquery or elasticsearch")
    loaded = github_archive.settings("load-gcs", *parts.sink_settings(names))
    return run_once(_load(loaded, names, repo, day_of(day, "--date"), as_json=as_json))


async def _load(loaded: Loaded, names: Sequence[str], repo: str, day: date | None, *, as_json: bool) -> int:
    from consumers.stock import names_of

    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(archives.there(loaded))
        if repo:
            repo = github_archive.one_of(repo, [place for _, place in await names_of(objects)])
        wanted, types = _wanted(repo, day), Counter[str]()
        ways, most = await open_ways(stack, loaded, names)
        counts: list[Counts] = []
        reads: list[Reading] = []
        for form in FORMS:
            read = await reading(objects, wanted, form, veil(loaded, form))
            read.events = _counting(read.events, types)
            counts.append(await feed(read, ways, loaded.get(CoreSettings), most))
            reads.append(read)
    sums = {name: sum((one.get(name, Counter()) for one in counts), Counter[str]()) for name in ways}
    code = _tell(types, sums, reads)
    told = await compute(loaded) if stores_of(names) else {}
    for line in lines(told):
        click.echo(f"metrics in {line}", err=True)
    if as_json:
        click.echo(json.dumps(_said(types, sums, reads, told)))
    return code


def _wanted(repo: str, day: date | None) -> "OfGithub":
    from consumers.stock import OfGithub

    start = datetime.combine(day, time(), UTC) if day else None
    wanted = OfGithub(read_start=start, read_end=start + timedelta(days=1) if start else None)
    wanted.repository = repo
    return wanted


async def _counting(events: "AsyncIterator[Sequence[Archived]]", types: Counter[str]) -> "AsyncIterator[Sequence[Archived]]":
    async for some in events:
        types.update(one.event.type.partition(".")[2] for one in some)
        yield some


def _tell(types: Counter[str], sums: dict[str, Counter[str]], reads: Sequence[Reading]) -> int:
    for type_, amount in sorted(types.items()):
        click.echo(f"{type_}: {amount_of(amount, 'event')}", err=True)
    for name, found in sums.items():
        click.echo(
            f"{name}: loaded {found['consumed']:,} = delivered {found['delivered']:,} + filtered {found['filtered']:,} + "
            f"dead-lettered {found['dead_lettered']:,}",
            err=True,
        )
        if found["dead_lettered"]:
            click.echo(f"dead letters: harvest dead-letters list --group {name}", err=True)
    if not types:
        click.echo("nothing like that is archived; next: harvest github gcs-summary", err=True)
    left = [unread(read) for read in reads]
    return 5 if any(left) or any(found["dead_lettered"] for found in sums.values()) else 0


def _said(types: Counter[str], sums: dict[str, Counter[str]], reads: Sequence[Reading], told: Told) -> dict[str, object]:
    return {
        "events": dict(types),
        "sinks": {name: dict(found) for name, found in sums.items()},
        "broken": sum(len(read.broken) for read in reads),
        "lost": [lost.name for read in reads for lost in read.lost],
        "metrics": told,
    }
