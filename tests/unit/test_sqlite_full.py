"""The files of the embedded mode on a disk that is full, or that fails."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.errors import TransientError
from harvester.letters import open_letters
from harvester.protocols import Letter, Message, Queue, Subscription
from harvester.queues import open_queue
from harvester.queues.sqlite import SqliteQueue

MIB = 1 << 20
BATCH = 20
BALLAST = "ballast=256KiB"
BATCH_BYTES = BATCH * 2000


def batch(first: int) -> list[Message]:
    return [Message("k", b"%d " % n + os.urandom(2000)) for n in range(first, first + BATCH)]


async def fill(queue: Queue, first: int = 0, most: int = 500) -> int:
    """Publish until the queue is full; the number of the first message that was not acknowledged."""
    told, end = "", first
    for at in range(first, most * BATCH, BATCH):
        try:
            await queue.publish(batch(at), {"published": BATCH}, "s")
        except TransientError as error:
            told, end = str(error), at
            break
    assert "is full" in told
    assert "consumers must drain" in told
    return end


async def drain(subscription: Subscription, first: int) -> int:
    """Receive and commit everything, which must begin at `first` and have no hole; where it ended."""
    at = first
    while deliveries := await subscription.receive(BATCH, 0):
        assert [int(d.message.body.split()[0]) for d in deliveries] == list(range(at, at + len(deliveries)))
        await subscription.commit(deliveries, {"consumed": len(deliveries), "delivered": len(deliveries)})
        at += len(deliveries)
    return at


def mounted(directory: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={4 * MIB}", "tmpfs", str(directory)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def can_mount() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        if not mounted(Path(directory)):
            return False
        subprocess.run(["umount", directory], check=True)
    return True


LIMITS = ["max_bytes", "pages", *(["tmpfs"] if can_mount() else [])]
"""What runs full: our own limit, SQLite's (which answers as a full disk does), and a disk where one can be mounted."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    if not mounted(directory):
        yield directory
        return
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


async def limit_pages(queue: Queue) -> None:
    assert isinstance(queue, SqliteQueue)
    await queue._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 100").fetchall())


