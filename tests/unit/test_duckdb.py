"""The DuckDB sink and its file: what it makes of files that are not as they should be, and of tables of another age."""

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from consumers.records.opencast import UserAction
from consumers.records.record import columns
from consumers.sinks import open_sink
from consumers.sinks.duckdb import open_duckdb
from consumers.sinks.duckdb_errors import named
from harvester.errors import ConfigError, HarvesterError, InvalidEventError, TransientError
from harvester.url import parse
from tests.useractions import FOUND, useraction_event

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on demand" / "events.duckdb"


async def write(path: Path, *numbers: int, **fields: Any) -> None:
    async with open_sink(f"duckdb:///{path}") as sink:
        assert list(await sink.write([useraction_event(number, **fields) for number in numbers])) == []


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(duckdb.connect(path)) as connection:
        yield connection


def body_of(path: Path) -> bytes:
    return path.read_bytes()


def replace(path: Path, body: bytes) -> None:
    path.write_bytes(body)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def lose(path: Path) -> None:
    """Delete the file, but not its log."""
    path.with_name(path.name + ".wal").write_bytes(b"of the old file")
    path.unlink()


def ids(path: Path) -> list[int]:
    with opened(path) as connection:
        return [row[0] for row in connection.execute("SELECT action_id FROM useractions ORDER BY 1").fetchall()]


async def test_the_table_is_what_the_record_class_says(path: Path) -> None:
    await write(path, 1)
    with opened(path) as connection:
        described = connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 'useractions'").fetchall()
    assert [row[0] for row in described] == [*(column.name for column in columns(UserAction)), "event_rank"]


async def test_every_value_arrives_in_its_type_and_times_are_utc(path: Path) -> None:
    now = datetime(2026, 11, 23, 15, 0, 0, 5, tzinfo=UTC)
    async with open_duckdb(parse(f"duckdb:///{path}"), now=lambda: now) as sink:
        await sink.write([useraction_event(1, context=FOUND, isPlaying=2)])
    with opened(path) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        found = connection.execute(
            "SELECT timestamp, episode_start, event_ingested, is_live, proxies, episode_crn, episode_duration, event_rank "
            "FROM useractions"
        ).fetchone()
    assert found == (
        datetime(2017, 10, 6, 13, 3, 3),  # noqa: DTZ001 - as DuckDB gives it
        datetime(2015, 7, 22, 15, 59),  # noqa: DTZ001
        now.replace(tzinfo=None),
        True,
        '{"proxy1":"198.51.100.2"}',
        "33383",
        11520000,
        25,
    )


async def test_a_table_of_an_older_class_gets_the_columns_it_lacks(path: Path) -> None:
    await write(path, 1)
    with opened(path) as connection:
        for name in ("huid", "proxies", "event_rank"):
            connection.execute(f"ALTER TABLE useractions DROP COLUMN {name}")
    await write(path, 1, 2)
    with opened(path) as connection:
        assert connection.execute("SELECT huid, event_rank FROM useractions").fetchall() == [("81234567", 24)] * 2


async def test_columns_that_are_not_ours_are_left_alone(path: Path) -> None:
    await write(path, 1)
    with opened(path) as connection:
        connection.execute("ALTER TABLE useractions ADD COLUMN note VARCHAR")
        connection.execute("UPDATE useractions SET note = 'kept'")
    await write(path, 1, 2, type="PAUSE")
    with opened(path) as connection:
        found = connection.execute("SELECT note, action_type FROM useractions ORDER BY action_id").fetchall()
    assert found == [("kept", "PAUSE"), (None, "PAUSE")]


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("CREATE TABLE useractions (action_id VARCHAR, mpid BIGINT)", "action_id as VARCHAR.*\n.*mpid as BIGINT"),
        ("CREATE VIEW useractions AS SELECT 1::BIGINT AS action_id", "something else stands where our table should be"),
    ],
)
async def test_something_else_in_the_place_of_the_table_is_a_config_error(path: Path, statement: str, complaint: str) -> None:
    path.parent.mkdir(parents=True)
    with opened(path) as connection:
        connection.execute(statement)
    with pytest.raises(ConfigError, match=complaint):
        await write(path, 1)


