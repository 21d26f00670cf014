"""What is kept on this host: the queue, the books, the letters, and the disks they are on."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from harvester import disk
from harvester.commands import presence
from harvester.commands.checks import Check, Finding, State, Tell, split
from harvester.commands.room import existing
from harvester.commands.words import amount_of
from harvester.coverages import open_coverages
from harvester.errors import HarvesterError
from harvester.letters import open_letters
from harvester.protocols import Queue
from harvester.queues import open_queue
from harvester.settings import CoreSettings
from harvester.url import database_path, directory_path, parse

_LOW = 0.1
"""Share of a disk that should be free."""


def store_checks(core: CoreSettings, seconds: float) -> list[Check]:
    """The checks of everything that is kept."""

    async def queue(tell: Tell) -> None:
        await _queue(core, tell, seconds / 2)

    async def coverage(tell: Tell) -> None:
        await _coverage(core, tell)

    async def letters(tell: Tell) -> None:
        await _letters(core, tell)

    async def disks(tell: Tell) -> None:
        for finding in await asyncio.to_thread(lambda: list(_disks(core))):
            tell(finding)

    return [Check("queue", queue), Check("coverage", coverage), Check("letters", letters), Check("disk", disks)]


@runtime_checkable
class _Watched(Protocol):
    async def check_watched(self, watch: Callable[[int, int], None]) -> Sequence[str]: ...


class _EnoughError(Exception):
    """As much was looked at as there was time for."""


async def _queue(core: CoreSettings, tell: Tell, seconds: float) -> None:
    path = await presence.missing(core.queue_url)
    if path is not None:
        named = await presence.foreign_books(core, "")
        if named:
            fix = "bring it back, check HARVESTER_QUEUE_URL, or begin anew: " + ", ".join(
                f"harvest coverage reset {source} --yes" for source in named
            )
            tell(Finding("queue", "fail", f"there is none at {path}, but the book of {', '.join(named)} names one", fix))
        else:
            tell(Finding("queue", "ok", f"none yet at {path}: the first harvest makes it"))
        return
    if parse(core.queue_url).scheme == "sqs":
        from harvester.queues.sqs import examined

        if None in (await examined(core.queue_url, core)).values():
            return  # the check of SQS tells it; to open the queue would make it
    async with open_queue(core.queue_url, core) as queue:
        groups = await queue.groups()
        reads = ", ".join(f"{g.name} has {g.lag:,} to read" for g in groups) or "no group reads it yet"
        for source, named_ in (await presence.foreign_books(core, queue.id)).items():
            fix = f"give HARVESTER_QUEUE_URL the old one, or begin anew: harvest coverage reset {source} --yes"
            tell(Finding("queue", "fail", f"the book of {source} is true for another queue ({named_})", fix))
        for source, mark in (await presence.books_ahead(core, queue)).items():
            text = f"the book of {source} claims {mark.taken:,} messages, but this is an older copy that lacks some of them"
            fix = f"bring back the newer file or the older book, or begin anew: harvest coverage reset {source} --yes"
            tell(Finding("queue", "fail", text, fix))
        faults, whole = await _looked_through(queue, seconds)
        for fault in faults:
            tell(Finding("queue", "fail", fault, "restore it from a backup; harvest queue check tells all that is wrong"))
        if not faults:
            seen = "whole" if whole else f"no fault in {seconds:g} s (all of it: harvest queue check)"
            tell(Finding("queue", "ok", f"{seen}; {reads}"))


async def _looked_through(queue: Queue, seconds: float) -> tuple[Sequence[str], bool]:
    """What is wrong, and whether all of it was looked at: a large file takes longer than anybody waits for here."""
    until, late = time.monotonic() + seconds, False

    def watch(_: int, __: int) -> None:
        nonlocal late
        if time.monotonic() > until:
            late = True
            raise _EnoughError

    try:
        faults = await (queue.check_watched(watch) if isinstance(queue, _Watched) else queue.check())
    except _EnoughError:
        faults = []
    return [] if late else faults, not late


async def _coverage(core: CoreSettings, tell: Tell) -> None:
    if not await asyncio.to_thread(presence.has_books, core.coverage_url):
        tell(Finding("coverage", "ok", "none yet: the first harvest makes it"))
        return
    async with open_coverages(core.coverage_url, core) as store:
        for source in core.sources:
            try:
                book = await store.load(source)
            except HarvesterError as error:
                tell(Finding("coverage", "fail", *split(str(error))))
                continue
            for stream, owner in (await store.owners(source)).items():
                tell(Finding("leases", "ok", f"{source}/{stream} is harvested by {owner}"))
            gaps = {name: len(coverage.gaps()) for name, coverage in book.streams.items()}
            if total := sum(gaps.values()):
                text = f"{source}: {amount_of(total, 'gap')} in {', '.join(n for n, amount in gaps.items() if amount)}"
                tell(Finding("coverage", "warn", text, f"harvest coverage fill {source}; harvest coverage gaps lists them"))
            else:
                tell(Finding("coverage", "ok", f"{source}: {amount_of(len(gaps), 'stream')}, no gaps"))


async def _letters(core: CoreSettings, tell: Tell) -> None:
    if await presence.missing(core.letters_url):
        tell(Finding("letters", "ok", "none yet"))
        return
    async with open_letters(core.letters_url, core) as letters:
        counts = await letters.counts()
    total = sum(sum(reasons.values()) for reasons in counts.values())
    tell(Finding("letters", "ok", f"the store can be read; {amount_of(total, 'letter')} in it"))


def _disks(core: CoreSettings) -> Iterator[Finding]:
    """Each folder: may we write there, and is there room? Nothing is made."""
    for folder in dict.fromkeys(map(existing, _folders(core))):
        name = f"disk: {folder}"
        try:
            with tempfile.TemporaryFile(dir=folder):
                usage = shutil.disk_usage(folder)
        except OSError as error:
            yield Finding(name, "fail", *split(str(disk.named(error, folder))))
            continue
        share = usage.free / usage.total
        text = f"{share:.0%} free, {usage.free / 2**30:,.1f} of {usage.total / 2**30:,.1f} GiB"
        if share >= _LOW:
            yield Finding(name, "ok", text)
        else:
            state: State = "fail" if share < disk.ENOUGH else "warn"
            yield Finding(name, state, text, f"make room: under {disk.ENOUGH:.0%} the queue takes nothing more")


def _folders(core: CoreSettings) -> Iterator[Path]:
    for url in (core.queue_url, core.coverage_url, core.letters_url):
        parsed = parse(url)
        if parsed.scheme == "sqlite":
            yield database_path(parsed).parent
        elif parsed.scheme == "file":
            yield directory_path(parsed)
    if "duckdb" in core.sinks:
        yield core.duckdb_path.parent
