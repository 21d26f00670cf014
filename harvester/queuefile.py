"""What is in the embedded queue's file, and the acts upon it. Every function takes the connection and runs on its thread.

Positions are 1, 2, 3, … without a hole. A group's position is that of the first message it has not committed.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from harvester.coverage import Mark
from harvester.crash import point
from harvester.errors import RefusedError
from harvester.protocols import NO_HEADERS, Delivery, Message
from harvester.sqlite import Kind, transaction

QUEUE = Kind(
    "queue",
    1,
    (
        "CREATE TABLE messages (position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, headers TEXT, body BLOB NOT NULL)",
        "CREATE TABLE ages (first INTEGER PRIMARY KEY, at INTEGER NOT NULL)",
        "CREATE TABLE groups (name TEXT PRIMARY KEY, base INTEGER NOT NULL, position INTEGER NOT NULL, counts TEXT NOT NULL)",
        "CREATE TABLE counts (owner TEXT, name TEXT, amount INTEGER NOT NULL, PRIMARY KEY (owner, name)) WITHOUT ROWID",
    ),
    check="harvest queue check",
)
_AGE_STEP = 60_000
"""How finely, in milliseconds, the file remembers when messages came."""
TRIM_AT_ONCE = 5_000
RECEIVE_AT_ONCE = 8 << 20
"""Bytes of bodies after which a batch is long enough."""
_VACUUM_PAGES = 256

_NEWEST = (
    "SELECT seq, key, body FROM sqlite_sequence LEFT JOIN messages ON position = seq WHERE sqlite_sequence.name = 'messages'"
)
_INSERT_AT_ONCE = 200
_INSERT = "INSERT INTO messages (key, headers, body) VALUES (?, ?, ?)"
_INSERT_MANY = _INSERT + ", (?, ?, ?)" * (_INSERT_AT_ONCE - 1)
_READ = "SELECT position, key, headers, body FROM messages WHERE position >= ? ORDER BY position LIMIT ?"
# A named tuple's own constructor is a call in Python: two of them would cost as much as reading the row.
_message = partial(tuple.__new__, Message)
_delivery = partial(tuple.__new__, Delivery)
_headers = msgspec.json.Decoder(dict[str, str])
_counts = msgspec.json.Decoder(dict[str, int])


class Position(NamedTuple):
    """Where a group stands: the first message it ever had to read, the first it has not committed, and what it counted."""

    name: str
    base: int
    position: int
    counts: Mapping[str, int]


def append(
    connection: sqlite3.Connection, messages: Sequence[Message], counts: Mapping[str, int], owner: str, now_ms: int
) -> None:
    """All messages and the counts, durable when it returns."""
    rows = [(key, _encoded(headers) if headers else None, body) for key, body, headers in messages]
    with transaction(connection):
        if rows:
            _remember_age(connection, now_ms)
            _insert(connection, rows)
        if counts:
            connection.executemany(
                "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT (owner, name) DO UPDATE SET amount = amount + excluded.amount",
                [(owner, name, amount) for name, amount in counts.items()],
            )
        point("queue.in_publish")


def end(connection: sqlite3.Connection) -> int:
    """The position the next message will get; by SQLite's own sequence, which no trimming lowers."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'").fetchone()
    return int(row[0]) + 1 if row else 1


def oldest(connection: sqlite3.Connection) -> int:
    """The first position kept; the end when nothing is."""
    (first,) = connection.execute("SELECT min(position) FROM messages").fetchone()
    return int(first) if first is not None else end(connection)


def mark(connection: sqlite3.Connection) -> Mark:
    """How far the queue has come. One statement, since a writer may come between two."""
    row = connection.execute(_NEWEST).fetchone() or (0, None, None)
    return Mark(int(row[0]), _told_apart(row[1], row[2]))


def holds(connection: sqlite3.Connection, mark: Mark) -> bool:
    """Whether the queue had come as far as `mark`, and with that message; what was trimmed can no longer be compared."""
    if mark.taken >= end(connection):
        return False
    row = connection.execute("SELECT key, body FROM messages WHERE position = ?", (mark.taken,)).fetchone()
    return row is None or not mark.last or _told_apart(*row) == mark.last


