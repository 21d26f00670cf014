"""One book in one file, with its previous generations: `opencast.json`, `opencast.json.1` … `.5`. Blocking; one writer at a time.

The file is replaced whole by a rename after a sync. Before that, at most once a minute, it becomes generation 1 and the others
move on. A damaged book is read from the newest good generation: it lacks facts, so time is read again and none is passed over.
Generations of an earlier epoch are dropped, since falling back to them would undo an operator's reset; the book before the
reset (or the deletion) is kept as `.replaced`, and a damaged one as `.damaged`, for a person to look at. A missing file is a
missing book whatever generations there are: deleting it is a documented way to begin anew.
"""

import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import structlog

from harvester.book import decode_book, encode_book
from harvester.coverage import Book
from harvester.crash import point
from harvester.disk import sync_directory, write_durably
from harvester.errors import ConfigError

GENERATIONS = 5
GENERATION_AGE = 60.0
"""Seconds between two generations."""

_log = structlog.get_logger(__name__)


class AllDamagedError(ConfigError):
    """No generation of a book can be read; a reset by the operator is the way on."""


class Found(NamedTuple):
    """A book as it was found, and whether its own file was damaged."""

    book: Book
    damaged: bool


class BookFile:
    """The file of one source."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        self._known: tuple[bytes | None, Book] = (None, Book())
        self._told: bytes | None = None
        """The damaged book that was warned of: it is read several times before the next write mends it."""

    def read(self) -> Found:
        """What is stored; epoch "" when there is no file. ConfigError: every generation is damaged, or a newer format."""
        try:
            body = self._path.read_bytes()
        except FileNotFoundError:
            return Found(Book(), damaged=False)
        if body == self._known[0]:
            return Found(self._known[1], damaged=False)
        try:
            book = self._decoded(body, self._path)
        except ValueError as error:
            return Found(self._fallback(error, body), damaged=True)
        self._known = (body, book)
        return Found(book, damaged=False)

    def write(self, book: Book, before: Found) -> None:
        """Put `book` in place of `before`; returns = durable. FileNotFoundError: somebody deleted the file since it was read."""
        body = encode_book(book)
        if before.damaged:
            self._copy(self._path, self._beside("damaged"))
        begins = book.epoch != before.book.epoch
        if begins:
            self._begin_generations(before)
        elif not before.damaged:
            self._turn_generations()
        new = write_durably(self._path, body)
        point("coverage.in_add")
        if not begins:
            # A person who deletes it takes no lock, and must not see it come back.
            self._path.stat()
        new.replace(self._path)
        if begins:
            # The only copy of a new epoch: nothing older may be fallen back to.
            write_durably(self._generation(1), body).replace(self._generation(1))
        sync_directory(self._path.parent)
        self._known = (body, book)

    def files(self) -> list[Path]:
        """The file and its generations, newest first, those that there are."""
        return [path for path in (self._path, *map(self._generation, range(1, GENERATIONS + 1))) if path.exists()]

    def _fallback(self, error: ValueError, body: bytes) -> Book:
        for path in self.files()[1:]:
            try:
                book = self._decoded(path.read_bytes(), path)
            except ValueError:
                continue
            if body != self._told:
                _log.warning("book damaged, an older one is used", source=self._source, file=str(path), why=str(error))
                self._told = body
            return book
        files = ", ".join(map(str, self.files()))
        raise AllDamagedError(
            f"the book of {self._source} is damaged in every generation ({files}): {error}. Nothing was changed. "
            f"Next: restore one of them from a backup, or begin anew with `harvest coverage reset {self._source} --yes`"
        ) from error

    def _decoded(self, body: bytes, path: Path) -> Book:
        try:
            return decode_book(body)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def _begin_generations(self, before: Found) -> None:
        if before.book.epoch:
            write_durably(self._beside("replaced"), encode_book(before.book)).replace(self._beside("replaced"))
        elif self._generation(1).exists() and not before.damaged:
            self._generation(1).replace(self._beside("replaced"))
        for number in range(1, GENERATIONS + 1):
            self._generation(number).unlink(missing_ok=True)

    def _turn_generations(self) -> None:
        first = self._generation(1)
        if not self._path.exists() or (first.exists() and 0 <= time.time() - first.stat().st_mtime < GENERATION_AGE):
            return
        for number in range(GENERATIONS - 1, 0, -1):
            if self._generation(number).exists():
                self._generation(number).replace(self._generation(number + 1))
        self._copy(self._path, first)

    def _copy(self, path: Path, to: Path) -> None:
        beside = to.with_name(to.name + ".new")
        beside.unlink(missing_ok=True)
        try:
            os.link(path, beside)
        except OSError:
            # A file system without hard links.
            shutil.copy2(path, beside)
        beside.replace(to)

    def _generation(self, number: int) -> Path:
        return self._beside(str(number))

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{suffix}")
