"""`harvest github wipe-gcs`: one repository out of the archive, for ever."""

import json
from collections import Counter
from collections.abc import Sequence

import click

from harvester.commands import archives, github_archive
from harvester.commands.options import json_option
from harvester.commands.words import amount_of
from harvester.errors import RefusedError
from harvester.loading import Loaded
from harvester.protocols import Objects
from harvester.service import run_once

_SHOWN = 20


@click.command("wipe-gcs")
@click.option("--repo", required=True, metavar="NAME", help="The repository, by its name at that time, or owner/name.")
@click.option(
    "--number",
    type=int,
    metavar="N",
    help="Of several that bore that name the one with this number.  [default: there is one alone]",
)
@click.option("--confirm", is_flag=True, help="Delete; without it what would go is listed, and nothing is deleted.")
@json_option
def command(*, repo: str, number: int | None, confirm: bool, as_json: bool) -> int:
    """Delete what is archived of one repository. Other repositories and checkpoints stay, and so does what sinks have of it.

    Where several repositories bore that name, one after the other, say which by its --number: what is there is read to tell.
    A note of it stays in the archive, so that `harvest archive verify` knows what was deleted on purpose. A repository that
    was renamed lies under each of its names.

    \b
    harvest github wipe-gcs --repo widgets
    harvest github wipe-gcs --repo widgets --confirm
    """
    return run_once(_wipe(github_archive.settings("wipe-gcs"), repo, number, confirm=confirm, as_json=as_json))


async def _wipe(loaded: Loaded, repo: str, number: int | None, *, confirm: bool, as_json: bool) -> int:
    from consumers.stock import gone_of, names_of
    from consumers.wiped import wipe

    async with archives.there(loaded) as objects:
        there = await names_of(objects)
        there = [*there, *await gone_of(objects, there)]
        whole = github_archive.one_of(repo, [place for _, place in there])
        names = await _of_one(objects, whole, [name for name, place in there if place.whole == whole], number)
        if as_json:
            click.echo(json.dumps({"repository": whole, "objects": names, "deleted": confirm}))
        if not confirm:
            for name in names[:_SHOWN] if not as_json else ():
                click.echo(name)
            if len(names) > _SHOWN and not as_json:
                click.echo(f"… and {len(names) - _SHOWN:,} more; --json lists all")
            raise RefusedError(
                f"{amount_of(len(names), 'object')} of {whole} would be deleted, nothing was; next: the same command with "
                f"--confirm. It cannot be undone: no collection reads again what it knows as read; what is still at "
                f"GitHub is read again by harvest backfill github --stream pulls/NUMBER --start TIME --again"
            )
        await wipe(objects, whole, names)
    click.echo(f"{amount_of(len(names), 'object')} of {whole} deleted", err=True)
    return 0


async def _of_one(objects: Objects, whole: str, names: Sequence[str], number: int | None) -> Sequence[str]:
    """Those of one repository. Exit 2 where several bore the name and none of them is named, or where none has that number."""
    from consumers.stock import numbers_of

    held = await numbers_of(objects, names)
    known = Counter(one for numbers in held.values() for one in numbers)
    there = ", ".join(f"{one} ({amount_of(amount, 'object')})" for one, amount in sorted(known.items()))
    if number is None:
        if len(known) > 1:
            fault = f"{len(known)} repositories bore the name {whole}: {there}: say which"
            raise click.BadParameter(fault, param_hint="--number")
        return names
    if number not in known:
        raise click.BadParameter(f"{number} is none of {whole}: {there or 'no number can be told'}", param_hint="--number")
    chosen = [name for name in names if held[name] == {number}]
    unclear = sum(number in held[name] or not held[name] for name in names) - len(chosen)
    if unclear:
        left = amount_of(unclear, "object")
        click.echo(f"{left} of {whole} stay: of several repositories, or it cannot be told of which", err=True)
    return chosen
