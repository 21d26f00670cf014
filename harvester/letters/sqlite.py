"""Dead letters in one SQLite file: `sqlite:///var/letters.db?busy_timeout=5`."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from harvester.access import NOBODY, Access
from harvester.coverage import EPOCH
from harvester.crash import point
from harvester.letters.text import short
from harvester.protocols import DeadLetters, Letter
from harvester.sqlite import Database, Kind, open_database, transaction
from harvester.url import database_path, parse

_PAGE = 200
_PAGE_BYTES = 4 << 20
_MICROSECOND = timedelta(microseconds=1)
# Times are microseconds since 1970, so that "due by then" is a comparison of whole numbers.
LETTERS = Kind(
    "dead-letters",
    1,
    (
        """
        CREATE TABLE letters (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, grp TEXT NOT NULL, stage TEXT NOT NULL,
            reason TEXT NOT NULL, error TEXT NOT NULL, body BLOB NOT NULL, key TEXT NOT NULL, stream TEXT NOT NULL,
            position TEXT NOT NULL, event_id TEXT NOT NULL, attempts INTEGER NOT NULL, first INTEGER NOT NULL,
            last INTEGER NOT NULL, due INTEGER, version TEXT NOT NULL
        )
        """,
        "CREATE INDEX letters_by_reason ON letters (grp, reason)",
        "CREATE INDEX letters_by_due ON letters (due, grp) WHERE due IS NOT NULL",
    ),
)
# All that a look for due letters passes over stands in it, in the order asked for: however many wait, a page costs a page.
# Files of before do not have it.
_IN_TURN = "CREATE INDEX IF NOT EXISTS letters_in_turn ON letters (grp, due, number, stage) WHERE due IS NOT NULL"
# The index of the ids is written all over by every batch: kept in memory, it is at least not read from the file again.
_CACHE = "PRAGMA cache_size = -16384"
_COLUMNS = "id, grp, stage, reason, error, body, key, stream, position, event_id, attempts, first, last, due, version"
_DUE = 13
# A letter read, tried again and added with one more attempt counts the same as a fresh one of the same thing.
_ADD = (
    f"INSERT INTO letters ({_COLUMNS}) VALUES ({', '.join('?' * 15)}) ON CONFLICT (id) DO UPDATE SET"  # noqa: S608 - constants
    " attempts = max(attempts + 1, excluded.attempts), last = max(last, excluded.last), due = excluded.due,"
    " stage = excluded.stage, reason = excluded.reason, error = excluded.error, version = excluded.version"
)
_LETTERS = f"SELECT number, {_COLUMNS} FROM letters"  # noqa: S608 - constants
_SCAN = f"{_LETTERS} WHERE number > :after AND (:grp = '' OR grp = :grp) ORDER BY number LIMIT :limit"
# Told which index to use: the planner would read every letter that is due, with its body, to find the first of them.
_SCAN_DUE = (
    f"{_LETTERS} INDEXED BY letters_in_turn WHERE grp = :grp AND due <= :until AND (due, number) > (:due, :after)"
    " AND stage <> :without ORDER BY due, number LIMIT :limit"
)


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    busy_timeout: float = 5.0
    """Seconds to wait for another process that writes."""


def open_letters(url: str, _: Access = NOBODY) -> AbstractAsyncContextManager[DeadLetters]:
    """The letters in the file that `url` names, made when there is none."""
    parsed = parse(url)
    return open_sqlite(database_path(parsed), parsed.options(SqliteOptions))


@asynccontextmanager
async def open_sqlite(path: Path, options: SqliteOptions) -> AsyncIterator["SqliteLetters"]:
    """ConfigError: damaged, no letters, of a newer format, or no access; nothing is overwritten."""
    async with open_database(path, LETTERS, busy_timeout=options.busy_timeout) as database:
        await database.run(_prepared)
        letters = SqliteLetters(database)
        try:
            yield letters
        finally:
            await letters.end()


class _After(NamedTuple):
    """Where a scan goes on: behind this letter."""

    number: int
    due: int


_BEFORE_ALL = _After(number=0, due=-(2**63))


class SqliteLetters:
    """Made by `open_letters`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing = asyncio.Lock()
        self._gathered: list[Letter] = []
        self._next: asyncio.Task[None] | None = None
        self._begun = set[asyncio.Task[None]]()

    async def add(self, letters: Sequence[Letter]) -> None:
        point("letters.before_add")
        self._gathered += letters
        if self._next is None:
            self._next = asyncio.create_task(self._write())
            self._begun.add(self._next)
            self._next.add_done_callback(self._ended)
        await asyncio.shield(self._next)
        point("letters.after_add")

    async def _write(self) -> None:
        """All that came while the batch before was written, in one act: each writes all over the index of the ids."""
        async with self._writing:
            letters, self._gathered, self._next = self._gathered, [], None
            await self._database.run(_add, letters)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # who asked for it may be gone

    async def end(self) -> None:
        """Finish what was begun, also for somebody who is gone: the file is closed next."""
        if self._begun:
            await asyncio.wait(self._begun)

    async def scan(self, group: str, due: datetime | None = None, *, without: str = "") -> AsyncIterator[Letter]:
        after = _BEFORE_ALL
        until = None if due is None else _micros(due)
        while True:
            after, page = await self._database.run(_page, group, until, without, after)
            if not page:
                return
            for letter in page:
                yield letter

    async def requeue(self, ids: Sequence[str], due: datetime) -> None:
        await self._database.run(_each, "UPDATE letters SET due = ? WHERE id = ?", [(_micros(due), id_) for id_ in ids])

    async def remove(self, ids: Sequence[str]) -> None:
        await self._database.run(_each, "DELETE FROM letters WHERE id = ?", [(id_,) for id_ in ids])

    async def finish(self, letters: Sequence[Letter]) -> None:
        rows = [(letter.id, letter.attempts, _micros(letter.last)) for letter in letters]
        await self._database.run(_each, "DELETE FROM letters WHERE id = ? AND attempts = ? AND last = ?", rows)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Group → reason → letters."""
        return await self._database.run(_counts)


def _add(connection: sqlite3.Connection, letters: Sequence[Letter]) -> None:
    with transaction(connection):
        connection.executemany(_ADD, [_row(letter) for letter in letters])


def _each(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    with transaction(connection):
        connection.executemany(statement, rows)


def _prepared(connection: sqlite3.Connection) -> None:
    connection.execute(_CACHE)
    connection.execute(_IN_TURN)


def _page(
    connection: sqlite3.Connection, group: str, until: int | None, without: str, after: _After
) -> tuple[_After, list[Letter]]:
    """Letters behind `after`, and the place to go on from; only a few are in memory, however many there are."""
    statement = _SCAN if until is None else _SCAN_DUE
    letters: list[Letter] = []
    size = 0
    values = {"after": after.number, "due": after.due, "grp": group, "until": until, "without": without, "limit": _PAGE}
    cursor = connection.execute(statement, values)
    for number, *columns in cursor:
        letters.append(_letter(columns))
        after = _After(number, columns[_DUE] or 0)
        size += len(letters[-1].body)
        if size >= _PAGE_BYTES:
            cursor.close()
            break
    return after, letters


def _counts(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for group, reason, amount in connection.execute("SELECT grp, reason, count(*) FROM letters GROUP BY grp, reason"):
        found.setdefault(group, {})[reason] = amount
    return found


def _row(letter: Letter) -> tuple[object, ...]:
    error = short(letter.error)
    due = None if letter.due is None else _micros(letter.due)
    about = (letter.id, letter.group, letter.stage, letter.reason, error, letter.body, letter.key, letter.stream)
    return (
        *about,
        letter.position,
        letter.event_id,
        letter.attempts,
        _micros(letter.first),
        _micros(letter.last),
        due,
        letter.version,
    )


def _letter(columns: Sequence[object]) -> Letter:
    values = dict(zip(Letter.__struct_fields__, columns, strict=True))
    for name in ("first", "last", "due"):
        if isinstance(values[name], int):
            values[name] = _moment(values[name])
    return msgspec.convert(values, Letter)


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def _moment(micros: object) -> datetime:
    assert isinstance(micros, int)
    return EPOCH + micros * _MICROSECOND
