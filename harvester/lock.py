"""A lock between processes that knows who holds it and ends with the process, however it ends."""

import fcntl
import os
import socket
import time
from pathlib import Path

_STEP = 0.01


def me() -> str:
    """This process as others should see it."""
    return f"{socket.gethostname()} pid {os.getpid()}"


def holder(path: Path) -> str:
    """Who holds the lock at `path` now; "" when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 1024, 0).decode(errors="replace").strip() or "another process"
    else:
        return ""
    finally:
        os.close(descriptor)


class Lock:
    """An exclusive flock. The file stays when it is released: removing it would let two hold "the" lock."""

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner
        self._descriptor = -1

    def acquire(self, patience: float = 0.25) -> bool:
        """Whether it is ours within `patience` seconds; a little is needed, since a look at the holder locks for a moment."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(descriptor)
                    return False
                time.sleep(_STEP)
            except BaseException:
                os.close(descriptor)
                raise
            else:
                self._descriptor = descriptor
                self._sign(self._owner)
                return True

    def other(self, patience: float = 0.25) -> str:
        """Acquire it; who else holds it when that fails, "" when it is ours now."""
        return "" if self.acquire(patience) else holder(self._path) or "another process"

    def release(self) -> None:
        """Give it back; nothing when it is not held."""
        if self._descriptor >= 0:
            self._sign("")
            os.close(self._descriptor)
            self._descriptor = -1

    def _sign(self, owner: str) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, owner.encode(), 0)
        except OSError:
            # The name is a courtesy. On a full disk it cannot be written, and the lock holds all the same.
            return
