"""Room for the embedded queue: what goes when space runs out, and what is kept back so that consumers can always commit.

Messages that every group has committed go when they are old, and sooner when the file or the disk is full; others never do.
Publishing stops while the disk could not take it, or while the ballast is gone: what room is left then belongs to consumers.
"""

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from harvester import queuefile
from harvester.coverage import EPOCH
from harvester.disk import Ballast, free, nearly_full
from harvester.errors import TransientError
from harvester.sqlite import PAGE, is_full, log_of

T = TypeVar("T")

_TRIM_EVERY = timedelta(minutes=1)
_PATIENCE = 1.0
"""Seconds that one publish may spend on making room; the next one goes on."""
_LOG = 512
"""Pages after which the log is put into the file."""
_LEAST_SHARE = 64
_MARGIN = 16 * PAGE
_RETRY_AFTER = 5.0


class Room:
    """What one queue file may take. `max_bytes` None: as much as the disk holds; `ballast` 0: nothing is kept back."""

    def __init__(self, path: Path, max_bytes: int | None, ballast: int, retention: timedelta) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept_back = ballast
        self._ballast = Ballast(path.with_name(path.name + ".ballast"), ballast)
        self._retention = retention
        self._trimmed = EPOCH

    def prepare(self, connection: sqlite3.Connection) -> None:
        """To be called once, before anything is written."""
        # When the disk is full, the log must fit into the freed ballast to be put into the file.
        pages = max(8, min(_LOG, self._kept_back // 4 // PAGE)) if self._kept_back else _LOG
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._ballast.make()

    def give_up_ballast(self) -> bool:
        """To be called when a full disk does not even let the file be opened; whether that gave it room."""
        return self._ballast.free()

    def trim_at_times(self, connection: sqlite3.Connection, now: datetime) -> None:
        """Once a minute drop a part of what is old; the next call goes on when there is more."""
        if self._trimmed <= now < self._trimmed + _TRIM_EVERY:
            return
        try:
            more = queuefile.trim(connection, millis(now - self._retention))
            if queuefile.wasteful(connection):
                more = queuefile.shrink(connection) or more
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            more = False  # `fill` will notice, and knows more ways
        self._trimmed = EPOCH if more else now

    def fill(self, connection: sqlite3.Connection, size: int, act: Callable[[], None]) -> None:
        """Do `act`, which writes `size` bytes. TransientError: there is no room for it, nothing was written."""
        for _ in range(2):
            try:
                self._make(connection, size)
                act()
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                self._reclaim(connection)
            else:
                return
        raise self._full("the disk has no room left")

    def drain(self, connection: sqlite3.Connection, act: Callable[[], T]) -> T:
        """Do what a consumer needs, even on a full disk: first the log gives its space back, then the ballast goes."""
        for relief in (self._relieve, self._sacrifice):
            try:
                return act()
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
            relief(connection)
        return act()

    def _make(self, connection: sqlite3.Connection, size: int) -> None:
        if self._max_bytes is not None:
            more = True
            while queuefile.used(connection) >= self._max_bytes and more:
                more = queuefile.trim(connection, None)
            if queuefile.used(connection) >= self._max_bytes:
                raise self._full(f"it holds its {self._max_bytes} bytes")
        if self._ballast.whole() and self._fits(size):
            return
        self._reclaim(connection)
        if not self._ballast.whole() and (nearly_full(self._path.parent) or not self._ballast.make()):
            raise self._full("the disk has no room left for its ballast")
        if not self._fits(size):
            raise self._full("the disk has no room left")

    def _fits(self, size: int) -> bool:
        """Whether the disk can take the batch twice, in the log and in the file, beside what the log holds already."""
        log = log_of(self._path)
        return free(self._path.parent) > (log.stat().st_size if log.exists() else 0) + 2 * size + _MARGIN

    def _full(self, why: str) -> TransientError:
        return TransientError(
            f"queue {self._path} is full ({why}): consumers must drain it, or give it more room; nothing is lost meanwhile",
            retry_after=_RETRY_AFTER,
        )

    def _reclaim(self, connection: sqlite3.Connection) -> None:
        """Give the disk back a part of what every group has committed. That needs a little room itself: try with ever less."""
        share, until = 1, time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            try:
                if not queuefile.trim(connection, None, share) and not queuefile.shrink(connection, share):
                    return
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
                if share < _LEAST_SHARE:
                    share *= 8
                elif not self._ballast.free():
                    return

    def _relieve(self, connection: sqlite3.Connection) -> None:
        """Put the log into the file; on the ballast's room when there is no other."""
        try:
            queuefile.checkpoint(connection)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            if self._ballast.free():
                self._relieve(connection)

    def _sacrifice(self, connection: sqlite3.Connection) -> None:
        self._ballast.free()
        self._relieve(connection)


def millis(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
