"""SQLite files of ours: made whole or not at all, read by a thread of their own, their errors named by the next action."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import msgspec

from harvester.disk import named, sync_directory
from harvester.errors import ConfigError, PermanentError, TransientError
from harvester.lock import Lock, me

P = ParamSpec("P")
T = TypeVar("T")

PAGE = 16384
"""Bytes of a page: large ones suit records of one or two KiB."""
_PATIENCE = 10.0
_LEAST = 512
"""Bytes of the smallest database there can be."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_OUR_MISTAKES = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE}
_NO_ACCESS = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
# Growing the shared index of the log is the one write whose "disk full" SQLite reports as a failed disk.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_ON_TOP = "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID"


class FullError(TransientError):
    """The disk, or the file's own limit, has no room left; nothing of the transaction was kept."""


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room for it."""
    return getattr(error, "sqlite_errorcode", None) in _FULL


class Kind(NamedTuple):
    """What a file of ours is for, the format this version writes, its tables, and the command that looks into it."""

    name: str
    format: int
    schema: tuple[str, ...]
    check: str = ""


class Database:
    """One connection with a thread of its own: nothing it does blocks the event loop."""

    def __init__(self, path: Path, kind: Kind) -> None:
        self._path = path
        self._kind = kind
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{kind.name}-{path.name}")
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._failed: PermanentError | None = None

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` on the connection's thread, its SQLite errors translated; calls are done in order.

        PermanentError: the disk failed, or the file is no longer the one that was opened; so it stays for every call after.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._run(work, *args, **kwargs))

    def _run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._failed is not None:
            raise self._failed
        assert self._connection is not None
        try:
            with _translating(self._path, self._kind):
                done = work(self._connection, *args, **kwargs)
                self._still_there()
        except PermanentError as error:
            self._failed = error
            raise
        return done

    def _still_there(self) -> None:
        """A file deleted under us takes with it what was acknowledged: not to be noticed would be a silent loss."""
        try:
            same = _identity(self._path) == self._identity
        except FileNotFoundError:
            same = False
        if not same:
            raise PermanentError(f"{self._path} was removed or replaced while it was in use: stop, restore it, start again")

    def open(self, *, busy_timeout: float, writable: bool) -> None:
        """To be called once, on the thread."""
        # The command that looks into the file would have to open it too: it is no way on here.
        kind = self._kind._replace(check="")
        with _translating(self._path, kind):
            if writable and not self._path.exists():
                _create(self._path, kind)
            _refuse_empty(self._path, kind)
            self._identity = _identity(self._path)
            self._connection = _connect(self._path, busy_timeout)
            self._connection.execute(f"PRAGMA query_only = {'OFF' if writable else 'ON'}")
            _check_format(self._connection, self._path, kind)

    def close(self) -> None:
        """To be called once, on the thread."""
        if self._connection is not None:
            self._connection.close()

    @property
    def thread(self) -> ThreadPoolExecutor:
        """Where the connection lives; other blocking work of its owner may be done there in turn."""
        return self._thread


@asynccontextmanager
async def open_database(path: Path, kind: Kind, *, busy_timeout: float, writable: bool = True) -> AsyncIterator[Database]:
    """Open or create the file. ConfigError: damaged, not ours, of a newer format, or no access; nothing is overwritten."""
    database = Database(path, kind)
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(database.thread, lambda: database.open(busy_timeout=busy_timeout, writable=writable))
        yield database
    finally:
        await loop.run_in_executor(database.thread, database.close)
        database.thread.shutdown()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, durable when it ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def meta(connection: sqlite3.Connection) -> Mapping[str, str]:
    """What the file says of itself."""
    return {str(name): str(value) for name, value in connection.execute("SELECT name, value FROM meta")}


def _check_format(connection: sqlite3.Connection, path: Path, kind: Kind) -> None:
    """Raises ConfigError when the file is not of this kind, or a newer version of ours wrote it."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        raise ConfigError(f"{path} is an SQLite file of another program: name another file")
    found = meta(connection)
    if found.get("kind") != kind.name:
        raise ConfigError(f"{path} holds no {kind.name}, but {found.get('kind', 'something else')!r}: name another file")
    if not found.get("format", "").isdigit():
        raise ConfigError(damaged(path, kind, "its format is no number"))
    if int(found["format"]) > kind.format:
        raise ConfigError(f"{path} is of format {found['format']}, this version reads up to {kind.format}: upgrade this process")


@contextmanager
def _translating(path: Path, kind: Kind) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path, kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The latter when SQLite quotes a damaged schema in its complaint.
        raise ConfigError(damaged(path, kind, str(error))) from error
    except OSError as error:
        raise named(error, path) from error


def _translated(error: sqlite3.Error, path: Path, kind: Kind) -> Exception:
    """SQLite's error as one that names the next action; a mistake of ours as it is."""
    # Python's own errors carry no code. Of those only "Could not decode to UTF-8" tells of the file.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT if isinstance(error, sqlite3.OperationalError) else None)
    if code is None or code & 0xFF in _OUR_MISTAKES:
        return error
    if code in _FULL:
        return FullError(f"{path}: no room left ({error})")
    if code & 0xFF in _BUSY:
        return TransientError(f"{path} is locked by another process: {error}")
    if code & 0xFF in _DAMAGED:
        return ConfigError(damaged(path, kind, str(error)))
    if code & 0xFF in _NO_ACCESS:
        return ConfigError(f"{path}: {error}: give this process access to the file and its directory, or name another place")
    return PermanentError(f"{path}: {error}: the disk failed, what it holds now is unknown; look at it and start again")


def damaged(path: Path, kind: Kind, why: str) -> str:
    """What to tell the operator about a file that cannot be trusted."""
    look = f"`{kind.check}` shows what is wrong; " if kind.check else ""
    return (
        f"{path} is damaged: {why}. Nothing was changed. Next: {look}restore the file from a backup, "
        f"or move it and its -wal file aside to begin anew"
    )


def _connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=busy_timeout)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = FAST")  # else deleting on a full disk would first write all of it to the log
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_empty(path: Path, kind: Kind) -> None:
    """SQLite takes an empty file for a new database, and one of a byte; one that was cut so must not be taken for new.

    Never by opening it: closing any descriptor of the file drops the locks that other connections of this process hold on it.
    """
    if path.stat().st_size < _LEAST:
        raise ConfigError(damaged(path, kind, "it is cut"))


def _create(path: Path, kind: Kind) -> None:
    """Made under another name and linked in when it is whole and durable: who dies in between leaves nothing half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(path.with_name(path.name + ".lock"), me())
    if not lock.acquire(_PATIENCE):
        raise TransientError(f"{path} is being made by another process")
    try:
        if not path.exists():
            _refuse_orphan(path, kind)
            new = path.with_name(path.name + ".new")
            _fill(new, kind)
            new.rename(path)
            sync_directory(path.parent)
    finally:
        lock.release()


def _refuse_orphan(path: Path, kind: Kind) -> None:
    log = log_of(path)
    if log.exists() and log.stat().st_size:
        raise ConfigError(damaged(path, kind, f"it is gone, but {log.name} still holds a part of it"))


def _fill(path: Path, kind: Kind) -> None:
    path.unlink(missing_ok=True)
    log_of(path).unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Without auto_vacuum a file could never give space back to a full disk.
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            for statement in (_ON_TOP, *kind.schema):
                connection.execute(statement)
            values = {"kind": kind.name, "format": kind.format, "id": secrets.token_hex(16)}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        # Last, so that all of it is in the file itself and nothing in a log that the rename would leave behind.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
