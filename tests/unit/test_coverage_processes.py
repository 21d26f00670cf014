"""Books in files under several processes, and under one that is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harvester.coverage import Book, Coverage
from harvester.coverages import open_coverages
from harvester.errors import RefusedError, TransientError
from tests.unit import children
from tests.unit.books import DAY, fact, grow, hours

ADD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from harvester.coverage import Book, Coverage, Intervals
from harvester.coverages import open_coverages

async def main(url, first, step):
    day = datetime(2026, 3, 1, tzinfo=UTC)
    async with open_coverages(url) as store:
        epoch = (await store.load("s")).epoch
        for n in range(int(first), 40, int(step)):
            hour = Intervals([(day + timedelta(hours=n), day + timedelta(hours=n + 1))])
            await store.add("s", Book(epoch=epoch, queue="q", streams={"a": Coverage(read=hour)}))
            print(n, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


async def test_f12_two_processes_that_add_at_the_same_time_give_the_union(url: str) -> None:
    async with open_coverages(url) as store:
        await store.add("s", Book(queue="q", streams={"a": Coverage(start=DAY)}))
        await asyncio.gather(*(asyncio.to_thread(children.run, ADD, url, first, "2") for first in ("0", "1")))
        assert await hours(store) == 40


@pytest.mark.parametrize("place", ["coverage.before_add", "coverage.in_add", "coverage.after_add"])
async def test_f01_a_kill_while_adding_leaves_a_whole_book_with_all_that_was_acknowledged(url: str, place: str) -> None:
    async with open_coverages(url) as store:
        await store.add("s", Book(queue="q", streams={"a": Coverage(start=DAY)}))
        done = await asyncio.to_thread(children.run, ADD, url, "0", "1", crash_at=f"{place}:4")
        assert done.stdout.split() == ["0", "1", "2"]
        assert await hours(store) == 3 + (place == "coverage.after_add")
        epoch = (await store.load("s")).epoch
        await store.add("s", fact(epoch, 10))


async def test_f12_a_writer_that_hangs_is_named_and_waited_for_only_so_long(tmp_path: Path) -> None:
    url = f"file://{tmp_path}?patience=0.05"
    hold = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1], 'r+')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 1)
        with children.running(hold, str(tmp_path / "s.lock")) as process:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
            with pytest.raises(TransientError, match="being written"):
                await store.add("s", fact(epoch, 1))
            assert await hours(store) == 1, "reading needs no lock"
        await store.add("s", fact(epoch, 1))


async def test_e21_a_lease_ends_with_its_process_however_it_ends(url: str) -> None:
    hold = (
        "import asyncio, sys\n"
        "from harvester.coverages import open_coverages\n"
        "async def main():\n"
        "    async with open_coverages(sys.argv[1]) as store, store.lease('s', 'a', 'the other'):\n"
        "        print('held', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    async with open_coverages(url) as store:
        with children.running(hold, url) as process:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(RefusedError, match="the other"):
                await store.lease("s", "a", "me").__aenter__()
        async with store.lease("s", "a", "me"):
            pass


def test_crash_points_cost_nothing_and_do_nothing_unless_they_are_asked_for() -> None:
    code = "from harvester import crash; crash.point('a'); crash.point('b'); crash.point('b'); print('lives')"
    environment = {name: value for name, value in os.environ.items() if name != "HARVESTER_CRASH_AT"}
    for at, ends in {"": 0, "c": 0, "b:3": 0, "b:2": -signal.SIGKILL, "a": -signal.SIGKILL}.items():
        done = subprocess.run(
            [sys.executable, "-c", code], env={**environment, "HARVESTER_CRASH_AT": at}, capture_output=True, check=False
        )
        assert done.returncode == ends, at
