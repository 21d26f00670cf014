"""One collection of GitHub: read into the queue, archived, and only then written into warehouses."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from harvester.commands import github_telling as telling
from harvester.commands.collecting import ARCHIVE, SOURCE
from harvester.commands.github_checkpoints import Checkpoint, Hole, Kept, Kind, Standing, id_of, unfinished
from harvester.commands.github_draining import drained
from harvester.commands.github_going_on import facts
from harvester.commands.github_reading import LISTED, PARTS, SWEEP, Part, Reading, Wish
from harvester.commands.github_site import Site
from harvester.commands.harvesting import start_set
from harvester.commands.outlook import Outlook, watched
from harvester.commands.parts import group_of, limits
from harvester.commands.progress import bar
from harvester.commands.times import ordered, past
from harvester.errors import HarvesterError, TransientError
from harvester.logs import get_logger
from harvester.service import CutError
from harvester.settings import CoreSettings
from harvester.sources.github_settings import GithubSettings

_ROUND = 600.0
"""Seconds after which what was read is archived and written, before more is read."""
_SKEW = timedelta(seconds=5)
"""So far apart the clocks of GitHub's servers may be: what a collection claims to hold ends so long before it began."""
_PACE = 1.0
"""Seconds from one write of a checkpoint to the next, at least."""
_DEAR = 10.0
"""So many times as long as a write took, the next one waits."""


class Asked(NamedTuple):
    """What a command was asked for. `since`: a time, or so long ago; `until` None: now."""

    kind: Kind
    since: datetime | timedelta | None = None
    """A time bounds what is read; so long ago only says where new streams begin, and the others go on where they are, as all do
    with None: new ones begin as set for the source.
    """
    until: datetime | None = None
    repositories: Sequence[str] = ()
    goes_on: bool = False
    """Whether streams that are known stay as they are although `since` is given, as with None."""


async def completed(site: Site) -> list[Checkpoint]:
    """Complete what earlier collections were cut off at, oldest first."""
    done: list[Checkpoint] = []
    if site.objects is None:
        get_logger("github").info("nothing is archived (PERSIST_TO_GCS=false): no checkpoint tells what was cut off")
        return done
    async for kept in unfinished(site.objects, site.organisation):
        get_logger("github").warning("completing a collection that was cut off", collection_id=kept.checkpoint.collection_id)
        done.append(await resumed(site, kept))
    return done


async def resumed(site: Site, kept: Kept, only: Sequence[str] = ()) -> Checkpoint:
    """Go on with a collection, with its own range and repositories; what was read is not asked for again.

    `only`: these of them.
    """
    before, names = kept.checkpoint, site.names
    wish = Wish(before.since, before.until, live=False, further_back=before.kind != "scheduled")
    ids = {int(name.partition("/")[2]): one.repository for name, one in before.streams.items()}
    wanted = (names.keys() if before.whole else ids.keys() & names.keys()) & set(site.chosen(only))
    renamed = {name for key, name in ids.items() if key in names} - {*names.values()}
    before.repositories = [name for name in before.repositories if name not in renamed]
    holes = [Hole(repository=name, part="", why="it is not there any more") for key, name in ids.items() if key not in names]
    if only:
        others = {names[key] for key in wanted}
        holes += [hole for hole in before.holes if hole.repository and hole.repository not in others]
    if before.state != "running":
        before.dead_letters = 0  # who resumes has seen to them
    before.state, before.holes, before.ended, before.facts = "running", (), None, {}
    await kept.write()
    return await Collection(site, kept, wish, wanted, holes).run()


