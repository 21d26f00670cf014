"""`harvest replay`: archive → sinks again, without one call to a vendor."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

from consumers.enrichers.opencast import EpisodeSettings
from consumers.sinks import RAW
from consumers.sinks.archive_settings import ArchiveSettings
from harvester.commands import archives, parts
from harvester.commands.options import although_paused_option, json_option, refuse_paused, sink_type
from harvester.commands.replay_feed import Counts, feed, most_of
from harvester.commands.replay_read import Reading, reading, unread
from harvester.commands.times import ordered, parse_time
from harvester.coverages import open_coverages
from harvester.errors import ConfigError
from harvester.letters import open_letters
from harvester.loading import Loaded
from harvester.pauses import paused
from harvester.privacy import PrivacySettings, Veil
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings
from harvester.veiled import veil_of

if TYPE_CHECKING:
    from consumers.archived import Wanted
    from consumers.batch import Processing


@click.command("replay")
@click.option("--from", "start", metavar="TIME", help="What happened from then on.  [default: all]")
@click.option("--to", "end", metavar="TIME", help="What happened before.  [default: all]")
@click.option(
    "--read-from", metavar="TIME", help="What was read from its source from then on: reads less of the archive.  [default: all]"
)
@click.option("--read-to", metavar="TIME", help="What was read from its source before.  [default: all]")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Of this source; may be repeated.  [default: all]")
@click.option(
    "--type",
    "--stream",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Of this type, such as opencast.useraction or useraction; may be repeated.  [default: all]",
)
@click.option(
    "--into",
    "sinks",
    multiple=True,
    type=sink_type,
    help="This sink; may be repeated.  [default: HARVESTER_SINKS but the archive]",
)
@click.option("--dry-run", is_flag=True, help="Write nothing: say what there is, and what each sink has of it.")
@click.option(
    "--ask",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="With --dry-run: ask each sink for so many states, spread over all.",
)
@click.option("--look-up", is_flag=True, help="Ask Opencast for the recordings, as a consumer does: these are calls.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["segments", "chunks"]),
    default="segments",
    show_default=True,
    help="chunks: the JSON files that the predecessor archived of GitHub.",
)
@click.option("--accept-rejections", is_flag=True, help="Go on however many events a sink refuses.")
@although_paused_option
@json_option
def command(
    *,
    start: str | None,
    end: str | None,
    read_from: str | None,
    read_to: str | None,
    sources: tuple[str, ...],
    types: tuple[str, ...],
    sinks: tuple[str, ...],
    dry_run: bool,
    ask: int,
    look_up: bool,
    form: str,
    accept_rejections: bool,
    as_json: bool,
) -> int:
    """Bring what was archived into sinks again, through records, ranks and dead letters as a consumer does.

    Twice is once: after an interruption give the same command again. Newer states that a sink has stay. What of the archive
    is missing or altered is listed, the rest is brought (exit 5).

    \b
    harvest replay --into duckdb                        all of it
    harvest replay --source zoom --from 2026-10-01 --to 2026-11-01 --dry-run
    harvest replay --type github.pull_request --into elasticsearch
    """
    names = tuple(dict.fromkeys(sinks or (name for name in parts.configured_sinks() if parts.group_of(name) not in RAW)))
    if not names or any(parts.group_of(name) in RAW for name in names):
        raise click.UsageError("say into which sink with --into: the archive is what is read from")
    vendors: list[type[BaseModel]] = [OpencastSettings, EpisodeSettings] if look_up else []
    if form == "chunks":  # what is hidden in them
        vendors.append(PrivacySettings)
    loaded = parts.settings(ArchiveSettings, *vendors, *parts.sink_settings(names), reads=False)
    try:
        from consumers.archived import Wanted
    except ModuleNotFoundError as error:
        raise ConfigError(f"the archive needs {error.name}: install event-harvester[archive]") from error

    zone = loaded.get(CoreSettings).timezone
    first, last = (parse_time(text, zone, name) if text else None for text, name in ((start, "--from"), (end, "--to")))
    read_first, read_last = (
        parse_time(text, zone, name) if text else None for text, name in ((read_from, "--read-from"), (read_to, "--read-to"))
    )
    for one, other, options in ((first, last, "--from/--to"), (read_first, read_last, "--read-from/--read-to")):
        if one and other:
            ordered(one, other, options)
    wanted = Wanted(first, last, read_first, read_last, sources, types)
    if dry_run:
        return run_once(_looked(loaded, names, wanted, form, ask, as_json=as_json))
    return run_once(_replayed(loaded, names, wanted, form, accept_rejections=accept_rejections, as_json=as_json))


async def _looked(loaded: Loaded, names: Sequence[str], wanted: "Wanted", form: str, ask: int, *, as_json: bool) -> int:
    from harvester.commands.replay_look import look

    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(archives.there(loaded))
        sinks = {parts.group_of(name): await stack.enter_async_context(parts.sink_named(name, loaded)) for name in names}
        read = await reading(objects, wanted, form, veil(loaded, form))
        await look(read, sinks, ask, as_json=as_json)
        return unread(read)


async def _replayed(
    loaded: Loaded, names: Sequence[str], wanted: "Wanted", form: str, *, accept_rejections: bool, as_json: bool
) -> int:
    core = loaded.get(CoreSettings)
    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(archives.there(loaded))
        ways, most = await open_ways(stack, loaded, names, accept_rejections=accept_rejections)
        read = await reading(objects, wanted, form, veil(loaded, form))
        counts = await feed(read, ways, core, most)
    return _tell(counts, read, as_json=as_json)


async def open_ways(
    stack: AsyncExitStack, loaded: Loaded, names: Sequence[str], *, accept_rejections: bool = False
) -> "tuple[dict[str, Processing], int]":
    """The way of a batch into each of these sinks, open until `stack` ends; and how large batches are for them.

    RefusedError: one is paused.
    """
    core, stop, ways = loaded.get(CoreSettings), asyncio.Event(), dict[str, "Processing"]()
    letters = await stack.enter_async_context(open_letters(core.letters_url, core))
    pauses = await paused(await stack.enter_async_context(open_coverages(core.coverage_url, core)))
    for name in names:
        refuse_paused(pauses, parts.group_of(name))
    enrichers = await stack.enter_async_context(parts.open_enrichers(loaded, parts.QUICK))

    def waits(error: Exception, seconds: float) -> None:
        click.echo(f"waiting {seconds:.0f} s: {error}", err=True)

    sinks = []
    for name in names:
        sinks.append(sink := await stack.enter_async_context(parts.sink_named(name, loaded)))
        ways[sink.name] = parts.processing(sink, letters, stop, enrichers, accept_rejections=accept_rejections, on_wait=waits)
    return ways, most_of(sinks, core)


def veil(loaded: Loaded, form: str) -> Veil | None:
    """What is hidden of archived things of that form: chunks hold them as they were."""
    return veil_of("github", loaded.get(PrivacySettings)) if form == "chunks" else None


def _tell(counts: Counts, read: Reading, *, as_json: bool) -> int:
    import json

    if as_json:
        click.echo(
            json.dumps(
                {
                    "sinks": {name: dict(found) for name, found in counts.items()},
                    "broken": len(read.broken),
                    "lost": [lost.name for lost in read.lost],
                }
            )
        )
    dead = 0
    for name, found in counts.items():
        dead += found["dead_lettered"]
        click.echo(
            f"{name}: replayed {found['consumed']:,} = delivered {found['delivered']:,} + filtered {found['filtered']:,} + "
            f"dead-lettered {found['dead_lettered']:,}",
            err=True,
        )
        if found["dead_lettered"]:
            click.echo(f"dead letters: harvest dead-letters list --group {name}", err=True)
    return unread(read) or (5 if dead else 0)
