"""Going on without a book: where the process keeps nothing between two runs, checkpoints of the archive tell what was read."""

from collections.abc import Mapping, Sequence

from harvester.commands.github_checkpoints import Checkpoint, Fact, newest
from harvester.commands.github_reading import PARTS
from harvester.commands.github_site import Site
from harvester.commands.parts import group_of
from harvester.coverage import Coverage, Interval, Intervals
from harvester.logs import get_logger


def facts(site: Site, checkpoint: Checkpoint, names: Sequence[str]) -> Mapping[str, Fact]:
    """What the next one may take as read, of the streams of these names; nothing unless all sinks have all of it.

    What a queue or a store of dead letters still holds is gone with a container: then it has to be read again.
    """
    refused = sum(counts.get("dead_lettered", 0) for counts in checkpoint.sinks.values())
    missing = {hole.part for hole in checkpoint.holes if not hole.repository} & {group_of(name) for name in site.sinks}
    if refused or missing or checkpoint.dead_letters:
        return {}
    return {
        name: _fact(site.book.coverage(name), starts=checkpoint.live, noted=name.partition("/")[0] not in PARTS) for name in names
    }


def _fact(known: Coverage, *, starts: bool, noted: bool) -> Fact:
    return Fact(
        start=known.start if starts else None,
        read=[*known.read],
        settled=[*known.settled],
        notes=known.notes if noted else b"",
        notes_at=known.notes_at if noted else None,
    )


async def remembered(site: Site) -> bool:
    """Fill a book that was never written with what earlier collections have read and written into all sinks of now. False: there
    is nothing to go on with, or this book knows.
    """
    if not site.book.fresh or site.objects is None:
        return False
    sinks, known = {group_of(name) for name in site.sinks}, dict[str, Coverage]()
    async for kept in newest(site.objects, site.organisation):
        if sinks <= kept.checkpoint.sinks.keys():
            for name, fact in kept.checkpoint.facts.items():
                known[name] = known.get(name, Coverage()) | _coverage(fact)
    there = {stream.name for stream in site.streams}
    begun = {name: one for name, one in known.items() if name in there and one.start}
    for name, one in begun.items():
        await site.book.add(name, one)
    await site.book.store()
    if begun:
        get_logger("github").info("nothing is remembered here: going on where the collections of the archive ended")
    return bool(begun)


def _coverage(fact: Fact) -> Coverage:
    read, settled = (Intervals(Interval(*pair) for pair in pairs) for pairs in (fact.read, fact.settled))
    return Coverage(start=fact.start, read=read, settled=settled, notes=fact.notes, notes_at=fact.notes_at)
