"""Appending to the SQLite queue."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from benchmarks.actions import messages
from benchmarks.measure import Cost, Scale, Verdict, cost_of, faster, in_turn
from benchmarks.paths import opened_queue
from harvester.protocols import Message

TARGET = 0.5
BATCH = 1000


async def run(scale: Scale, folder: Path) -> Verdict:
    """Throughput of `publish`, beside a bare `executemany` of the same rows, a transaction a batch, with the same pragmas."""
    held = list(messages(scale.events))
    batches = [held[first : first + BATCH] for first in range(0, len(held), BATCH)]
    turns = iter(range(1000))

    async def ours() -> Cost:
        place = folder / f"ours{next(turns)}"
        place.mkdir()
        async with opened_queue(place) as queue:

            async def publish() -> None:
                for batch in batches:
                    await queue.publish(batch)

            return await cost_of(len(held), publish)

    async def theirs() -> Cost:
        connection = _bare(folder / f"bare{next(turns)}.db")
        try:
            return await cost_of(len(held), lambda: _append(connection, batches))
        finally:
            connection.close()

    return faster("queue: publish of 1,000 messages", TARGET, await in_turn(scale.rounds, ours, theirs), "bare executemany")


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 16384", "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA wal_autocheckpoint = 256")
    connection.execute("CREATE TABLE messages (position INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, headers TEXT, body BLOB)")
    return connection


async def _append(connection: sqlite3.Connection, batches: Sequence[Sequence[Message]]) -> None:
    for batch in batches:
        connection.execute("BEGIN IMMEDIATE")
        rows = ((message.key, None, message.body) for message in batch)
        connection.executemany("INSERT INTO messages (key, headers, body) VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
