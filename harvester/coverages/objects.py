"""Books as objects, for every store that writes on condition: one object a source, its generations beside it, and leases.

A book changes by read, merge and write on condition: whoever loses reads again, so writers merge by union and none undoes
another. Before that, at most once a minute, the book that is replaced becomes the next of GENERATIONS copies, which are read
when the book is damaged; they are of one epoch, since a reset deletes them.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec
import structlog

from harvester.book import check_clock, decode_book, encode_book, merged, replaced
from harvester.bookfile import GENERATION_AGE, GENERATIONS, AllDamagedError
from harvester.coverage import Book, Coverage
from harvester.crash import point
from harvester.errors import ConfigError, ConflictError, HarvesterError, RefusedError, TransientError
from harvester.protocols import Keys

_TRIES = 50
_LONGEST = 80
_log = structlog.get_logger(__name__)


class _Found(NamedTuple):
    """A book as it is stored. `tag` "": there is none."""

    book: Book
    tag: str
    body: bytes
    damaged: bool


class _Lease(msgspec.Struct, frozen=True):
    owner: str
    token: str
    until: datetime


class ObjectCoverages:
    """Made by the driver of each such store. `term`: how long a lease lasts that is not renewed."""

    def __init__(self, objects: Keys, *, now: Callable[[], datetime], term: timedelta) -> None:
        self._objects = objects
        self._now = now
        self._term = term
        self._turned: dict[str, float] = {}
        self._known: dict[str, tuple[str, Book]] = {}

    async def load(self, source: str) -> Book:
        book = (await self._read(source)).book
        check_clock(source, book, self._now())
        return book

    async def add(self, source: str, new: Book) -> None:
        point("coverage.before_add")
        for _ in range(_TRIES):
            found = await self._read(source)
            book = merged(source, found.book, new, self._now())
            if book == found.book and not found.damaged:
                break
            try:
                await self._write(source, book, found)
                break
            except ConflictError:
                await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - jitter
        else:
            raise TransientError(f"the book of {source} is being written by others all the time")
        point("coverage.after_add")

    async def reset(self, source: str, stream: str, coverage: Coverage) -> None:
        for _ in range(_TRIES):
            try:
                found = await self._read(source)
            except AllDamagedError:
                # The operator was told, and answers with this.
                stored = await self._objects.get(_book(source))
                found = _Found(Book(), stored.tag if stored else "", stored.body if stored else b"", damaged=True)
            try:
                await self._write(source, replaced(found.book, stream, coverage), found)
                return
            except ConflictError:
                await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - jitter
        raise TransientError(f"the book of {source} is being written by others all the time")

    @asynccontextmanager
    async def lease(self, source: str, stream: str, owner: str) -> AsyncIterator[None]:
        name = _lease(source, stream)
        mine = _Lease(owner, secrets.token_hex(8), self._now() + self._term)
        acquiring = asyncio.create_task(self._acquire(name, mine, f"{source} {stream}"))
        renewing: asyncio.Task[None] | None = None
        try:
            await asyncio.shield(acquiring)
            renewing = asyncio.create_task(self._renew(name, mine))
            yield
        finally:
            if renewing is not None:
                renewing.cancel()
            await _whatever_comes(asyncio.create_task(self._end(acquiring, name, mine)))

    async def owners(self, source: str) -> Mapping[str, str]:
        head, found = _lease(source, ""), {}
        async for name in self._objects.names(head):
            lease = _decoded(await self._objects.get(name))
            if lease is not None and lease.until > self._now():
                found[unquote(name.removeprefix(head))] = lease.owner
        return found

    async def _read(self, source: str) -> _Found:
        if not source:
            raise ConfigError("a source needs a name")
        name = _book(source)
        stored = await self._objects.get(name)
        if stored is None:
            return _Found(Book(), "", b"", damaged=False)
        tag, book = self._known.get(source, ("", Book()))
        if tag != stored.tag:
            try:
                book = decode_book(stored.body)
            except ValueError as error:
                return _Found(await self._fallback(source, error), stored.tag, stored.body, damaged=True)
            self._known[source] = (stored.tag, book)
        return _Found(book, stored.tag, stored.body, damaged=False)

    async def _fallback(self, source: str, why: ValueError) -> Book:
        """The generation that knows most: within an epoch a book only grows."""
        best: Book | None = None
        for name in _generations(source):
            stored = await self._objects.get(name)
            try:
                book = decode_book(stored.body) if stored else None
            except ValueError:
                continue
            if book is not None and (best is None or _size(book) > _size(best)):
                best = book
        if best is None:
            raise AllDamagedError(
                f"the book of {source} is damaged in every generation: {why}. Nothing was changed. Next: restore it from a "
                f"backup, or begin anew with `harvest coverage reset {source} --yes`"
            ) from why
        _log.warning("book damaged, an older one is used", source=source, why=str(why))
        return best

    async def _write(self, source: str, book: Book, before: _Found) -> None:
        body, begins = encode_book(book), book.epoch != before.book.epoch
        if before.damaged:
            await self._objects.put(f"{_book(source)}.damaged", before.body)
        if begins and before.tag:
            await self._objects.put(f"{_book(source)}.replaced", before.body)
        elif before.tag and not before.damaged:
            await self._turn(source, before.body)
        point("coverage.in_add")
        tag = await self._objects.put(_book(source), body, replaces=before.tag)
        self._known[source] = (tag, book)
        if begins:
            # Nothing older may be fallen back to.
            first, *others = _generations(source)
            await self._objects.put(first, body)
            await self._objects.delete(others)

    async def _turn(self, source: str, body: bytes) -> None:
        at = time.monotonic()
        if at - self._turned.get(source, -GENERATION_AGE) < GENERATION_AGE:
            return
        self._turned[source] = at
        slot = int(time.time() // GENERATION_AGE) % GENERATIONS
        await self._objects.put(_generations(source)[slot], body)

    async def _acquire(self, name: str, mine: _Lease, what: str) -> None:
        stored = await self._objects.get(name)
        held = _decoded(stored)
        if held is None or held.until <= self._now():
            try:
                await self._objects.put(name, msgspec.json.encode(mine), replaces=stored.tag if stored else "")
                return
            except ConflictError:
                held = _decoded(await self._objects.get(name))
        owner = held.owner if held else "another process"
        raise RefusedError(f"{what} is being harvested by {owner}: stop it, or wait until it is done")

    async def _renew(self, name: str, mine: _Lease) -> None:
        """Lengthen the lease for as long as it is ours. Once another has it, that is so: safety does not need it."""
        told = False
        while True:
            await asyncio.sleep(self._term.total_seconds() / 3)
            try:
                stored = await self._objects.get(name)
                if (_decoded(stored) or mine).token != mine.token:
                    _log.warning("the lease went to another while this process stood still", lease=name)
                    return
                renewed = msgspec.structs.replace(mine, until=self._now() + self._term)
                await self._objects.put(name, msgspec.json.encode(renewed), replaces=stored.tag if stored else "")
                told = False
            except HarvesterError as error:
                if not told:
                    _log.warning("the lease cannot be renewed", lease=name, error=str(error))
                told = True

    async def _end(self, acquiring: "asyncio.Task[None]", name: str, mine: _Lease) -> None:
        """Give the lease back if it is, or becomes, ours; if that fails it ends by itself."""
        await asyncio.wait([acquiring])
        if acquiring.exception() is not None:
            return
        try:
            stored = await self._objects.get(name)
            held = _decoded(stored)
            if stored is not None and held is not None and held.token == mine.token:
                over = msgspec.structs.replace(mine, until=self._now())
                await self._objects.put(name, msgspec.json.encode(over), replaces=stored.tag)
        except HarvesterError as error:
            _log.warning("the lease is not given back, it ends by itself", lease=name, error=str(error))


async def _whatever_comes(task: "asyncio.Task[None]") -> None:
    """Wait for it to its end, also when we are cancelled meanwhile; then that goes on."""
    cut: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cut = error
    if cut is not None:
        raise cut


def _decoded(stored: object) -> _Lease | None:
    body = getattr(stored, "body", b"")
    try:
        return msgspec.json.decode(body, type=_Lease)
    except (ValueError, msgspec.ValidationError):
        return None


def _size(book: Book) -> timedelta:
    return sum((c.read.total + c.settled.total for c in book.streams.values()), timedelta())


def _book(source: str) -> str:
    return f"books/{_name(source)}.json"


def _generations(source: str) -> list[str]:
    return [f"{_book(source)}.{number}" for number in range(1, GENERATIONS + 1)]


def _lease(source: str, stream: str) -> str:
    return f"leases/{_name(source)}/{_name(stream) if stream else ''}"


def _name(text: str) -> str:
    """A name as a part of an object's: no two names give the same."""
    quoted = quote(text, safe="")
    return quoted if len(quoted) <= _LONGEST else f"{quoted[:_LONGEST]}%{blake2b(text.encode(), digest_size=8).hexdigest()}"


def utc_now() -> datetime:
    """The host's clock."""
    return datetime.now(UTC)
