"""The files of the embedded mode on a bad day: full, damaged, newer, not ours, failing."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.errors import ConfigError, HarvesterError, TransientError
from harvester.letters import open_letters
from harvester.protocols import Letter, Message, Queue, Subscription
from harvester.queues import open_queue
from harvester.queues.sqlite import SqliteQueue
from tests.unit import children

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


# Full


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
            assert await drain(subscription, 0) == refused_at
            async with queue.subscribe("new") as late:
                await late.commit(await late.receive(BATCH, 0))
            with pytest.raises(TransientError, match="full"):
                await queue.publish(batch(refused_at))
            other.unlink()
            await queue.publish(batch(refused_at), {"published": BATCH}, "s")
            assert ballast.exists()
            assert list(await queue.check()) == []

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


def test_f27_a_write_that_fails_ends_the_use_of_the_file_and_leaves_it_whole(tmp_path: Path) -> None:
    """A file size limit makes the operating system refuse a write: to SQLite that is a failed disk, not a full one."""
    code = (
        "import asyncio, resource, sys\n"
        "from harvester.errors import PermanentError\n"
        "from harvester.protocols import Message\n"
        "from harvester.queues import open_queue\n"
        "async def main():\n"
        "    async with open_queue(sys.argv[1]) as queue:\n"
        "        await queue.publish([Message('k', b'0')])\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "        for n in range(2):\n"
        "            try:\n"
        "                await queue.publish([Message('k', b'x' * 1_000_000)])\n"
        "            except PermanentError as error:\n"
        "                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "                print(error)\n"
        "asyncio.run(main())\n"
    )
    told = children.run(code, f"sqlite:///{tmp_path}/queue.db?ballast=0").stdout.splitlines()
    assert len(told) == 2
    assert all("the disk failed" in line for line in told)
    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT body FROM messages").fetchall() == [(b"0",)]


# Damaged


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A queue file with 100 messages and a group half-way."""
    import asyncio

    directory = tmp_path_factory.mktemp("whole")

    async def make() -> None:
        async with open_queue(f"sqlite:///{directory}/queue.db?ballast=0") as queue, queue.subscribe("g") as subscription:
            for first in range(0, 5 * BATCH, BATCH):
                await queue.publish(batch(first), {"published": BATCH}, "s")
            await subscription.commit(await subscription.receive(BATCH, 0), {"consumed": BATCH, "delivered": BATCH})

    asyncio.run(make())
    return (directory / "queue.db").read_bytes()


async def use(directory: Path) -> list[str]:
    """Everything that reads the queue, and a publish; what its check says."""
    async with open_queue(f"sqlite:///{directory}/queue.db?ballast=0&busy_timeout=0.1") as queue:
        faults = list(await queue.check())
        await queue.groups()
        await queue.counts()
        await queue.peek(0, 1000)
        async with queue.subscribe("g") as subscription:
            while deliveries := await subscription.receive(BATCH, 0):
                await subscription.commit(deliveries, {"consumed": len(deliveries), "delivered": len(deliveries)})
        await queue.publish(batch(5 * BATCH), {"published": BATCH}, "s")
        return faults


async def judge(directory: Path, body: bytes) -> str:
    """How a queue of these bytes ends: "works", or the error's text. Any other exception fails the test."""
    path = directory / "queue.db"
    path.write_bytes(body)
    try:
        faults = await use(directory)
    except HarvesterError as error:
        return str(error)
    finally:
        for name in ("queue.db-wal", "queue.db-shm"):
            (directory / name).unlink(missing_ok=True)
    return "works" if not faults else str(faults)


@pytest.mark.parametrize("keep", [0, 1, 15, 16, 99, 100, 511, 4096, 16383, 16384, 3 * 16384, 4 * 16384 + 7, 0.5, 0.9])
async def test_f26_a_cut_file_is_told_as_damaged_with_the_next_commands(tmp_path: Path, whole: bytes, keep: float) -> None:
    ended = await judge(tmp_path, whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    assert ended != "works"
    assert "damaged" in ended or "[" in ended


async def test_f26_a_damaged_file_is_not_overwritten(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "queue.db"
    for body in (b"", b"no database at all" * 1000, whole[:8000], b"\0" * 100 + whole[100:]):
        path.write_bytes(body)
        with pytest.raises(ConfigError, match=r"queue\.db is damaged.*harvest queue check.*move it"):
            await use(tmp_path)
        assert path.read_bytes() == body


async def test_f26_any_flipped_byte_of_the_first_page_is_survived_or_told(tmp_path: Path, whole: bytes) -> None:
    schema = whole.index(b"CREATE TABLE") - 200
    for at in [*range(0, 120, 3), *range(schema, 16384, 211)]:
        body = bytearray(whole)
        body[at] ^= 0xFF
        assert await judge(tmp_path, bytes(body))


async def test_f26_a_flipped_page_of_messages_is_told_by_readers_and_by_check(tmp_path: Path, whole: bytes) -> None:
    body = bytearray(whole)
    at = len(body) - 3 * 16384
    body[at : at + 64] = b"\xff" * 64
    (tmp_path / "queue.db").write_bytes(body)
    async with open_queue(f"sqlite:///{tmp_path}/queue.db?ballast=0") as queue:
        assert list(await queue.check()) != []
        with pytest.raises(ConfigError, match="damaged"):
            await queue.peek(0, 1000)


async def test_a_queue_gone_from_beside_its_log_is_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "queue.db-wal").write_bytes(b"acknowledged messages")
    with pytest.raises(ConfigError, match=r"queue\.db-wal still holds a part of it"):
        await use(tmp_path)
    assert not await asyncio.to_thread((tmp_path / "queue.db").exists)


# Newer, or not ours


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 2 WHERE name = 'format'")
        connection.commit()


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE meta")
        connection.commit()


@pytest.mark.parametrize(("harm", "seen"), [(make_newer, "format 2.*up to 1.*upgrade"), (make_foreign, "of another program")])
async def test_a_file_of_a_newer_format_or_of_another_program_is_refused(
    tmp_path: Path, harm: Callable[[Path], None], seen: str
) -> None:
    urls = {"queue": f"sqlite:///{tmp_path}/queue.db?ballast=0", "letters": f"sqlite:///{tmp_path}/letters.db"}
    async with open_queue(urls["queue"]), open_letters(urls["letters"]):
        pass
    for name in urls:
        harm(tmp_path / f"{name}.db")
    with pytest.raises(ConfigError, match=seen):
        await open_queue(urls["queue"]).__aenter__()
    with pytest.raises(ConfigError, match=seen):
        await open_letters(urls["letters"]).__aenter__()


async def test_letters_are_no_queue(tmp_path: Path) -> None:
    async with open_letters(f"sqlite:///{tmp_path}/letters.db"):
        pass
    with pytest.raises(ConfigError, match="holds no queue, but 'dead-letters'"):
        await open_queue(f"sqlite:///{tmp_path}/letters.db").__aenter__()


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory.db").mkdir()
    for path in ("file/queue.db", "directory.db"):
        with pytest.raises(ConfigError, match=r"another place|damaged"):
            await open_queue(f"sqlite:///{tmp_path}/{path}?ballast=0").__aenter__()


async def test_damaged_letters_are_told_with_their_own_command(tmp_path: Path) -> None:
    (tmp_path / "letters.db").write_bytes(b"x" * 10_000)
    with pytest.raises(ConfigError, match=r"letters\.db is damaged"):
        await open_letters(f"sqlite:///{tmp_path}/letters.db").__aenter__()
