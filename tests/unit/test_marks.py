"""Marks: a book knows how far its queue had come, so that an older copy of that queue is noticed."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from harvester.book import decode_book, encode_book, merged, replaced
from harvester.coverage import Book, Coverage, Intervals, Mark
from harvester.errors import RefusedError
from harvester.openbook import OpenBook
from harvester.protocols import Marked, Message, Queue
from harvester.queues import open_queue
from harvester.queues.sqlite import open_queue as open_at
from tests.fakes import HOUR, NOON, SOURCE, STREAM, Clock
from tests.taps import open_stores
from tests.unit.queuefiles import batch, url

READ = Coverage(start=NOON - HOUR, read=Intervals([(NOON - HOUR, NOON)]))


def marked(queue: Queue) -> Marked:
    assert isinstance(queue, Marked)
    return queue


async def mark_after(directory: Path, *messages: Message) -> Mark:
    async with open_queue(url(directory)) as queue:
        await queue.publish(messages)
        return await marked(queue).mark()


async def holds(directory: Path, mark: Mark) -> bool:
    async with open_queue(url(directory)) as queue:
        return await marked(queue).holds(mark)


async def test_a_queue_holds_every_mark_of_its_own_past(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path)) as queue:
        marks = [await marked(queue).mark()]
        assert marks == [Mark(0)]
        for first in range(0, 40, 10):
            await queue.publish(batch(first, 10))
            marks.append(await marked(queue).mark())
        assert [mark.taken for mark in marks] == [0, 10, 20, 30, 40]
        assert all([await marked(queue).holds(mark) for mark in marks])


async def test_an_older_copy_does_not_hold_what_came_after_it(tmp_path: Path) -> None:
    old, now = tmp_path / "old", tmp_path / "now"
    kept = await mark_after(now, *batch(0, 10))
    shutil.copytree(now, old)
    assert not await holds(old, await mark_after(now, *batch(10, 1)))
    assert await holds(old, kept)


async def test_a_copy_that_went_on_by_itself_is_told_apart_though_it_came_as_far(tmp_path: Path) -> None:
    old, now = tmp_path / "old", tmp_path / "now"
    await mark_after(now, *batch(0, 10))
    shutil.copytree(now, old)
    mark = await mark_after(now, *batch(10, 5))
    await mark_after(old, *batch(100, 50))
    assert not await holds(old, mark)
    assert await holds(now, mark)


async def test_a_message_that_is_no_longer_kept_is_taken_on_trust(tmp_path: Path) -> None:
    clock = Clock()
    async with open_at(url(tmp_path, "ballast=0&retention_days=0"), now=clock) as queue:
        await queue.publish(batch(0, 10))
        mark = await marked(queue).mark()
        async with queue.subscribe("g") as subscription:
            await subscription.commit(await subscription.receive(10, 0))
        clock.advance(timedelta(days=1))
        await queue.publish(batch(10, 1))
        assert [delivery.position for delivery in await queue.peek(0, 10)] == [11]
        assert await marked(queue).holds(mark)
        assert (await marked(queue).mark()).taken == 11


async def test_a_queue_of_which_nothing_is_kept_still_tells_how_far_it_had_come(tmp_path: Path) -> None:
    async with open_queue(url(tmp_path)) as queue:
        await queue.publish(batch(0, 10))
    with closing(sqlite3.connect(tmp_path / "queue.db")) as file, file:
        file.execute("DELETE FROM messages")
    async with open_queue(url(tmp_path)) as queue:
        assert await marked(queue).mark() == Mark(10)


def test_a_book_keeps_the_mark_of_the_queue_that_had_come_further() -> None:
    stored = Book(epoch="e", queue="q", mark=Mark(20, "b"))
    for mark in (None, Mark(10, "a"), Mark(20, "b")):
        assert merged("s", stored, Book(epoch="e", queue="q", mark=mark), NOON).mark == Mark(20, "b")
    assert merged("s", stored, Book(epoch="e", queue="q", mark=Mark(30, "c")), NOON).mark == Mark(30, "c")
    assert (stored | Book(mark=Mark(30, "c"))).mark == (Book(mark=Mark(30, "c")) | stored).mark == Mark(30, "c")
    assert decode_book(encode_book(stored)) == stored


def test_what_an_operator_states_has_no_mark_but_what_was_read_beside_it_keeps_it() -> None:
    book = Book(epoch="e", queue="q", mark=Mark(20, "b"), streams={"a": READ, "b": READ})
    one = replaced(book, "a", READ)
    assert one.mark == Mark(20, "b")
    assert replaced(replaced(one, "b", Coverage()), "a", READ).mark is None


async def test_f09_a_book_that_claims_more_than_its_queue_holds_is_refused_with_the_ways_on(tmp_path: Path) -> None:
    async with open_stores(tmp_path, Clock()) as stores:
        book = OpenBook(stores.coverages, SOURCE, stores.queue, pace=timedelta(0))
        await book.load()
        await stores.queue.publish(batch(0, 10))
        await book.add(STREAM, READ)
        again = OpenBook(stores.coverages, SOURCE, stores.queue)
        await again.load()
        assert again.coverage(STREAM) == READ
        stored = await stores.coverages.load(SOURCE)
        claims = Book(epoch=stored.epoch, queue=stored.queue, mark=Mark(11, "x"))
        await stores.coverages.add(SOURCE, claims)
        with pytest.raises(RefusedError, match="older copy") as caught:
            await again.load()
        for way in ("newer queue", "book that was saved", "harvest coverage set", f"harvest coverage reset {SOURCE} --yes"):
            assert way in str(caught.value)
