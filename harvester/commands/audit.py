"""`harvest audit`: the conservation equations, from counts that were stored with the positions they explain."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import click
import msgspec

from harvester.commands import parts, presence
from harvester.commands.options import json_option
from harvester.commands.words import amount_of
from harvester.protocols import Queue
from harvester.service import run_once
from harvester.settings import CoreSettings


class Equation(NamedTuple):
    """One promise in numbers: `left` = the sum of `right`."""

    what: str
    left: tuple[str, int]
    right: tuple[tuple[str, int], ...]

    @property
    def equal(self) -> bool:
        return self.left[1] == sum(amount for _, amount in self.right)

    def __str__(self) -> str:
        sides = f"{self.left[0]} {self.left[1]:,} = " + " + ".join(f"{name} {amount:,}" for name, amount in self.right)
        return f"{'equal  ' if self.equal else 'UNEQUAL'}  {self.what:<24} {sides}"


@runtime_checkable
class Uncounted(Protocol):
    """A queue that keeps no counts: it has those of the process that asks, which is none that did the work."""

    uncounted: str
    """Why, and what tells instead."""


async def equations(queue: Queue) -> list[Equation]:
    """Every equation that can be checked of this queue; what is in flight is in the memory of a process, so 0 here."""
    if isinstance(queue, Uncounted):
        return []
    counts = {owner: Counter(amounts) for owner, amounts in (await queue.counts()).items()}
    log = counts.pop("", Counter())
    # A queue that cannot count in the act of publishing proves less: nothing that is claimed is missing from its log.
    repeated = (("came in a publish that ended uncounted", log["uncounted"]),) if "uncounted" in log else ()
    found = [_stream(owner, amounts) for owner, amounts in sorted(counts.items())]
    claimed = tuple((owner, amounts["published"]) for owner, amounts in sorted(counts.items())) or (("nobody", 0),)
    found.append(Equation("queue", ("messages in its log", log["published"]), (*claimed, *repeated)))
    for group in await queue.groups():
        found += _group(group.name, Counter(group.counts), group.position - group.since)
    return found


def _stream(owner: str, amounts: Mapping[str, int]) -> Equation:
    right = (
        ("published", amounts["published"]),
        ("filtered", amounts["filtered"]),
        ("dead-lettered", amounts["dead_lettered"]),
        ("in flight", 0),
    )
    return Equation(owner, ("read", amounts["read"]), right)


def _group(name: str, amounts: Mapping[str, int], moved: int) -> list[Equation]:
    right = (
        ("delivered", amounts["delivered"]),
        ("filtered", amounts["filtered"]),
        ("dead-lettered", amounts["dead_lettered"]),
        ("in flight", 0),
    )
    return [
        Equation(f"sink {name}", ("consumed", amounts["consumed"]), right),
        Equation(f"sink {name}, position", ("moved over", moved), (("consumed", amounts["consumed"]),)),
    ]


@click.command("audit")
@json_option
def command(as_json: bool) -> int:
    """Check that every event is accounted for. Exit code 1 when a side is missing something."""
    return run_once(_audit(as_json=as_json))


async def _audit(*, as_json: bool) -> int:
    core = parts.settings().get(CoreSettings)
    await presence.need_queue(core)
    async with parts.open_stores(core) as stores:
        found = await equations(stores.queue)
        foreign = await presence.foreign_books(core, stores.queue.id)
        ahead = await presence.books_ahead(core, stores.queue)
        groups = await stores.queue.groups()
        unchecked = stores.queue.uncounted if isinstance(stores.queue, Uncounted) else ""
        waiting = {g.name: g.lag for g in groups}
        skipped = {g.name: g.counts["skipped"] for g in groups if g.counts.get("skipped")}
        held = Counter([letter.group async for letter in stores.letters.scan("")])
    if as_json:
        report = [{"what": e.what, "left": e.left, "right": e.right, "equal": e.equal} for e in found]
        click.echo(unchecked, err=True, nl=bool(unchecked))
        click.echo(
            msgspec.json.encode(
                {"equations": report, "waiting": waiting, "skipped": skipped, "letters": held, "foreign": foreign, "ahead": ahead}
            )
        )
    else:
        if unchecked:
            click.echo(f"unproven {'queue':<24} {unchecked}")
        for equation in found:
            click.echo(str(equation))
        for name, lag in waiting.items():
            click.echo(f"waiting  {name:<24} {amount_of(lag, 'message')} not consumed yet")
        for name, amount in skipped.items():
            click.echo(f"skipped  {name:<24} {amount_of(amount, 'message')} passed over by seek")
        for name, amount in held.items():
            click.echo(f"letters  {name:<24} {amount:,}: harvest dead-letters list --group {name}")
        for name, queue in foreign.items():
            click.echo(
                f"UNEQUAL  {f'book of {name}':<24} is true for queue {queue}, not for the one here: harvest useractions says more"
            )
        for name, mark in ahead.items():
            click.echo(
                f"UNEQUAL  {f'book of {name}':<24} claims {mark.taken:,} messages, and this older copy of the queue lacks some: "
                f"harvest useractions says more"
            )
    return 0 if all(e.equal for e in found) and not foreign and not ahead else 1
