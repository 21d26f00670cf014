"""Objects in a directory, a file each: `file://var/objects` (relative) or `file:///srv/objects` (absolute).

A file is replaced whole by a rename after a sync; writers on condition take turns by a lock. For processes of one host, or a
file system whose flock works across hosts.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec

from harvester.access import NOBODY, Access
from harvester.disk import named, sync_directory, write_durably
from harvester.errors import ConflictError, TransientError
from harvester.lock import Lock, me
from harvester.protocols import Objects, Stored
from harvester.url import directory_path, parse

T = TypeVar("T")
_LOCKS = ".locks"
_KNOWN = 4096
"""Folders that are known to be durable."""
_TURNS: dict[Path, threading.Lock] = {}
"""Folder → the threads of this process write in it one after the other, whichever store of it they have."""


class FileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    patience: float = 10.0
    """Seconds to wait while another process writes on condition."""


def open_objects(url: str, _: Access = NOBODY) -> AbstractAsyncContextManager[Objects]:
    """The objects in the directory that `url` names, made with the first of them."""
    parsed = parse(url)
    return _opened(FileObjects(directory_path(parsed), parsed.options(FileOptions)))


def cannot(path: Path) -> str:
    """Why no objects can be kept in that directory, which need not be there yet; "" when they can. Makes nothing."""
    path = path.absolute()
    there = next(one for one in (path, *path.parents) if os.path.lexists(one))
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"this process may not write into {there}"


@asynccontextmanager
async def _opened(objects: "FileObjects") -> AsyncIterator["FileObjects"]:
    yield objects


class FileObjects:
    """Made by `open_objects`."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        self._path = path
        self._options = options
        self._turn = _TURNS.setdefault(path.absolute(), threading.Lock())
        self._durable: set[Path] = set()

    async def get(self, name: str) -> Stored | None:
        return await self._run(lambda: _read(self._path / name))

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        return await self._run(lambda: self._put(name, body, replaces))

    async def delete(self, names: Sequence[str]) -> None:
        await self._run(lambda: self._delete(names))

    async def delete_as(self, name: str, tag: str) -> bool:
        return await self._run(lambda: self._delete_as(name, tag))

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for name in await self._run(lambda: self._walk(prefix, after)):
            yield name

    def _put(self, name: str, body: bytes, replaces: str | None) -> str:
        path = self._path / name
        with self._alone():
            self._make(path.parent)
            found = _read(path)
            if replaces is not None and replaces != (found.tag if found else ""):
                raise ConflictError(f"{path}: another wrote it first")
            write_durably(path, body).replace(path)
            sync_directory(path.parent)
        return _tag(body)

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def _delete_as(self, name: str, tag: str) -> bool:
        with self._alone():
            found = _read(self._path / name)
            if found is None or found.tag != tag:
                return False
            (self._path / name).unlink()
        return True

    def _walk(self, prefix: str, after: str) -> list[str]:
        # What the prefix names as a folder is walked, not all there is.
        folder = self._path / prefix.rpartition("/")[0]
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".new") if folder.is_dir() else ()
        names = (path.relative_to(self._path).as_posix() for path in files)
        return sorted(name for name in names if name.startswith(prefix) and name > after and not name.startswith(_LOCKS))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # A flock goes to whoever asks first, which is the thread that gave it back: others of its process would wait in vain.
        with self._turn:
            self._make(self._path / _LOCKS)
            lock = Lock(self._path / _LOCKS / "write", me())
            if other := lock.other(self._options.patience):
                raise TransientError(f"objects in {self._path} are being written by {other}")
            try:
                yield
            finally:
                lock.release()

    def _make(self, folder: Path) -> None:
        """Have it, with its name and those of all above it durable: a synced file is gone with the folder that it is in.

        A name that is there may be another's who died before its sync, so each is synced once by each of us.
        """
        there, inside = folder.is_dir(), folder.is_relative_to(self._path)
        if there and (not inside or folder in self._durable):
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        # What holds the store need not be readable for us.
        with suppress(PermissionError) if there and folder == self._path else nullcontext():
            sync_directory(folder.parent)
        if len(self._durable) >= _KNOWN:
            self._durable.clear()
        self._durable.add(folder)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._guarded, work)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except OSError as error:
            raise named(error, Path(error.filename or self._path)) from error


def _read(path: Path) -> Stored | None:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    return Stored(body, _tag(body))


def _tag(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()
