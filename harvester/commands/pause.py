"""`harvest pause`: let a source, a stream or a sink rest, while everything else goes on."""

import click

from harvester import pauses
from harvester.commands import parts
from harvester.commands.acts import actor, done
from harvester.commands.coverage import split_name
from harvester.commands.options import sink_type
from harvester.coverages import open_coverages
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources import SOURCES


def named(name: str) -> str:
    """A source, source/stream or sink as pauses are kept under. Exit 2 when there is none of that name."""
    if name.partition("/")[0] in (*SOURCES, "useractions"):
        source, stream = split_name(name, printed=False)
        return f"{source}/{stream}" if stream else source
    if "/" in name and ":" not in name:
        split_name(name, printed=False)
    return parts.group_of(str(sink_type.convert(name, None, None)))


@click.command("pause")
@click.argument("name")
def command(name: str) -> int:
    """Let NAME rest: a source, source/stream, or a sink. A daemon stops it within seconds, and leaves it so when it starts anew.

    What is in flight is finished; nothing is lost, it waits. Commands that would work on it are refused with exit code 4.

    \b
    harvest pause opencast       while the vendor asks for quiet
    harvest pause duckdb         while the file is looked after
    """
    return run_once(_pause(named(name)))


async def _pause(name: str) -> int:
    core = parts.settings().get(CoreSettings)
    async with open_coverages(core.coverage_url, core) as store:
        known = (await pauses.paused(store)).get(name)
        if known:
            click.echo(f"{name} is {known} already; go on with: harvest resume {name}", err=True)
            return 0
        await pauses.pause(store, name, actor())
    done("pause", target=name)
    click.echo(f"{name} is paused: a daemon stops it within seconds; go on with: harvest resume {name}", err=True)
    return 0
