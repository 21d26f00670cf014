"""Is the embedded queue's file whole? Looked at in two passes, each of which tells how far it is."""

import sqlite3
from collections.abc import Callable

import msgspec

from harvester.queuefile import end, groups, oldest

Watch = Callable[[int, int], None]
"""Told, on the connection's thread, how many of how many steps are done: two for each message."""

_ROWS = 10_000
_OPERATIONS = 100_000
"""SQLite tells after so many steps of its machine that it still works."""
_OPERATIONS_A_ROW = 7


def unwatched(done: int, total: int) -> None:
    """For whoever does not want to know."""


def faults(connection: sqlite3.Connection, watch: Watch = unwatched) -> list[str]:
    """What is wrong in the file, a line each.

    The messages are counted first: that reads the file row by row and can tell how far it is, while SQLite's own check, which
    finds most of the file in memory then, is silent for a part of its time.
    """
    try:
        connection.execute("BEGIN")  # one moment of it, while others go on writing
        try:
            return _faults(connection, watch)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
        return [f"it cannot be read: {error}"]


def _faults(connection: sqlite3.Connection, watch: Watch) -> list[str]:
    try:
        amount = _counted(connection, watch)
    except sqlite3.DatabaseError:
        amount = 0  # SQLite's own check knows more of it
    found = _checked_by_sqlite(connection, amount, watch)
    return found if found != ["ok"] else _broken_promises(connection, amount)


def _counted(connection: sqlite3.Connection, watch: Watch) -> int:
    first, amount, more = oldest(connection), 0, True
    at, expected = first, end(connection) - first
    block = "SELECT count(*), max(position) FROM (SELECT position FROM messages WHERE position >= ? ORDER BY position LIMIT ?)"
    while more:
        rows, last = connection.execute(block, (at, _ROWS)).fetchone()
        amount += rows
        more = rows == _ROWS
        at = (last or at) + 1
        watch(amount, 2 * max(expected, amount))
    return amount


def _checked_by_sqlite(connection: sqlite3.Connection, rows: int, watch: Watch) -> list[str]:
    done = 0

    def tick() -> int:
        nonlocal done
        done += _OPERATIONS
        watch(rows + min(rows, done // _OPERATIONS_A_ROW), 2 * rows)
        return 0

    connection.set_progress_handler(tick, _OPERATIONS)
    try:
        return [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    finally:
        connection.set_progress_handler(None, 0)
        watch(2 * rows, 2 * rows)


def _broken_promises(connection: sqlite3.Connection, amount: int) -> list[str]:
    first, behind = oldest(connection), end(connection)
    (last,) = connection.execute("SELECT coalesce(max(position), 0) FROM messages").fetchone()
    found = []
    if last >= behind:
        found.append(f"message {last} lies behind the sequence, which stands at {behind - 1}")
    if amount != behind - first:
        found.append(f"positions {first} to {behind - 1} hold {amount} messages, not {behind - first}")
    for name, base, position, counts in groups(connection):
        if not first <= position <= behind or not base <= position:
            found.append(f"group {name} stands at {position}, begun at {base}, but the queue holds {first} to {behind - 1}")
        consumed = counts.get("consumed", position - base)
        if consumed != position - base:
            found.append(f"group {name} counted {consumed} consumed, but moved over {position - base} messages")
        ends = [counts[key] for key in ("delivered", "filtered", "dead_lettered") if key in counts]
        if ends and sum(ends) != position - base:
            found.append(f"group {name} accounts for {sum(ends)} messages, but moved over {position - base}")
    claimed = connection.execute("SELECT sum(amount) FROM counts WHERE name = 'published'").fetchone()[0]
    if claimed is not None and claimed != behind - 1:
        found.append(f"owners counted {claimed} published, but the sequence stands at {behind - 1}")
    return found
