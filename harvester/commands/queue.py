"""`harvest queue`: look into the queue and move groups."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import click
import msgspec

from harvester.commands import parts, presence
from harvester.commands.acts import done
from harvester.commands.options import confirmed, json_option, yes_option
from harvester.commands.progress import bar
from harvester.commands.words import amount_of
from harvester.errors import InvalidEventError
from harvester.event import decode_event
from harvester.protocols import Group, Queue
from harvester.queues import open_queue
from harvester.screens import plain, plain_json
from harvester.service import run_once
from harvester.settings import CoreSettings


@click.group("queue")
def command() -> None:
    """The queue: a log of events, read by one group for each sink."""


@runtime_checkable
class Watched(Protocol):
    """A queue that tells, on a thread of its own, how far its check is: steps done, of how many."""

    async def check_watched(self, watch: Callable[[int, int], None]) -> Sequence[str]: ...


def _run(act: Callable[[Queue], Awaitable[int]]) -> int:
    async def with_queue() -> int:
        core = parts.settings().get(CoreSettings)
        await presence.need_queue(core)
        async with open_queue(core.queue_url, core) as queue:
            return await act(queue)

    return run_once(with_queue())


@command.command("lag")
@json_option
def lag(as_json: bool) -> int:
    """Messages that each group has not committed yet."""

    async def act(queue: Queue) -> int:
        lags = {g.name: sum((await queue.lag(g.name)).values()) for g in await queue.groups()}
        if as_json:
            click.echo(msgspec.json.encode(lags))
            return 0
        for name, amount in lags.items():
            click.echo(f"{name}  {amount:,}")
        if not lags:
            click.echo("no group has read from this queue yet", err=True)
        return 0

    return _run(act)


@command.command("groups")
@json_option
def groups(as_json: bool) -> int:
    """The groups, where they stand, who reads now."""

    async def act(queue: Queue) -> int:
        found = await queue.groups()
        if as_json:
            click.echo(msgspec.json.encode([g._asdict() for g in found]))
            return 0
        click.echo(f"{'group':<20} {'position':>12} {'lag':>12}  read by")
        for group in found:
            click.echo(f"{group.name:<20} {group.position:>12,} {group.lag:>12,}  {group.owner or 'nobody'}")
        return 0

    return _run(act)


@command.command("peek")
@click.option("--position", type=int, default=-10, show_default=True, help="Where to begin; negative: counted from the end.")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="So many messages.")
def peek(position: int, limit: int) -> int:
    """Print messages as JSON lines, without a group and without moving anything."""

    async def act(queue: Queue) -> int:
        for message, at in await queue.peek(position, limit):
            try:
                decode_event(message.body)
                body: object = msgspec.Raw(message.body)
            except InvalidEventError as error:
                body = {"undecodable": str(error), "body": message.body.decode(errors="backslashreplace")}
            told = {"position": at, "key": message.key, "headers": dict(message.headers), "event": body}
            click.echo(plain_json(msgspec.json.encode(told)))
        return 0

    return _run(act)


async def _checked(queue: Queue) -> Sequence[str]:
    with bar("queue check", 0, unit="messages") as shown:
        if isinstance(queue, Watched):
            return await queue.check_watched(lambda done, total: shown.update(done, count=done // 2, total=total))
        return await queue.check()


def _known(name: str, known: Mapping[str, Group]) -> Group:
    """The group. Exit 2 naming those there are."""
    if name not in known:
        there = f"there are: {', '.join(known)}" if known else "no group has read yet"
        raise click.BadParameter(f"there is no group {name!r}; {there}", param_hint="GROUP")
    return known[name]


@command.command("check")
@json_option
def check(as_json: bool) -> int:
    """Read the whole queue file and say what is wrong with it. Exit code 1 when anything is."""

    async def act(queue: Queue) -> int:
        faults = list(await _checked(queue))
        if as_json:
            click.echo(msgspec.json.encode({"faults": faults}))
        for fault in faults:
            click.echo(plain(fault), err=True)
        click.echo("the queue is damaged" if faults else "the queue is whole", err=True)
        return 1 if faults else 0

    return _run(act)


@command.command("seek")
@click.argument("group")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="beginning|end|POSITION",
    help="Where to read on; a position is that of `queue peek`.",
)
@yes_option
def seek(group: str, target: str, yes: bool) -> int:
    """Let GROUP read on from elsewhere: its sink is written again from there, with the same result.

    \b
    harvest queue seek duckdb --to beginning     refills a deleted DuckDB file
    """

    async def act(queue: Queue) -> int:
        stands = _known(group, {g.name: g for g in await queue.groups()})
        if target == "beginning":
            position = 0
        elif target == "end":
            position = stands.position + stands.lag
        elif target.isdigit():
            position = int(target)
        else:
            raise click.BadParameter(f"{target!r}: write beginning, end or a position", param_hint="--to")
        skipped = position - stands.position
        if position and 0 < skipped <= stands.lag:  # further than that nothing is, and the queue says so
            confirmed(f"{group} would never read {amount_of(skipped, 'message')}. Go on?", yes=yes)
        await queue.seek(group, position)
        done("queue seek", target=group, before=stands.position, after=position)
        click.echo(f"{group}: {amount_of(sum((await queue.lag(group)).values()), 'message')} to read", err=True)
        return 0

    return _run(act)


@command.command("forget")
@click.argument("group")
@yes_option
def forget(group: str, yes: bool) -> int:
    """Drop GROUP: nothing is kept for it any longer, and what waits for it is lost to its sink."""

    async def act(queue: Queue) -> int:
        waits = _known(group, {g.name: g for g in await queue.groups()}).lag
        left = amount_of(waits, "message waits", "messages wait")
        lost = f"{left} for it: it would never get them" if waits else "It has read all"
        confirmed(f"Drop group {group}? {lost}.", yes=yes)
        await queue.forget(group)
        done("queue forget", target=group)
        click.echo(f"{group} is forgotten", err=True)
        return 0

    return _run(act)
