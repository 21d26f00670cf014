"""Dead letters as objects: `s3://bucket/prefix` or `file:///srv/letters`, shared by all processes of an installation.

    ids/<id>                                     the letter: what counts
    turns/<serial>.<id>.<group>.<reason>         in the order they came: scans and counts read these names alone
    dues/<group>/<due>.<serial>.<id>             those that are due some day, by that time

The names stand before the letter and are removed after it: one without its letter is passed over, and removed once no writer can
be about to write the letter, so a crash anywhere leaves each letter whole or not there. Letters change on condition, so members
of a group lose no attempt of each other.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import reduce
from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote

import msgspec

from harvester import drivers
from harvester.access import NOBODY, Access
from harvester.coverage import EPOCH
from harvester.crash import point
from harvester.errors import ConfigError, ConflictError, TransientError
from harvester.letters.text import short
from harvester.objects import DRIVERS, open_objects
from harvester.protocols import DeadLetters, Letter, Objects

FORMAT = 1
_AT_ONCE = 16
_PAGE = 64
_TRIES = 20
_REMEMBERED = 10_000
_STALE = 300.0
"""Seconds for which a name has to be seen without its letter before it is removed. A writer that takes half of it stands its
names up again."""
_MICROSECOND = timedelta(microseconds=1)
_SHIFT = 2**62  # so that times before 1970 stand in order, too
T = TypeVar("T")
R = TypeVar("R")


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A letter as it is stored."""

    format: int = FORMAT
    serial: str
    letter: Letter


class _Version(msgspec.Struct):
    format: int = 0


class _Known(NamedTuple):
    kept: _Kept
    tag: str


