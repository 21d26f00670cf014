"""`harvest github gcs-summary`: what there is of GitHub in the archive."""

from typing import TYPE_CHECKING

import click
import msgspec

from harvester.commands import archives, github_archive
from harvester.commands.options import json_option
from harvester.commands.words import amount_of
from harvester.loading import Loaded
from harvester.service import run_once

if TYPE_CHECKING:
    from consumers.stock import Stock


@click.command("gcs-summary")
@json_option
def command(*, as_json: bool) -> int:
    """Say what of GitHub is archived: by repository and data type files, records, bytes, and from which days; and which
    collections are not complete. Changes nothing; the predecessor's chunks are read whole for it.
    """
    return run_once(_summary(github_archive.settings("gcs-summary"), as_json=as_json))


async def _summary(loaded: Loaded, *, as_json: bool) -> int:
    from consumers.stock import stock

    async with archives.there(loaded) as objects:
        found = await stock(objects)
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.to_builtins(found), "totals": _totals(found)}))
    else:
        _print(found)
    for name in found.unreadable:
        click.echo(f"{name}: cannot be read: bring it back from a copy, or delete it", err=True)
    return 5 if found.unreadable else 0


def _print(found: "Stock") -> None:
    if found.amounts:
        wide = max(len(one.repository) for one in found.amounts)
        click.echo(f"{'repository':{wide}}  {'data type':<20}  {'files':>8}  {'records':>10}  {'bytes':>14}  first       last")
        for one in found.amounts:
            numbers = f"{one.files:>8,}  {one.records:>10,}  {one.bytes:>14,}"
            click.echo(f"{one.repository:{wide}}  {one.data_type:<20}  {numbers}  {one.first}  {one.last}")
    totals = _totals(found)
    click.echo(
        f"{amount_of(totals['repositories'], 'repository', 'repositories')}, {amount_of(totals['files'], 'file')}, "
        f"{amount_of(totals['records'], 'record')}, {totals['bytes']:,} bytes"
    )
    for left in found.unfinished:
        click.echo(f"not complete: collection {left.collection_id} of {left.organisation}: {left.state}")
    if any(left.state == "running" for left in found.unfinished):
        click.echo("next: harvest github collect, which completes what was cut off, or harvest github resume")


def _totals(found: "Stock") -> dict[str, int]:
    return {
        "repositories": len({one.repository for one in found.amounts}),
        "files": sum(one.files for one in found.amounts),
        "records": sum(one.records for one in found.amounts),
        "bytes": sum(one.bytes for one in found.amounts),
    }
