"""`harvest consume`: sinks fed from the queue, in a process of their own."""

import asyncio

import click

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts
from harvester.commands.run import feeding, open_patiently, run_daemon
from harvester.settings import CoreSettings
from harvester.sources.opencast import OpencastSettings


@click.command("consume")
@click.argument("sinks", nargs=-1, metavar="[SINK]...")
@click.option("--until-empty", is_flag=True, help="End when nothing is left in the queue.")
@click.option("--accept-rejections", is_flag=True, help="Go on however many events a sink refuses.")
def command(sinks: tuple[str, ...], until_empty: bool, accept_rejections: bool) -> int:
    """Feed each SINK from the queue until a signal; without any, those of HARVESTER_SINKS (default: duckdb).

    \b
    harvest consume duckdb --until-empty
    """
    loaded = parts.settings(OpencastSettings, EpisodeSettings)
    core = loaded.get(CoreSettings)

    cut = False

    async def work(stop: asyncio.Event) -> None:
        nonlocal cut
        try:
            # A one-shot ends when something is busy, a daemon waits.
            opened = parts.open_stores(core) if until_empty else open_patiently(core, stop)
            async with opened as stores, asyncio.TaskGroup() as group:
                if stores is None:
                    return
                for name in dict.fromkeys(sinks or core.sinks):
                    group.create_task(
                        feeding(name, loaded, stores, stop, accept_rejections=accept_rejections, until_empty=until_empty)
                    )
        finally:
            cut = stop.is_set()

    code = run_daemon(work, core)
    return 130 if until_empty and cut else code