async def begun(site: Site, asked: Asked) -> Checkpoint:
    """A new collection, from its first request to the last row. Exit 2 for repositories that are not there."""
    now, ids = site.source.now(), site.chosen(asked.repositories)
    until = min(asked.until or now, now - _SKEW)
    if asked.since is None:
        first = start_set(SOURCE, site.loaded) or now - timedelta(days=site.loaded.get(GithubSettings).lookback_days)
    else:
        first = now - asked.since if isinstance(asked.since, timedelta) else asked.since
    past(first, now, "--since")
    ordered(first, until, "--since/--until", now=now)
    live = asked.until is None and not isinstance(asked.since, datetime)
    back = asked.since is not None and not asked.goes_on
    wish = Wish(first, until, live, further_back=back, sweeps=asked.kind != "backfill")
    checkpoint = Checkpoint(
        collection_id=id_of(datetime.now(UTC)),
        kind=asked.kind,
        organisation=site.organisation,
        since=first if back else _edge(site, ids, first),
        until=until,
        whole=not asked.repositories,
        live=live,
    )
    if asked.repositories:  # who completes it knows by these which are meant, also before its first page
        left, names = [(checkpoint.since, until)], site.names
        checkpoint.streams = {f"{part}/{key}": Standing(repository=names[key], left=left) for key in ids for part in PARTS}
    kept = Kept(site.objects, checkpoint)
    await kept.begin()
    return await Collection(site, kept, wish, ids).run()


def _edge(site: Site, ids: Iterable[int], first: datetime) -> datetime:
    """From where a collection without a range reads: what is known ends there, less the overlap."""
    names = {f"{part}/{key}" for key in ids for part in PARTS}
    edges = [
        (site.book.coverage(stream.name).live_edge or first + stream.timing.overlap) - stream.timing.overlap
        for stream in site.streams
        if stream.name in names
    ]
    return min(edges, default=first)