def read(connection: sqlite3.Connection, position: int, limit: int) -> list[Delivery]:
    """Messages from `position` on: at most `limit`, and no more once RECEIVE_AT_ONCE bytes are together."""
    deliveries: list[Delivery] = []
    size = 0
    cursor = connection.execute(_READ, (position, max(0, limit)))
    for at, key, headers, body in cursor:
        message = _message((key, body, _headers.decode(headers) if headers else NO_HEADERS))
        deliveries.append(_delivery((message, at)))
        size += len(body)
        if size >= RECEIVE_AT_ONCE:
            cursor.close()
            break
    return deliveries


def peek(connection: sqlite3.Connection, position: int, limit: int) -> list[Delivery]:
    """The same; a negative `position` counts from the end."""
    return read(connection, position if position >= 0 else max(1, end(connection) + position), limit)


def lag(connection: sqlite3.Connection, name: str) -> int:
    """How many messages the group has before it; a group that does not exist has all."""
    return end(connection) - reached(connection, name)


def reached(connection: sqlite3.Connection, name: str) -> int:
    """The first position the group has not committed; of a group that does not exist the oldest kept."""
    found = group(connection, name)
    return found.position if found else oldest(connection)


def group(connection: sqlite3.Connection, name: str) -> Position | None:
    row = connection.execute("SELECT name, base, position, counts FROM groups WHERE name = ?", (name,)).fetchone()
    return _position(row) if row else None


def groups(connection: sqlite3.Connection) -> list[Position]:
    return [_position(row) for row in connection.execute("SELECT name, base, position, counts FROM groups ORDER BY name")]


def join(connection: sqlite3.Connection, name: str) -> int:
    """Where the group reads on; a new one begins at the oldest message kept."""
    known = group(connection, name)
    if known is not None:
        return known.position
    with transaction(connection):
        first = oldest(connection)
        connection.execute("INSERT INTO groups VALUES (?, ?, ?, '{}') ON CONFLICT DO NOTHING", (name, first, first))
    return first


def advance(connection: sqlite3.Connection, name: str, first: int, last: int, counts: Mapping[str, int]) -> None:
    """Move the group behind `last` and add its counts. What lies behind it already is left alone, counts and all."""
    with transaction(connection):
        known = group(connection, name)
        if known is None:
            raise RefusedError(f"group {name} was forgotten while it was read")
        if last < known.position and last >= first:
            return
        if first <= last and first != known.position:
            raise RefusedError(f"group {name} stands at {known.position}: committing {first} to {last} would pass over messages")
        total = {**known.counts, **{key: known.counts.get(key, 0) + amount for key, amount in counts.items()}}
        connection.execute(
            "UPDATE groups SET position = ?, counts = ? WHERE name = ?",
            (max(known.position, last + 1), msgspec.json.encode(total).decode(), name),
        )
        point("queue.in_commit")


def move(connection: sqlite3.Connection, name: str, position: int) -> None:
    """The operator's act: read on from `position` (0: the oldest kept), with counts that begin anew.

    What it passes over unread stays counted as `skipped`, the oldest of it as `skipped_from`, until a move back lets it be read.
    """
    with transaction(connection):
        stood = known(connection, name)
        first, behind = oldest(connection), end(connection)
        target = position or first
        if not first <= target <= behind:
            raise RefusedError(
                f"position {position} is not in the queue: it holds {first} to {behind - 1}; {behind} waits for what comes"
            )
        connection.execute(
            "UPDATE groups SET base = ?, position = ?, counts = ? WHERE name = ?",
            (target, target, msgspec.json.encode(_skipped(stood, target)).decode(), name),
        )


def _skipped(stood: Position, target: int) -> dict[str, int]:
    since = stood.counts.get("skipped_from", stood.position)
    amount = stood.counts.get("skipped", 0) + max(0, target - stood.position)
    amount = min(amount, target - since)
    return {"skipped": amount, "skipped_from": since} if amount > 0 else {}


def drop(connection: sqlite3.Connection, name: str) -> None:
    with transaction(connection):
        known(connection, name)
        connection.execute("DELETE FROM groups WHERE name = ?", (name,))


