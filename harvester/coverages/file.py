"""Books in a directory, one JSON file a source: `file://var/coverage` (relative) or `file:///srv/coverage` (absolute).

Writers take turns by a lock beside the file and merge by union, so two processes on one directory lose nothing. For processes
of one host, or a file system whose flock works across hosts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from harvester.access import NOBODY, Access
from harvester.book import check_clock, merged, replaced
from harvester.bookfile import AllDamagedError, BookFile, Found
from harvester.coverage import Book, Coverage
from harvester.crash import point
from harvester.disk import named
from harvester.errors import ConfigError, RefusedError, TransientError
from harvester.lock import Lock, holder, me
from harvester.protocols import CoverageStore
from harvester.url import directory_path, parse

T = TypeVar("T")

_LONGEST = 80


class FileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    patience: float = 10.0
    """Seconds to wait while another process writes the same book."""


def open_coverages(
    url: str, _: Access = NOBODY, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AbstractAsyncContextManager[CoverageStore]:
    """The books in the directory that `url` names, made when there is none."""
    parsed = parse(url)
    return open_directory(directory_path(parsed), parsed.options(FileOptions), now)


@asynccontextmanager
async def open_directory(path: Path, options: FileOptions, now: Callable[[], datetime]) -> AsyncIterator["FileCoverages"]:
    """ConfigError: no access."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="coverage")
    store = FileCoverages(path, options, now, thread)
    try:
        await store.prepare()
        yield store
    finally:
        # Let what a cancelled caller began come to its end before the thread is joined, or the loop would wait for it.
        await asyncio.get_running_loop().run_in_executor(thread, int)
        thread.shutdown()


class FileCoverages:
    """Made by `open_coverages`."""

    def __init__(self, path: Path, options: FileOptions, now: Callable[[], datetime], thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._options = options
        self._now = now
        self._thread = thread
        self._books: dict[str, BookFile] = {}

    async def prepare(self) -> None:
        """Make the directory."""
        await self._run(lambda: self._path.mkdir(parents=True, exist_ok=True))

    async def load(self, source: str) -> Book:
        book = (await self._run(lambda: self._book(source).read())).book
        check_clock(source, book, self._now())
        return book

    async def add(self, source: str, new: Book) -> None:
        point("coverage.before_add")
        await self._run(lambda: self._add(source, new))
        point("coverage.after_add")

    async def reset(self, source: str, stream: str, coverage: Coverage) -> None:
        await self._run(lambda: self._reset(source, stream, coverage))

    @asynccontextmanager
    async def lease(self, source: str, stream: str, owner: str) -> AsyncIterator[None]:
        lock = Lock(self._path / f"{_name(source)}+{_name(stream)}.lease", owner)
        try:
            # Taken and given back on one thread: in order, even when the task is cancelled in between.
            other = await self._run(lock.other)
            if other:
                raise RefusedError(f"{source} {stream} is being harvested by {other}: stop it, or wait until it is done")
            yield
        finally:
            # Whoever cancels its holder must not cancel this, too, while it waits for its turn on the thread.
            await asyncio.shield(self._begin(lock.release))

    async def owners(self, source: str) -> Mapping[str, str]:
        return await self._run(lambda: self._owners(source))

    def _owners(self, source: str) -> dict[str, str]:
        head = f"{_name(source)}+"
        leases = [path for path in sorted(self._path.iterdir()) if path.suffix == ".lease" and path.name.startswith(head)]
        held = {unquote(path.stem.removeprefix(head)): holder(path) for path in leases}
        return {stream: owner for stream, owner in held.items() if owner}

    def _add(self, source: str, new: Book) -> None:
        with self._alone(source):
            found = self._book(source).read()
            book = merged(source, found.book, new, self._now())
            if book == found.book and not found.damaged:
                return
            try:
                self._book(source).write(book, found)
            except FileNotFoundError:
                # Deleted while this was written: what was loaded is void, as when it had been deleted before.
                merged(source, self._book(source).read().book, new, self._now())
                raise

    def _reset(self, source: str, stream: str, coverage: Coverage) -> None:
        with self._alone(source):
            try:
                found = self._book(source).read()
            except AllDamagedError:
                # The operator was told, and answers with this.
                found = Found(Book(), damaged=True)
            self._book(source).write(replaced(found.book, stream, coverage), found)

    def _book(self, source: str) -> BookFile:
        if not source:
            raise ConfigError("a source needs a name")
        return self._books.setdefault(source, BookFile(self._path / f"{_name(source)}.json", source))

    @contextmanager
    def _alone(self, source: str) -> Iterator[None]:
        lock = Lock(self._path / f"{_name(source)}.lock", me())
        other = lock.other(self._options.patience)
        if other:
            raise TransientError(f"the book of {source} is being written by {other}")
        try:
            yield
        finally:
            lock.release()

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._begin(work)

    def _begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            raise named(error, Path(error.filename or self._path)) from error


def _name(text: str) -> str:
    """A name as a part of a file name: no two names give the same, and none leaves the directory."""
    quoted = quote(text, safe="")
    return quoted if len(quoted) <= _LONGEST else f"{quoted[:_LONGEST]}%{blake2b(text.encode(), digest_size=8).hexdigest()}"