@pytest.mark.parametrize("body", [b"", b"<html>" * 5000, b"SQLite format 3\0" * 1000])
async def test_a_file_that_is_no_duckdb_file_is_a_config_error_and_stays_as_it_is(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "x.duckdb"
    replace(path, body)
    with pytest.raises(ConfigError, match=r"x\.duckdb"):
        await write(path, 1)
    assert body_of(path) == body


async def test_f26_a_damaged_file_is_told_with_the_next_commands_and_stays_as_it_is(path: Path) -> None:
    told = r"damaged.*move it.*away.*`harvest queue seek duckdb --to beginning`.*`harvest consume duckdb --until-empty`"
    await write(path, *range(1000))
    whole = body_of(path)
    for damaged in (whole[: len(whole) // 2], whole[:4200] + b"\xff" * 100 + whole[4300:], whole[:100]):
        replace(path, damaged)
        with pytest.raises(ConfigError, match=told):
            await write(path, 1)
        assert body_of(path) == damaged


async def test_a_file_of_a_newer_duckdb_is_a_config_error_that_says_so(path: Path) -> None:
    await write(path, 1)
    replace(path, newer(body_of(path)))
    with pytest.raises(ConfigError, match="upgrade duckdb here"):
        await write(path, 2)


def newer(body: bytes) -> bytes:
    """The file with the format number of years to come: checksum (8 bytes), "DUCK", number (8), more; one block of 4096."""
    block = body[8:12] + (100_000).to_bytes(8, "little") + body[20:4096]
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return checksum.to_bytes(8, "little") + block + body[4096:]


async def test_a_place_nobody_can_write_to_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory.duckdb").mkdir()
    with pytest.raises(ConfigError, match="file is a file"):
        await write(tmp_path / "file" / "x.duckdb", 1)
    with pytest.raises(ConfigError, match=r"directory\.duckdb"):
        await write(tmp_path / "directory.duckdb", 1)


async def test_a_deleted_file_is_made_anew_whatever_was_left_of_it(path: Path) -> None:
    async with open_sink(f"duckdb:///{path}") as sink:
        await sink.write([useraction_event(1)])
        lose(path)
        await sink.write([useraction_event(2)])
    assert ids(path) == [2]


async def test_a_write_leaves_nothing_but_the_file(path: Path) -> None:
    staged = path.with_name(path.name + ".rows.ndjson")
    path.parent.mkdir(parents=True)
    staged.write_bytes(b"left by a kill")
    await write(path, 1)
    assert names(path.parent) == ["events.duckdb"]


async def test_a_path_with_quotes_and_stars_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / 'it\'s *[1]* "x" {a,b}.duckdb'
    async with duckdb_at(path) as sink:
        await sink.write([useraction_event(1)])
    assert ids(path) == [1]


@asynccontextmanager
async def duckdb_at(path: Path) -> Any:
    async with open_duckdb(parse(f"duckdb:///{path}")) as sink:
        yield sink


async def test_a_full_disk_is_waited_out_and_nothing_is_lost(path: Path) -> None:
    code = """
import asyncio, resource, signal, sys
from consumers.sinks import open_sink
from harvester.errors import TransientError
from tests.useractions import useraction_event

async def main():
    async with open_sink(f"duckdb:///{sys.argv[1]}") as sink:
        await sink.write([useraction_event(1)])
        told = 0
        for size in (0, 5000, 100_000, 600_000, resource.RLIM_INFINITY):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                await sink.write([useraction_event(number, type=f"{number * 7919 ** 99}") for number in range(5000)])
            except TransientError:
                told += 1
        assert told >= 2, told

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
"""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, timeout=60)
    assert ids(path) == list(range(5000))


async def test_a_kill_while_the_file_is_made_leaves_none_that_cannot_be_opened(path: Path) -> None:
    code = """
import asyncio, os, signal, sys
import duckdb
from consumers.sinks import open_sink
from tests.useractions import useraction_event

os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_sink(f"duckdb:///{sys.argv[1]}") as sink:
        await sink.write([useraction_event(1)])

asyncio.run(main())
"""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(path)], cwd=ROOT, check=False, timeout=60, env={**os.environ}
    )
    assert ended.returncode < 0
    assert path.name not in names(path.parent)
    await write(path, 1)
    assert ids(path) == [1]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (duckdb.OutOfMemoryException("could not allocate"), TransientError),
        (duckdb.IOException("IO Error: Could not fsync"), TransientError),
        (duckdb.TransactionException("Conflict on update"), TransientError),
        (duckdb.TransactionException("Failed to commit: No space left on device"), TransientError),
        (duckdb.ConversionException("Conversion Error"), InvalidEventError),
        (duckdb.InvalidInputException("Malformed JSON"), InvalidEventError),
        (duckdb.ConstraintException("NOT NULL constraint failed"), InvalidEventError),
        (duckdb.FatalException("invalidated"), ConfigError),
    ],
)
def test_each_trouble_of_duckdb_names_the_next_action(error: duckdb.Error, wanted: type[HarvesterError]) -> None:
    found = named(error, Path("events.duckdb"))
    assert type(found) is wanted
    assert "events.duckdb" in str(found)
    assert str(error).partition("\n")[0] in str(found)


async def test_a_batch_that_duckdb_refuses_is_refused_whole_so_that_it_can_be_bisected(path: Path) -> None:
    await write(path, 1)
    with opened(path) as connection:
        connection.execute("DROP TABLE useractions")
        connection.execute("CREATE TABLE useractions (action_id BIGINT, action_type VARCHAR CHECK (action_type <> 'BAD'))")
    async with open_sink(f"duckdb:///{path}") as sink:
        with pytest.raises(InvalidEventError):
            await sink.write([useraction_event(1), useraction_event(2, type="BAD")])
        assert list(await sink.write([useraction_event(1)])) == []
    assert ids(path) == [1]


async def test_a_thing_is_found_in_a_file_of_a_version_that_marked_no_enrichment(path: Path) -> None:
    await write(path, 1)
    with opened(path) as connection:
        connection.execute("ALTER TABLE useractions DROP event_enrichment")
    async with open_duckdb(parse(f"duckdb:///{path}")) as sink:
        assert [(held.subject, held.enrichment) for held in await sink.find("1")] == [("1", "")]