@pytest.mark.parametrize("limit", LIMITS)
async def test_f27_a_full_queue_loses_nothing_and_goes_on_when_consumers_have_drained_it(
    limit: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue("small_disk") if limit == "tmpfs" else tmp_path
    options = {"max_bytes": "ballast=0&max_bytes=1MiB", "pages": "ballast=0", "tmpfs": BALLAST}[limit]
    url = f"sqlite:///{directory}/queue.db?{options}"
    async with open_queue(url) as queue:
        if limit == "pages":
            await limit_pages(queue)
        acknowledged = await fill(queue)
        assert acknowledged > 5 * BATCH
        assert await fill(queue, acknowledged) == acknowledged, "without a group nothing may be trimmed"
        async with queue.subscribe("g") as subscription:
            for _ in range(3):
                assert await drain(subscription, acknowledged - await lag(queue)) == acknowledged
                more = await fill(queue, acknowledged)
                assert more > acknowledged, "what every group has committed makes room"
                acknowledged = more
        counts = await queue.counts()
        assert counts[""]["published"] == counts["s"]["published"] == acknowledged
        assert list(await queue.check()) == []


async def lag(queue: Queue) -> int:
    return sum((await queue.lag("g")).values())


@pytest.mark.parametrize("limit", LIMITS)
async def test_f27_a_group_that_has_not_committed_keeps_its_messages_however_full_it_is(
    limit: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue("small_disk") if limit == "tmpfs" else tmp_path
    options = {"max_bytes": "ballast=0&max_bytes=1MiB", "pages": "ballast=0", "tmpfs": BALLAST}[limit]
    async with open_queue(f"sqlite:///{directory}/queue.db?{options}") as queue:
        if limit == "pages":
            await limit_pages(queue)
        await queue.publish(batch(0))
        async with queue.subscribe("slow"):
            pass
        acknowledged = await fill(queue, BATCH)
        async with queue.subscribe("quick") as subscription:
            assert await drain(subscription, 0) == acknowledged
        assert await fill(queue, acknowledged) == acknowledged
        async with queue.subscribe("slow") as subscription:
            assert await drain(subscription, 0) == acknowledged


if "tmpfs" in LIMITS:

    async def test_f27_consumers_commit_on_a_disk_without_a_byte_left_and_publishing_waits_for_room(small_disk: Path) -> None:
        ballast, other = small_disk / "queue.db.ballast", small_disk / "other"
        async with open_queue(f"sqlite:///{small_disk}/queue.db?{BALLAST}") as queue, queue.subscribe("g") as subscription:
            for first in range(0, 5 * BATCH, BATCH):
                await queue.publish(batch(first), {"published": BATCH}, "s")
            assert ballast.exists()
            fill_up(other)
            refused_at = await fill(queue, 5 * BATCH)
            async with queue.subscribe("forgotten"):
                pass
            await queue.forget("forgotten")
            assert await drain(subscription, 0) == refused_at
            async with queue.subscribe("new") as late:
                await late.commit(await late.receive(BATCH, 0))
            with pytest.raises(TransientError, match="full"):
                await queue.publish(batch(refused_at))
            other.unlink()
            await queue.publish(batch(refused_at), {"published": BATCH}, "s")
            assert ballast.exists()
            assert list(await queue.check()) == []

    async def test_f27_a_consumer_that_starts_on_a_full_disk_opens_the_queue_on_the_room_of_its_ballast(small_disk: Path) -> None:
        url = f"sqlite:///{small_disk}/queue.db?{BALLAST}"
        async with open_queue(url) as queue:
            for first in range(0, 5 * BATCH, BATCH):
                await queue.publish(batch(first), {"published": BATCH}, "s")
        fill_up(small_disk / "other")
        async with open_queue(url) as queue, queue.subscribe("g") as subscription:
            assert await drain(subscription, 0) == 5 * BATCH
            with pytest.raises(TransientError, match="full"):
                await queue.publish(batch(5 * BATCH))
        fill_up(small_disk / "another")
        with pytest.raises(TransientError, match="no room left"):
            async with open_queue(url.replace("queue.db", "new.db")):
                pass

    async def test_f27_letters_on_a_full_disk_wait_and_none_is_half_written(small_disk: Path) -> None:
        now, body = datetime.now(UTC), os.urandom(10_000)

        def letter(name: str) -> Letter:
            return Letter(id=name, group="g", stage="write", reason="r", error="e", body=body, first=now, last=now)

        async with open_letters(f"sqlite:///{small_disk}/letters.db") as letters:
            kept, told = 0, ""
            while not told:
                try:
                    await letters.add([letter(f"{kept}{half}") for half in "ab"])
                    kept += 2
                except TransientError as error:
                    told = str(error)
            assert "no room left" in told
            assert kept > 20
            found = [letter.id async for letter in letters.scan("g")]
            assert len(found) == kept
            assert found[-1].endswith("b")


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


PUBLISH_UNTIL_IT_FAILS = """
import asyncio, os, resource, sys
from harvester.errors import PermanentError
from harvester.protocols import Message
from harvester.queues import open_queue

async def main(url, limit):
    async with open_queue(url) as queue:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        failed = 0
        while failed < 2:
            try:
                await queue.publish([Message("k", os.urandom(50_000))])
                print("acknowledged", flush=True)
            except PermanentError as error:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                print(error, flush=True)
                failed += 1

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
STRACE = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=4+"]


def can_trace() -> bool:
    """Whether a tracer is here and may trace."""
    return bool(shutil.which(STRACE[0])) and subprocess.run([*STRACE, "true"], capture_output=True, check=False).returncode == 0


FAILURES = {"write": ([], "300000"), **({"sync": (STRACE, "0")} if can_trace() else {})}
"""A file size limit makes a write fail, in a way that is no full disk to SQLite; a tracer makes a sync fail."""


@pytest.mark.parametrize("failure", FAILURES)
async def test_f27_a_failed_write_or_sync_ends_the_use_of_the_file_and_all_that_was_acknowledged_is_in_it(
    tmp_path: Path, failure: str
) -> None:
    url = f"sqlite:///{tmp_path}/queue.db?ballast=0"
    async with open_queue(url):
        pass
    tracer, limit = FAILURES[failure]
    command = [*tracer, sys.executable, "-c", PUBLISH_UNTIL_IT_FAILS, url, limit]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    acknowledged, told = done.stdout.splitlines()[:-2], done.stdout.splitlines()[-2:]
    assert acknowledged
    assert set(acknowledged) == {"acknowledged"}
    assert all("the disk failed" in line for line in told)
    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM messages").fetchone()[0] >= len(acknowledged)
