"""An event that kills its consumer, in real processes: it becomes a letter, and everything else arrives."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.services import Server
from tests.site import NOON, ROOT, Site, World, stamp, world

SPAN = timedelta(minutes=15)
CONSUME = ("consume", "duckdb", "--until-empty")
MOST = 20
"""Processes that may die."""


def queue_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Mapping[str, str]:
    if kind == "sqlite":
        return {}
    kafka: Server = request.getfixturevalue("kafka")
    url = f"kafka://{kafka.url}/poison{uuid4().hex[:8]}?partitions=3&session_timeout=1"
    return {"HARVESTER_QUEUE_URL": url, "HARVESTER_LETTERS_URL": f"file://{folder}/letters"}


def one_run(site: Site, poison: str) -> tuple[int, str]:
    """A consumer that ends when there is nothing left, or that dies: its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.poisoned", *CONSUME],
        cwd=site.folder,
        env={**site.environment(HARVESTER_TEST_POISON=poison), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr


def deaths(site: Site, poison: str) -> tuple[int, set[int], str]:
    """Start it again and again until nothing is left: how often it was killed, how it ended else, and all it said."""
    killed, ends, said = 0, set[int](), ""
    while killed <= MOST:
        code, text = one_run(site, poison)
        said += text
        if code == -signal.SIGKILL:
            killed += 1
            continue
        ends.add(code)
        if not any(site.harvest("queue", "lag", "--json").json.values()):
            return killed, ends, said
    raise AssertionError(f"killed for ever: {said[-3000:]}")


@pytest.fixture
def vendor() -> Iterator[World]:
    with world() as running:
        yield running


@pytest.mark.parametrize("kind", ["sqlite", "kafka"])
def test_f34_an_event_that_kills_the_process_becomes_a_letter_and_all_others_arrive(
    kind: str, tmp_path: Path, vendor: World, request: pytest.FixtureRequest
) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_BATCH_EVENTS="10", **queue_of(kind, tmp_path, request))
    assert site.harvest("setup").code == 0
    assert site.harvest("useractions", "-s", stamp(NOON - SPAN), "-e", stamp(NOON)).code == 0
    truth = {number: action.outpoint for number, action in vendor.truth(NOON - SPAN, NOON).items()}
    first, *others, last = sorted(truth)
    assert len(others) > 8
    poison = f"{first},{last}"

    killed, ends, said = deaths(site, poison)
    assert 4 <= killed <= 10, said
    assert 5 in ends
    assert ends <= {0, 5}, said
    assert site.held() == {number: outpoint for number, outpoint in truth.items() if number not in (first, last)}
    letters = site.harvest("dead-letters", "list", "--json").lines
    assert sorted((letter["key"], letter["reason"]) for letter in letters) == sorted(
        (f"opencast/{number}", "killed") for number in (first, last)
    )
    assert all(letter["event_id"] for letter in letters)
    assert "an event kills the process" in said
    assert all(equation["equal"] for equation in site.audit()["equations"])

    one, before = letters[0]["id"], letters[0]["attempts"]  # a death before the commit may have added it twice
    assert site.harvest("dead-letters", "requeue", one).code == 0
    again, ends, _ = deaths(site, poison)
    assert (again, ends) == (3, {0}), "alone from the first, it is found out at the third"
    waiting = {letter["id"]: letter for letter in site.harvest("dead-letters", "list", "--json").lines}
    assert (waiting[one]["reason"], waiting[one]["attempts"], waiting[one]["due"]) == ("killed", before + 1, None)

    assert site.harvest("dead-letters", "requeue", "--reason", "killed").code == 0
    assert deaths(site, "")[:2] == (0, {0})
    assert site.held() == truth
    assert site.harvest("dead-letters", "list", "--json").lines == []