class Collection:
    """Reads, archives and writes in turns; its checkpoint says how far it is."""

    def __init__(self, site: Site, kept: Kept, wish: Wish, ids: Iterable[int], holes: Sequence[Hole] = ()) -> None:
        self._site = site
        self._kept = kept
        self._checkpoint = kept.checkpoint
        self._holes = holes
        self._wish = wish
        names, wanted = site.names, set(ids)
        self._checkpoint.repositories = sorted({*self._checkpoint.repositories, *(names[key] for key in wanted)})
        self._parts = _parts(site, wanted, wish)
        self._before = {name: Counter(counts) for name, counts in self._checkpoint.counts.items()}
        self._letters = self._checkpoint.dead_letters
        self._away: dict[str, str] = {}
        self._written: dict[str, Counter[str]] = {name: Counter(counts) for name, counts in self._checkpoint.sinks.items()}
        self._next = 0.0
        self._turn = asyncio.Lock()
        self._outlook = Outlook(f"{site.source.name}/{self._checkpoint.collection_id}", site.backfill)
        self._reading = Reading(
            site.source,
            self._parts,
            wish,
            site.stores.queue,
            site.book,
            site.stores.letters,
            organisation=site.organisation,
            names={str(key): name for key, name in names.items()},
            workers=2 * site.loaded.get(GithubSettings).max_workers,
            limits=limits(site.loaded.get(CoreSettings)),
            told=self._note,
        )

    async def run(self) -> Checkpoint:
        """Returns the checkpoint as it ended. CutError: cut by a signal; the next collection completes this one first."""
        began = time.monotonic()
        telling.begins(self._checkpoint, daemon=self._site.daemon)
        try:
            await self._turns()
            await self._end()
        except asyncio.CancelledError as error:
            with suppress(HarvesterError):
                await self._site.book.store()
                await self._write()
            raise CutError(telling.cut(self._checkpoint)) from error
        finally:
            self._outlook.over()
        telling.ended(self._checkpoint, time.monotonic() - began, daemon=self._site.daemon)
        return self._checkpoint

    async def _turns(self) -> None:
        reading, over = self._reading, False
        await reading.begin()
        while not over:
            with bar(self._checkpoint.kind, len(self._parts)) as shown:
                self._shown = shown
                async with watched(self._look):  # the forecast moves also while limits let nothing go
                    await reading.read(_ROUND)
            over = not reading.left
            await self._site.book.store()
            await self._drain()

    async def _drain(self) -> None:
        """The archive, and only when it has all the warehouses: none of them is ever ahead of it."""
        async for name, done in drained(self._site.sinks, ARCHIVE, self._site.loaded, self._site.stores):
            self._written.setdefault(group_of(name), Counter()).update(done.counts)
            self._away.pop(group_of(name), None)
            if done.why:
                self._away[group_of(name)] = done.why
                get_logger("github").warning("a sink was not written", sink=group_of(name), error=done.why)

    def _look(self) -> None:
        done = self._reading.done
        ends = self._outlook.at(done / len(self._parts)) if self._parts else None
        self._shown.update(done, count=self._reading.events, ends=ends)

    async def _note(self) -> None:
        """After a page: the bar, and the checkpoint when it is time for it."""
        self._look()
        if time.monotonic() < self._next or self._turn.locked():
            return
        async with self._turn:
            began = time.monotonic()
            try:
                await self._write()
            except TransientError as error:
                get_logger("github").warning("the checkpoint was not written", error=str(error))
            now = time.monotonic()
            self._next = now + max(_PACE, _DEAR * (now - began))

    async def _write(self) -> None:
        found, reading = self._checkpoint, self._reading
        touched = [part for part in self._parts if part.stream.name in reading.touched and part.name in PARTS]
        reading.touched.clear()
        found.streams = {**found.streams, **{part.stream.name: reading.standing(part) for part in touched}}
        names = {*self._before, *reading.counts}
        nothing = Counter[str]()
        found.counts = {n: self._before.get(n, nothing) + reading.counts.get(n, nothing) for n in sorted(names)}
        found.dead_letters = self._letters + reading.dead_letters
        found.sinks = {name: dict(counts) for name, counts in self._written.items()}
        found.holes = [*self._holes, *reading.holes]
        await self._kept.write()

    async def _end(self) -> None:
        found, reading = self._checkpoint, self._reading
        found.manifests = await self._manifests()
        reading.touched = {part.stream.name for part in self._parts}
        await self._write()
        found.holes = [*found.holes, *(Hole(repository="", part=sink, why=why) for sink, why in self._away.items())]
        broken = {hole.repository for hole in found.holes} | {one.repository for one in found.streams.values() if one.left}
        found.completed = [name for name in found.repositories if name not in broken]
        letters = found.dead_letters + sum(counts.get("dead_lettered", 0) for counts in self._written.values())
        whole = not found.holes and not letters and len(found.completed) == len(found.repositories)
        found.state = "complete" if whole else "partial" if found.completed or not found.repositories else "failed"
        found.facts = facts(self._site, found, [part.stream.name for part in self._parts])
        found.ended = datetime.now(UTC)
        await self._kept.write()

    async def _manifests(self) -> Sequence[str]:
        """The manifests that were written since this collection began."""
        if self._site.objects is None:
            return ()
        began = datetime.fromisoformat(self._checkpoint.collection_id)
        return [name async for name in self._site.objects.names("_manifests/", f"_manifests/{began:%Y-%m-%d/%H%M%SZ}")]


def _parts(site: Site, wanted: set[int], wish: Wish) -> list[Part]:
    """The streams that are read: the list of repositories, and those of the repositories that are asked for."""
    found, names = [], site.names
    for stream in site.streams:
        part, _, key = stream.name.partition("/")
        if part == LISTED:
            found.append(Part(stream, "", part))
        elif int(key) in wanted and (part in PARTS or (part == SWEEP and _sweeps(site, key, wish))):
            found.append(Part(stream, names[int(key)], part))
    return found


def _sweeps(site: Site, key: str, wish: Wish) -> bool:
    """Not of a repository that was never read: everything of it comes anyhow."""
    return wish.live and wish.sweeps and bool(site.book.coverage(f"pulls/{key}").read)
