"""`harvest resume`: let what was paused go on where it stopped."""

import click

from harvester import pauses
from harvester.commands import parts
from harvester.commands.acts import done
from harvester.commands.pause import named
from harvester.coverages import open_coverages
from harvester.service import run_once
from harvester.settings import CoreSettings


@click.command("resume")
@click.argument("name")
def command(name: str) -> int:
    """Let NAME (a source, source/stream, or a sink) go on where it was paused.

    \b
    harvest resume opencast
    """
    return run_once(_resume(named(name)))


async def _resume(name: str) -> int:
    core = parts.settings().get(CoreSettings)
    async with open_coverages(core.coverage_url, core) as store:
        known = await pauses.paused(store)
        if name in known:
            await pauses.resume(store, name)
            done("resume", target=name)
            click.echo(f"{name} goes on; a daemon starts it within seconds", err=True)
        else:
            click.echo(f"{name} is not paused", err=True)
        whole = name.partition("/")[0]
        if whole != name and whole in known:
            click.echo(f"it still rests, for {whole} is {known[whole]}; harvest resume {whole}", err=True)
    return 0
