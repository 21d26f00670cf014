"""Files that survive: written whole or not at all, and a reserve for the hour when the disk is full."""

import errno
import os
import shutil
from pathlib import Path

from harvester.errors import ConfigError, HarvesterError, PermanentError, TransientError

_NO_WAY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
ROOM = 4
"""A ballast is made when this many times its size are free."""
ENOUGH = 0.05
"""The disk counts as full until this share of it is free."""


def named(error: OSError, path: Path) -> HarvesterError:
    """What the operating system said about `path`, as an error that names the next action."""
    text = f"{path}: {error.strerror or error}"
    if error.errno in _NO_WAY:
        return ConfigError(f"{text}: give this process access, or name another place")
    if error.errno == errno.EIO:
        return PermanentError(f"{text}: the disk failed, what it holds now is unknown; look at it and start again")
    return TransientError(text)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, body: bytes) -> Path:
    """Write and sync `body` beside `path`, under the name that is returned: renaming it makes it true."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        beside.unlink()
        raise
    finally:
        os.close(descriptor)
    return beside


def free(directory: Path) -> int:
    """Bytes that may still be written there."""
    return shutil.disk_usage(directory).free


def nearly_full(directory: Path) -> bool:
    """Whether less than ENOUGH of the disk is free."""
    usage = shutil.disk_usage(directory)
    return usage.free < usage.total * ENOUGH


class Ballast:
    """Space that is really taken, to be given back when nothing else is left. Size 0: none is wanted."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def whole(self) -> bool:
        """Whether it is there in its full size."""
        try:
            return self._size == 0 or self._path.stat().st_size >= self._size
        except FileNotFoundError:
            return False

    def make(self) -> bool:
        """Whether it is whole now: made anew when the disk has ROOM for it."""
        if self.whole():
            return True
        if free(self._path.parent) < ROOM * self._size:
            return False
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            _take(descriptor, self._size)
        except OSError:
            self.free()
            return False
        finally:
            os.close(descriptor)
        return True

    def free(self) -> bool:
        """Whether there was something to give back."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


def _take(descriptor: int, size: int) -> None:
    """Really allocate `size` bytes: a sparse file would hold nothing back."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    # Random bytes, since a file system that compresses stores zeros for nothing.
    block = os.urandom(min(size, 1 << 20))
    left = size
    while left:
        left -= os.write(descriptor, block[:left])
