"""The sink stdout: what it does when its reader is gone, slow, a terminal, or a full disk."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from consumers.sinks.stdout import ReaderGoneError, open_stdout
from harvester.errors import PermanentError, TransientError
from tests.useractions import useraction_event

ROOT = Path(__file__).parents[2]


def printed(path: Path) -> bytes:
    return (path / "out.ndjson").read_bytes()


async def test_without_a_reader_ends_cleanly() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        async with open_stdout(fd=write) as sink:
            with pytest.raises(ReaderGoneError) as caught:
                await sink.write([useraction_event(1)])
    finally:
        os.close(write)
    assert isinstance(caught.value, PermanentError)
    assert caught.value.exit_code == 1


async def test_a_reader_that_does_not_read_holds_neither_the_loop_nor_the_end() -> None:
    read, write = os.pipe()
    try:
        async with open_stdout(fd=write) as sink:
            stuck = asyncio.create_task(sink.write([useraction_event(number, type="x" * 1000) for number in range(1000)]))
            first = await asyncio.to_thread(os.read, read, 10)
            assert first == b'{"action_i'
        with pytest.raises(TransientError):
            await stuck
    finally:
        os.close(read)
        os.close(write)


async def test_a_line_torn_by_a_full_disk_is_finished_before_the_next(tmp_path: Path) -> None:
    code = """
import asyncio, os, resource, signal, sys
from consumers.sinks.stdout import open_stdout
from harvester.errors import TransientError
from tests.useractions import useraction_event

async def main():
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    async with open_stdout(fd=fd) as sink:
        for size in (700, 701, 5000, 2**30):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            try:
                await sink.write([useraction_event(number) for number in range(20)])
            except TransientError:
                continue
    os.close(fd)

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
asyncio.run(main())
"""
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(tmp_path / "out.ndjson")], cwd=ROOT, check=True, timeout=60
    )
    assert {msgspec.json.decode(line)["action_id"] for line in printed(tmp_path).splitlines()} == set(range(20))


async def test_control_characters_of_terminals_are_escaped(tmp_path: Path) -> None:
    with (tmp_path / "out.ndjson").open("wb") as out:
        async with open_stdout(fd=out.fileno()) as sink:
            await sink.write([useraction_event(1, type="\x1b[31m \x9b31m \x7f é")])
    body = printed(tmp_path)
    assert rb"\u001b[31m \u009b31m \u007f " + "é".encode() in body