def known(connection: sqlite3.Connection, name: str) -> Position:
    """The group. RefusedError when there is none: a mistyped name must not become a group that keeps every message."""
    found = group(connection, name)
    if found is None:
        names = ", ".join(g.name for g in groups(connection)) or "none yet"
        raise RefusedError(f"there is no group {name!r}; groups are: {names}")
    return found


def all_counts(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Owner → name → amount; "published" of owner "" is proven by the sequence."""
    found: dict[str, dict[str, int]] = {"": {}}
    for owner, name, amount in connection.execute("SELECT owner, name, amount FROM counts ORDER BY owner, name"):
        found.setdefault(owner, {})[name] = amount
    found[""]["published"] = end(connection) - 1
    return found


def trim(connection: sqlite3.Connection, older_than_ms: int | None, share: int = 1) -> bool:
    """Drop messages that every group has committed and that came before then (None: of any age); TRIM_AT_ONCE / share at most.

    Whether more could be dropped. Without a group nothing is: who would have committed it?
    """
    (committed,) = connection.execute("SELECT min(position) FROM groups").fetchone()
    if committed is None:
        return False
    bound = int(committed)
    if older_than_ms is not None:
        # What came within _AGE_STEP after a remembered moment is remembered by it.
        (young,) = connection.execute("SELECT min(first) FROM ages WHERE at > ?", (older_than_ms - _AGE_STEP,)).fetchone()
        bound = bound if young is None else min(bound, int(young))
    first = oldest(connection)
    upto = min(bound, first + TRIM_AT_ONCE // share)
    if upto <= first:
        return False
    with transaction(connection):
        # A group that joined since then stands at the oldest message: ask again inside.
        (committed,) = connection.execute("SELECT min(position) FROM groups").fetchone()
        upto = min(upto, int(committed or 0))
        connection.execute("DELETE FROM messages WHERE position < ?", (upto,))
        connection.execute("DELETE FROM ages WHERE first < (SELECT max(first) FROM ages WHERE first <= ?)", (upto,))
    return upto < bound


def used(connection: sqlite3.Connection) -> int:
    """Bytes that hold something; pages set free by trimming are room."""
    return (_pragma(connection, "page_count") - _pragma(connection, "freelist_count")) * _pragma(connection, "page_size")


def wasteful(connection: sqlite3.Connection) -> bool:
    """Whether more than half of a large file holds nothing."""
    free = _pragma(connection, "freelist_count")
    return free >= 4 * _VACUUM_PAGES and 2 * free > _pragma(connection, "page_count")


def shrink(connection: sqlite3.Connection, share: int = 1) -> bool:
    """Give a part of the free pages back to the disk; whether there are more."""
    connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES // share})").fetchall()
    checkpoint(connection)
    return _pragma(connection, "freelist_count") > 0


def checkpoint(connection: sqlite3.Connection) -> None:
    """Put what the log holds into the file, and give the log's space back."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _told_apart(key: str | None, body: bytes | None) -> str:
    """A digest by which a message is known again; "" for one that is no longer kept."""
    return "" if key is None or body is None else blake2b(key.encode() + b"\0" + body, digest_size=8).hexdigest()


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[str, str | None, bytes]]) -> None:
    """In the order given. Many rows a statement: Python gives up its lock for each, and another thread may take it meanwhile."""
    whole = len(rows) - len(rows) % _INSERT_AT_ONCE
    for first in range(0, whole, _INSERT_AT_ONCE):
        connection.execute(_INSERT_MANY, [value for row in rows[first : first + _INSERT_AT_ONCE] for value in row])
    connection.executemany(_INSERT, rows[whole:])


def _remember_age(connection: sqlite3.Connection, now_ms: int) -> None:
    first = end(connection)
    (newest,) = connection.execute("SELECT at FROM ages ORDER BY first DESC LIMIT 1").fetchone() or (None,)
    if newest is None or not 0 <= now_ms - newest < _AGE_STEP:
        connection.execute("INSERT OR REPLACE INTO ages VALUES (?, ?)", (first, now_ms))


def _position(row: tuple[str, int, int, str]) -> Position:
    return Position(row[0], row[1], row[2], _counts.decode(row[3]))


def _encoded(headers: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(headers)).decode()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
