"""A backup is of one moment: whatever is written meanwhile, no part of it claims what another lacks."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester.book import decode_book
from harvester.commands import backup
from harvester.coverage import Coverage, Intervals
from harvester.openbook import OpenBook
from harvester.protocols import Letter, Message
from harvester.settings import CoreSettings, load
from tests.fakes import Clock
from tests.site import Site
from tests.taps import open_stores

START = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
BACKUPS = 8
LETTERS = 100_000
"""More than are repaired while the backups are made."""


def letter(number: int) -> Letter:
    return Letter(
        id=f"{number}", group="opencast", stage="read", reason="schema", error="", body=b"", stream="s", first=START, last=START
    )


async def _write(folder: Path, ready: threading.Event, stop: threading.Event) -> None:
    """What the harvest loop does with a broken record that was mended: publish, cover, then remove its letter."""
    async with open_stores(folder, Clock()) as stores:
        await stores.letters.add([letter(n) for n in range(LETTERS)])
        book = OpenBook(stores.coverages, "opencast", stores.queue, pace=timedelta(0))
        await book.load()
        ready.set()
        for number in range(LETTERS):
            if stop.is_set():
                return
            await stores.queue.publish([Message(f"{number}", b"{}" * 500)])
            await book.add("s", Coverage(read=Intervals([(START + number * STEP, START + (number + 1) * STEP)])))
            await stores.letters.remove([f"{number}"])


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A harvester at work, in a thread of its own."""
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_write(folder, ready, stop)))
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        stop.set()
        thread.join()


def numbers(path: Path, query: str) -> set[int]:
    with closing(sqlite3.connect(path)) as database:
        return {int(number) for (number,) in database.execute(query)}


async def test_nobody_writes_to_queue_or_letters_while_the_books_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    core = load(CoreSettings, environ={}, cwd=tmp_path).get(CoreSettings)
    copied: list[str] = []

    def copying(*_: object) -> None:
        for name in ("queue", "letters"):
            with closing(sqlite3.connect(f"var/{name}.db", timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
            copied.append(name)

    monkeypatch.setattr(backup, "_copy_books", copying)
    async with open_stores(tmp_path / "var", Clock()) as stores, AsyncExitStack() as stack:
        await backup._frozen(core, tmp_path, stack)
        await stores.queue.publish([Message("k", b"{}")])  # as soon as they are copied it goes on
    assert copied == ["queue", "letters"]


def test_no_part_of_a_backup_lacks_what_another_relies_on(tmp_path: Path) -> None:
    site, published = Site(tmp_path), []
    with writing(tmp_path / "var"):
        for number in range(BACKUPS):
            done = site.harvest("backup", f"saved{number}")
            assert done.code == 0, done
    for number in range(BACKUPS):
        saved = tmp_path / f"saved{number}"
        messages = numbers(saved / "queue.db", "SELECT key FROM messages")
        letters = numbers(saved / "letters.db", "SELECT id FROM letters")
        read = decode_book((saved / "coverage/opencast.json").read_bytes()).streams["s"].read.total // STEP
        assert messages == set(range(len(messages)))
        assert read <= len(messages), "the book claims what the queue lacks"
        assert messages | letters == set(range(LETTERS)), "a letter is gone, and what was in it is not in the queue"
        published.append(len(messages))
    assert published[0] < published[-1], "nothing was written meanwhile: this proves nothing"
