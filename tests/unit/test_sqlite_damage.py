"""The files of the embedded mode when they are damaged, newer, or not ours."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harvester.errors import ConfigError, HarvesterError
from harvester.letters import open_letters
from harvester.protocols import Message
from harvester.queues import open_queue

BATCH = 20


def batch(first: int) -> list[Message]:
    return [Message("k", b"%d " % n + os.urandom(2000)) for n in range(first, first + BATCH)]


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
        with pytest.raises(ConfigError, match=r"queue\.db is damaged.*Next: restore.*move it"):
            await use(tmp_path)
        assert path.read_bytes() == body


async def test_f26_a_file_that_cannot_be_opened_is_told_without_a_command_that_could_not_open_it_either(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(ConfigError, match="damaged") as caught:
        await use(tmp_path)
    assert "harvest queue check" not in str(caught.value)


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
        with pytest.raises(ConfigError, match=r"damaged.*`harvest queue check` shows what is wrong"):
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
