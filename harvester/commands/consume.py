"""`harvest consume`: sinks fed from the queue, in a process of their own."""

import asyncio
from collections.abc import Mapping

import click

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts
from harvester.commands.daemon import begun, run_daemon
from harvester.commands.options import although_paused, although_paused_option, refuse_paused, sink_type
from harvester.commands.run import feed, feeding
from harvester.loading import Loaded
from harvester.pauses import paused
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings


@click.command("consume")
@click.argument("sinks", nargs=-1, type=sink_type, metavar="[SINK]...")
@click.option("--until-empty", is_flag=True, help="End when nothing is left in the queue.")
@click.option("--accept-rejections", is_flag=True, help="Go on however many events a sink refuses.")
@although_paused_option
def command(sinks: tuple[str, ...], until_empty: bool, accept_rejections: bool) -> int:
    """Feed each SINK from the queue until a signal; without any, those of HARVESTER_SINKS (default: duckdb).

    \b
    harvest consume duckdb --until-empty
    """
    if although_paused() and not until_empty:
        raise click.UsageError("--although-paused goes with --until-empty: a daemon obeys `harvest pause`")
    names = tuple(dict.fromkeys(sinks or parts.configured_sinks()))
    vendors = [OpencastSettings] if "opencast" in parts.configured_sources() else []
    loaded = parts.settings(*vendors, EpisodeSettings, *parts.sink_settings(names), reads=False)
    run = _emptied if until_empty else _fed
    return run(names, loaded, accept_rejections=accept_rejections)


def _fed(names: tuple[str, ...], loaded: Loaded, *, accept_rejections: bool) -> int:
    core = loaded.get(CoreSettings)

    async def work(stop: asyncio.Event) -> None:
        async with begun(loaded, stop, sinks=names) as daemon:
            if daemon is None:
                return
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(feeding(name, daemon, accept_rejections=accept_rejections))

    return run_daemon(work, core)


def _emptied(names: tuple[str, ...], loaded: Loaded, *, accept_rejections: bool) -> int:
    """Until there is nothing left: 0, 5 with dead letters, 130 when a signal cut it before."""
    core, cut, counts = loaded.get(CoreSettings), False, dict[str, Mapping[str, int]]()

    async def work(stop: asyncio.Event) -> None:
        nonlocal cut

        async def one(name: str) -> None:
            counts[name] = await feed(name, loaded, stores, stop, accept_rejections=accept_rejections, until_empty=True)

        try:
            async with parts.open_stores(core) as stores, asyncio.TaskGroup() as group:
                pauses = await paused(stores.coverages)
                for name in names:
                    refuse_paused(pauses, parts.group_of(name))
                for name in names:
                    group.create_task(one(name))
        finally:
            cut = stop.is_set()

    run_daemon(work, core)
    for name, amounts in counts.items():
        _tell(name, amounts)
    if cut:
        click.echo("interrupted: what is written stays; go on with the same command", err=True)
        return 130
    return 5 if any(amounts["dead_lettered"] for amounts in counts.values()) else 0


def _tell(name: str, counts: Mapping[str, int]) -> None:
    click.echo(
        f"{name}: consumed {counts['consumed']:,} = delivered {counts['delivered']:,} + filtered {counts['filtered']:,} + "
        f"dead-lettered {counts['dead_lettered']:,}",
        err=True,
    )
    if counts["dead_lettered"]:
        click.echo(f"dead letters: harvest dead-letters list --group {parts.group_of(name)}", err=True)
    if counts["pending"]:
        click.echo(f"{counts['pending']:,} were written without their enrichment, which is tried again by itself", err=True)
