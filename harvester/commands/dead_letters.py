"""`harvest dead-letters`: what could not be finished, with its reason, and trying it again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
import msgspec

from consumers.sinks import SINKS
from harvester.commands import parts, presence
from harvester.commands.acts import done
from harvester.commands.options import confirmed, json_option, yes_option
from harvester.commands.times import parse_time, shown
from harvester.commands.words import amount_of
from harvester.faults import unknown
from harvester.letters import open_letters
from harvester.measures import LETTER_REASONS
from harvester.protocols import DeadLetters, Letter
from harvester.screens import plain, plain_json
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources import SOURCES

F = TypeVar("F", bound=Callable[..., object])
_BLOCK = 500


@click.group("dead-letters")
def command() -> None:
    """Dead letters: events a sink refused, records a source could not read, events written without their enrichment."""


def _chosen_by(function: F) -> F:
    """The options that choose letters."""
    for option in (
        click.option("--group", default="", help="Only of this sink or source.  [default: any]"),
        click.option("--reason", default="", help="Only with this reason.  [default: any]"),
        click.option("--since", metavar="TIME", help="Only those first seen since.  [default: ever]"),
    ):
        function = option(function)
    return function


@command.command("list")
@_chosen_by
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show so many at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, without the bodies.")
def list_(group: str, reason: str, since: str | None, limit: int, as_json: bool) -> int:
    """List letters, oldest first."""

    async def act(letters: DeadLetters, core: CoreSettings) -> int:
        count = 0
        async for letter in _matching(letters, core, group, reason, since):
            count += 1
            if count > limit:
                continue
            if as_json:
                click.echo(plain_json(msgspec.json.encode({k: v for k, v in _facts(letter).items() if k != "body"})))
            else:
                due = f"due {shown(letter.due)}" if letter.due else "waits for you"
                why = f"{letter.stage}/{letter.reason}"
                click.echo(f"{letter.id}  {letter.group}  {why}  {letter.attempts}×  {shown(letter.last)}  {due}")
                click.echo(f"    {plain(letter.error)[:160]}")
        more = f", {limit:,} shown" if count > limit else ""
        click.echo(f"{amount_of(count, 'letter')}{more}" if count else "no letters", err=True)
        return 0

    return run_once(_with_letters(act))


@command.command("show")
@click.argument("letter_id", metavar="ID")
@json_option
def show(letter_id: str, as_json: bool) -> int:
    """Show one letter with its original bytes; the first digits of its id are enough."""

    async def act(letters: DeadLetters, core: CoreSettings) -> int:  # noqa: ARG001 - one shape for all
        found = [x async for x in letters.scan("") if x.id.startswith(letter_id)]
        if len(found) != 1:
            click.echo(f"{_beginning(len(found), letter_id)}: harvest dead-letters list", err=True)
            return 1
        if as_json:
            click.echo(plain_json(msgspec.json.encode(_facts(found[0]))))
            return 0
        for name, value in _facts(found[0]).items():
            if name != "body" and value not in (None, ""):
                text = shown(value) if isinstance(value, datetime) else plain(str(value))
                click.echo(f"{name + ':':<10} {text}")
        click.echo()
        click.echo(plain(found[0].body.decode(errors="backslashreplace")))
        return 0

    return run_once(_with_letters(act))


@command.command("requeue")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_chosen_by
@click.option("--all", "every", is_flag=True, help="All letters.")
@click.option("--dry-run", is_flag=True, help="Say how many, and stop.")
def requeue(ids: tuple[str, ...], group: str, reason: str, since: str | None, every: bool, dry_run: bool) -> int:
    """Make letters due: their sink, or source, tries them again by itself."""

    async def act(letters: DeadLetters, core: CoreSettings) -> int:
        chosen = await _ids(letters, core, ids, group, reason, since)
        if not dry_run:
            for i in range(0, len(chosen), _BLOCK):
                await letters.requeue(chosen[i : i + _BLOCK], datetime.now(UTC) - timedelta(seconds=1))
            if chosen:
                done("dead-letters requeue", letters=len(chosen), group=group, reason=reason, since=since)
        click.echo(f"{_would(len(chosen), dry_run=dry_run)} due", err=True)
        return 0

    _want_a_choice(ids, group, reason, since, every)
    return run_once(_with_letters(act))


@command.command("purge")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_chosen_by
@click.option("--all", "every", is_flag=True, help="All letters.")
@click.option("--dry-run", is_flag=True, help="Say how many, and stop.")
@yes_option
def purge(ids: tuple[str, ...], group: str, reason: str, since: str | None, every: bool, dry_run: bool, yes: bool) -> int:
    """Remove letters for good."""

    async def act(letters: DeadLetters, core: CoreSettings) -> int:
        chosen = await _ids(letters, core, ids, group, reason, since)
        if not dry_run and chosen:
            confirmed(f"Remove {amount_of(len(chosen), 'letter')} for good?", yes=yes)
            for i in range(0, len(chosen), _BLOCK):
                await letters.remove(chosen[i : i + _BLOCK])
            done("dead-letters purge", letters=len(chosen), group=group, reason=reason, since=since)
        click.echo(f"{_would(len(chosen), dry_run=dry_run)} removed", err=True)
        return 0

    _want_a_choice(ids, group, reason, since, every)
    return run_once(_with_letters(act))


def _want_a_choice(ids: tuple[str, ...], group: str, reason: str, since: str | None, every: bool) -> None:
    if not (ids or group or reason or since or every):
        raise click.UsageError("say which: ids, --group, --reason, --since or --all")


async def _with_letters(act: Callable[[DeadLetters, CoreSettings], Awaitable[int]]) -> int:
    core = parts.settings().get(CoreSettings)
    if await presence.missing(core.letters_url):
        return await act(presence.NoLetters(), core)
    async with open_letters(core.letters_url, core) as letters:
        return await act(letters, core)


async def _matching(
    letters: DeadLetters, core: CoreSettings, group: str, reason: str, since: str | None
) -> AsyncIterator[Letter]:
    first = parse_time(since, core.timezone, "--since") if since else None
    await _known(letters, group, reason)
    async for letter in letters.scan(group):
        if reason in ("", letter.reason) and (first is None or letter.first >= first):
            yield letter


async def _known(letters: DeadLetters, group: str, reason: str) -> None:
    """Exit 2 for a group or a reason that there is not, and of which there is no letter."""
    groups, reasons = {*SINKS, *SOURCES}, {*LETTER_REASONS} - {"other"}
    if group in {"", *groups} and reason in {"", *reasons}:
        return
    for name, found in (await letters.counts()).items():
        groups.add(name)
        reasons.update(found)
    for kind, given, there in (("group", group, groups), ("reason", reason, reasons)):
        if given and given not in there:
            raise click.BadParameter(unknown(kind, given, there), param_hint=f"--{kind}")


async def _ids(
    letters: DeadLetters, core: CoreSettings, ids: tuple[str, ...], group: str, reason: str, since: str | None
) -> list[str]:
    """The ids of the letters chosen. Exit 2 when one that is given is the beginning of no letter's id, or of several."""
    found = [x.id async for x in _matching(letters, core, group, reason, since)]
    for given in ids:
        amount = sum(one.startswith(given) for one in found)
        if amount != 1:
            raise click.BadParameter(f"{_beginning(amount, repr(given))}: harvest dead-letters list", param_hint="ID")
    return [one for one in found if not ids or one.startswith(ids)]


def _beginning(amount: int, text: str) -> str:
    return f"{amount_of(amount, 'letter')} {'begins' if amount == 1 else 'begin'} with {text}"


def _would(amount: int, *, dry_run: bool) -> str:
    return f"{amount_of(amount, 'letter')} {'would be' if dry_run else 'is' if amount == 1 else 'are'}"


def _facts(letter: Letter) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.structs.asdict(letter)
    return {**facts, "body": letter.body.decode(errors="backslashreplace")}
