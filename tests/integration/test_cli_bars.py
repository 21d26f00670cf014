"""Progress for people: a bar on a terminal, with rate and time left; nothing anywhere else, and nothing between data."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, ROOT, Site, World, stamp

BAR = re.compile(r"\d+% .*?[\d,]+ (?:events|messages)/s .*?(?:\d:\d\d:\d\d|ends \d\d:\d\dZ)")
"""A backfill whose end is forecast tells that, and no time left beside it."""
COMMANDS = {
    "backfill": ("backfill", "-s", stamp(NOON - 6 * HOUR)),
    "consume duckdb": ("consume", "duckdb", "--until-empty"),
    "queue check": ("queue", "check"),
}


def on_a_terminal(site: Site, *args: str, printing: bool = False) -> tuple[int, str]:
    """The exit code, and what a terminal got from stderr (`printing`: and from stdout), without its colours."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "harvester", *args],
            cwd=site.folder,
            env={**site.environment(TERM="xterm", HARVESTER_TEST_PATIENCE="0"), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=theirs if printing else subprocess.DEVNULL,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        text = b"".join(iter(lambda: read(terminal.fileno()), b""))
    return process.wait(30), re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.decode())


def read(descriptor: int) -> bytes:
    """b"" when the other side of the terminal is closed, which Linux tells as an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def begun(tmp_path: Path, vendor: World) -> Site:
    site = Site(tmp_path, vendor.url)
    assert site.harvest("useractions", "-s", stamp(NOON - 2 * HOUR)).code == 0
    return site


@pytest.mark.parametrize("title", COMMANDS)
def test_a_long_job_shows_a_bar_with_rate_and_time_left_or_end_on_a_terminal(tmp_path: Path, vendor: World, title: str) -> None:
    code, seen = on_a_terminal(begun(tmp_path, vendor), *COMMANDS[title])
    assert code == 0
    bars = [line for line in re.split(r"[\r\n]+", seen) if line.startswith(title)]
    assert any(BAR.search(line) for line in bars), seen


@pytest.mark.parametrize("title", COMMANDS)
def test_off_a_terminal_there_is_no_bar(tmp_path: Path, vendor: World, title: str) -> None:
    done = begun(tmp_path, vendor).harvest(*COMMANDS[title], HARVESTER_TEST_PATIENCE="0")
    assert (done.code, done.out) == (0, "")
    assert "%" not in done.err
    assert "\x1b" not in done.err


def test_no_bar_is_drawn_between_json_lines_on_a_terminal(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    code, seen = on_a_terminal(site, "useractions", "-s", stamp(NOON - 2 * HOUR), "-o", "-", printing=True)
    assert code == 0
    assert "%" not in re.sub(r"\{.*\}", "", seen)
    lines = seen.splitlines()
    assert sum(line.startswith("{") and line.endswith("}") for line in lines) == len(lines) - 1, "and one for the summary"


def test_a_bar_is_drawn_beside_json_lines_that_go_into_a_file(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url)
    code, seen = on_a_terminal(site, "useractions", "-s", stamp(NOON - 2 * HOUR), "-o", "-")
    assert (code, "events/s" in seen, "{" in seen) == (0, True, False)
