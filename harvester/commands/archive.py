"""`harvest archive`: the proof that what was archived is there."""

import click
import msgspec

from consumers.sinks.archive_settings import ArchiveSettings
from harvester.commands import archives, parts
from harvester.commands.options import json_option
from harvester.commands.progress import bar
from harvester.commands.words import amount_of
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.service import run_once

_SHOWN = 20


@click.group("archive")
def command() -> None:
    """Raw events, as the sink `archive` keeps them. `harvest replay` brings them into other sinks again.

    \b
    harvest archive verify
    """


@command.command("verify")
@json_option
def verify(*, as_json: bool) -> int:
    """Read all of it, and tell whether each segment is there with the bytes and events that were written.

    Changes nothing. Exit 5 when something is missing or altered: it is listed. From a bucket every byte is read, and paid for.
    """
    loaded = parts.settings(ArchiveSettings)
    return run_once(_verified(loaded, as_json=as_json))


async def _verified(loaded: Loaded, *, as_json: bool) -> int:
    try:
        from consumers.verifying import verified
    except ModuleNotFoundError as error:
        raise ConfigError(f"the archive needs {error.name}: install event-harvester[archive]") from error

    async with archives.there(loaded) as objects:
        with bar("archive verify", 0, unit="segments") as shown:
            found = await verified(objects, told=lambda done, total: shown.update(done, count=done, total=total))
    if as_json:
        click.echo(msgspec.json.encode(found))
    for fault in found.faults[:_SHOWN]:
        click.echo(fault, err=as_json)
    if len(found.faults) > _SHOWN:
        click.echo(f"… and {len(found.faults) - _SHOWN} more; --json lists all", err=as_json)
    if found.unnamed:
        click.echo(
            f"{amount_of(len(found.unnamed), 'segment')} that no manifest names, e.g. {found.unnamed[0]}: of consumers that were "
            f"killed; what they hold was written again, unless a fault above says otherwise",
            err=True,
        )
    click.echo(
        f"archive: {amount_of(found.manifests, 'manifest')}, {amount_of(found.segments, 'segment')}, "
        f"{amount_of(found.events, 'event')} ({found.repeated:,} of them again), {found.bytes:,} bytes; "
        f"{amount_of(len(found.faults), 'fault')}",
        err=True,
    )
    return 5 if found.faults else 0
