"""What commands say: when they are cut, when their reader goes away, about islands, letters and clocks."""

import asyncio
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harvester.book import encode_book
from harvester.commands.words import amount_of
from harvester.coverage import Book, Coverage, Intervals
from harvester.letters import open_letters
from harvester.protocols import Letter
from tests.site import HOUR, NOON, ROOT, Site, World, stamp, world

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_f50_a_harvest_that_is_cut_says_what_was_read_and_the_same_command_goes_on(
    tmp_path: Path, vendor: World, number: signal.Signals
) -> None:
    slow = {"HARVESTER_OPENCAST_WAIT": "0.3", "HARVESTER_COVERAGE_PACE": "0"}
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - HOUR))
    command = ("backfill", "-s", stamp(NOON - 48 * HOUR))
    with site.process(*command, **slow) as cut:
        cut.until(lambda: site.book().read[0].start == NOON - 48 * HOUR)
        assert cut.stop(number) == 130
        end = site.book().read[0].end
        said = re.fullmatch(
            r"harvest: interrupted: read ([\d,]+), read up to (\S+); what is recorded stays; go on with the same command\n",
            cut.err,
        )
    assert said, cut.err
    assert int(said[1].replace(",", "")) > 0
    assert said[2] == f"{end:%Y-%m-%dT%H:%M:%SZ}"
    assert site.harvest(*command).code == 0
    assert site.book().gaps() == Intervals()


@pytest.mark.parametrize(
    "command", ["queue peek --position 1 --limit 100000", "useractions -s START -o -", "once opencast --since START --dry-run"]
)
def test_a_reader_that_goes_away_is_exit_1_and_one_line(tmp_path: Path, vendor: World, command: str) -> None:
    site = Site(tmp_path, vendor.url)
    site.harvest("useractions", "-s", stamp(NOON - 24 * HOUR))
    line = f"set -o pipefail; {sys.executable} -m harvester {command.replace('START', stamp(NOON - 24 * HOUR))} | head -n 1"
    environment = {**site.environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1), done
    assert done.stderr == "harvest: stdout: the reader has closed it\n"


def test_an_island_is_seen_in_the_bar_however_small_and_nothing_unknown_is_claimed_beside_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    island, read = (NOON - 48 * HOUR + 5 * MINUTE, NOON - 48 * HOUR + 6 * MINUTE), (NOON - HOUR, NOON)
    far = (NOON - 99 * HOUR, NOON - 98 * HOUR)
    path = tmp_path / "var/coverage/opencast.json"
    path.parent.mkdir(parents=True)
    coverage = Coverage(start=NOON - HOUR, read=Intervals([far, island, read]))
    path.write_bytes(encode_book(Book(epoch="abc", queue="", streams={"useractions": coverage})))
    done = site.harvest("coverage", "show")
    (drawn,) = [line for line in done.out.splitlines() if "░" in line and "island" not in line]
    assert drawn.count("░") >= 2
    assert len(re.findall("░+", drawn)) == 2
    assert "nothing is known before it" not in done.out
    assert "see the islands" in done.out


def test_a_letter_shows_what_it_has_and_its_times_as_everywhere(tmp_path: Path) -> None:
    async def add() -> None:
        async with open_letters(f"sqlite:///{tmp_path}/var/letters.db") as letters:
            about: Any = {"id": "ab12", "group": "duckdb", "stage": "write", "reason": "schema", "error": "InvalidEventError: no"}
            await letters.add([Letter(**about, body=b"{}", first=NOON + 0.25 * MINUTE, last=NOON)])

    asyncio.run(add())
    shown = Site(tmp_path).harvest("dead-letters", "show", "ab").out
    assert "first:     2024-11-05T12:00:15Z\n" in shown
    assert "None" not in shown
    assert not re.search(r"^\w+: +$", shown, re.MULTILINE)
    assert not re.search(r"^(due|position|stream):", shown, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    ["backfill -s 20440101", "useractions -s 20440101", "useractions -s 20440101 -e 20450101", "once opencast --since 20440101"],
)
def test_a_range_that_is_wrong_by_the_servers_clock_says_so(tmp_path: Path, vendor: World, command: str) -> None:
    done = Site(tmp_path, vendor.url).harvest(*command.split())
    assert (done.code, "(the server's clock)" in done.err) == (2, True)


@pytest.mark.parametrize("command", ["backfill", "coverage set"])
def test_help_says_once_that_an_option_is_required(tmp_path: Path, command: str) -> None:
    assert Site(tmp_path).harvest(*command.split(), "--help").out.count("[required]") == 1


def test_amounts_are_said_as_people_say_them() -> None:
    assert [amount_of(n, "gap") for n in (0, 1, 2000)] == ["0 gaps", "1 gap", "2,000 gaps"]


def test_summaries_and_audit_use_the_same_words(tmp_path: Path) -> None:
    with world() as vendor:
        site = Site(tmp_path, vendor.url)
        said = site.harvest("useractions", "-s", stamp(NOON - HOUR)).err + site.consume().err + site.harvest("audit").out
    assert said.count("filtered") == said.count("dead-lettered") == 4
    assert "left out" not in said