def open_letters(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[DeadLetters]:
    """The letters under that prefix or in that folder; a bucket is there already, `harvest setup` makes it."""
    return _opened(open_objects(url, access))


async def prepare(url: str, access: Access = NOBODY) -> Sequence[str]:
    """Make the bucket when there is none; what was made, a line each."""
    return await drivers.prepare("store of objects", url, DRIVERS, access)


@asynccontextmanager
async def _opened(opening: AbstractAsyncContextManager[Objects]) -> AsyncIterator["ObjectLetters"]:
    async with opening as objects:
        yield ObjectLetters(objects)


class ObjectLetters:
    """Made by `open_letters`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._last = 0
        self._stale: dict[str, float] = {}

    async def add(self, letters: Sequence[Letter]) -> None:
        point("letters.before_add")
        by_id: dict[str, list[Letter]] = {}
        for letter in letters:
            by_id.setdefault(letter.id, []).append(msgspec.structs.replace(letter, error=short(letter.error)))
        serials = {id_: self._serial() for id_ in by_id}
        await self._each(by_id.items(), lambda item: self._add(item[1], serials[item[0]]))
        point("letters.after_add")

    async def scan(self, group: str, due: datetime | None = None, *, without: str = "") -> AsyncIterator[Letter]:
        prefix = "turns/" if due is None else f"dues/{_part(group)}/"
        until = None if due is None else f"{prefix}{_stamp(due)}~"
        after = ""
        while page := await self._page(prefix, after, until):
            after = page[-1]
            mine = [name for name in page if due is not None or group in ("", _group(name))]
            for name, known in zip(mine, await self._each(mine, self._of), strict=True):
                if known is None or name not in _names(known.kept):
                    await self._sweep(name)
                elif not (due is not None and without and known.kept.letter.stage == without):
                    yield known.kept.letter

    async def requeue(self, ids: Sequence[str], due: datetime) -> None:
        def again(letter: Letter) -> Letter:
            return msgspec.structs.replace(letter, due=due)

        await self._each(ids, lambda id_: self._change(id_, again))

    async def remove(self, ids: Sequence[str]) -> None:
        found = [known.kept for known in await self._each(ids, self._get) if known is not None]
        await self._objects.delete([f"ids/{kept.letter.id}" for kept in found])
        await self._objects.delete([name for kept in found for name in _names(kept)])

    async def finish(self, letters: Sequence[Letter]) -> None:
        await self._each(letters, self._finish)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Group → reason → letters."""
        found: dict[str, Counter[str]] = {}
        async for name in self._objects.names("turns/"):
            found.setdefault(_group(name), Counter())[unquote(name.split(".")[3])] += 1
        return found

    async def _add(self, letters: Sequence[Letter], serial: str) -> None:
        fresh = _Kept(serial=serial, letter=reduce(_again, letters))
        try:
            await self._write(fresh, "")
        except ConflictError:
            await self._change(fresh.letter.id, lambda known: reduce(_again, letters, known), fresh)

    async def _change(self, id_: str, change: Callable[[Letter], Letter], fresh: _Kept | None = None) -> None:
        """Write what `change` makes of the letter as it is; `fresh`: what was to be there if there had been none."""
        for _ in range(_TRIES):
            known = await self._get(id_)
            if known is None and fresh is None:
                return
            if known is None:
                new, before = fresh, []
            else:
                new = _Kept(serial=known.kept.serial, letter=change(known.kept.letter))
                before = _names(known.kept)
            assert new is not None
            try:
                await self._write(new, known.tag if known else "")
            except ConflictError:
                continue
            stale = {*before, *(_names(fresh) if fresh else ())} - {*_names(new)}
            await self._objects.delete(sorted(stale))
            return
        raise TransientError(f"dead letter {id_} is being written by others all the time")

    async def _write(self, kept: _Kept, replaces: str) -> None:
        """All its names every time: so a letter that is added again is found again, whatever befell them."""
        began = time.monotonic()
        await self._put_names(kept)
        await self._objects.put(f"ids/{kept.letter.id}", msgspec.json.encode(kept), replaces=replaces)
        if time.monotonic() - began > _STALE / 2:
            await self._put_names(kept)  # they may have been swept while this process stood still

    async def _put_names(self, kept: _Kept) -> None:
        for name in _names(kept):
            await self._objects.put(name, b"")

    async def _finish(self, letter: Letter) -> None:
        known = await self._get(letter.id)
        if known is None or (known.kept.letter.attempts, known.kept.letter.last) != (letter.attempts, letter.last):
            return
        # Changed in this very moment it stays, and is done once more.
        if await self._objects.delete_as(f"ids/{letter.id}", known.tag):
            await self._objects.delete(_names(known.kept))

    async def _sweep(self, name: str) -> None:
        """Remove a name whose letter is gone, or as it was before, unless a writer may be about to write the letter."""
        now = time.monotonic()
        if now - self._stale.setdefault(name, now) > _STALE:
            # Asked once more: what its writer finished meanwhile is there now.
            known = await self._of(name)
            if known is None or name not in _names(known.kept):
                await self._objects.delete([name])
            del self._stale[name]
        elif len(self._stale) > _REMEMBERED:
            self._stale.clear()

    async def _get(self, id_: str) -> _Known | None:
        stored = await self._objects.get(f"ids/{id_}")
        return None if stored is None else _Known(_decoded(stored.body, id_), stored.tag)

    async def _of(self, name: str) -> _Known | None:
        """The letter that a name is of."""
        return await self._get(name.split(".")[1 if name.startswith("turns/") else 2])

    async def _page(self, prefix: str, after: str, until: str | None) -> list[str]:
        page: list[str] = []
        async for name in self._objects.names(prefix, after):
            if until is not None and name > until:
                break
            page.append(name)
            if len(page) == _PAGE:
                break
        return page

    async def _each(self, items: Iterable[T], act: Callable[[T], Awaitable[R]]) -> list[R]:
        async def one(item: T) -> R:
            async with self._turns:
                return await act(item)

        tasks = [asyncio.ensure_future(one(item)) for item in items]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _serial(self) -> str:
        """Later than every one before in this process, and, as far as clocks go, in the others."""
        self._last = max(time.time_ns(), self._last + 1)
        return f"{self._last:020d}"


def _again(known: Letter, new: Letter) -> Letter:
    """A letter added once more: what it is stays; a retry that counts itself counts the same as one that does not."""
    return msgspec.structs.replace(
        known,
        attempts=max(known.attempts + 1, new.attempts),
        last=max(known.last, new.last),
        due=new.due,
        stage=new.stage,
        reason=new.reason,
        error=new.error,
        version=new.version,
    )


def _names(kept: _Kept) -> list[str]:
    letter = kept.letter
    names = [f"turns/{kept.serial}.{letter.id}.{_part(letter.group)}.{_part(letter.reason)}"]
    if letter.due is not None:
        names.append(f"dues/{_part(letter.group)}/{_stamp(letter.due)}.{kept.serial}.{letter.id}")
    return names


def _group(turn: str) -> str:
    return unquote(turn.split(".")[2])


def _part(text: str) -> str:
    """A text as a part of a name: no dot and no slash in it."""
    return quote(text, safe="").replace(".", "%2E") or "%00"


def _stamp(moment: datetime) -> str:
    return f"{(moment - EPOCH) // _MICROSECOND + _SHIFT:020d}"


def _decoded(body: bytes, id_: str) -> _Kept:
    try:
        found = msgspec.json.decode(body, type=_Version).format
        if found > FORMAT:
            raise ConfigError(f"dead letter {id_} is of format {found}, this version reads up to {FORMAT}: upgrade this process")
        return msgspec.json.decode(body, type=_Kept)
    except ValueError as error:
        raise ConfigError(f"dead letter {id_} is damaged: {error}; restore it, or delete the object ids/{id_}") from error
