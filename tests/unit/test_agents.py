"""Browsers and apps by the text that they name themselves with."""

import subprocess
import sys

import pytest

from consumers.records.agents import Agent, agent
from consumers.records.opencast import useraction
from tests.useractions import useraction_event

SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/17.6 Mobile Safari/604"
)


def test_the_families_are_those_that_the_predecessors_index_had() -> None:
    assert agent(SAFARI) == Agent(name="Mobile Safari", major="17", minor="6", os_name="iOS", os_major="17", device="iPhone")


@pytest.mark.parametrize("text", [None, "", "Mozilla/5.0", "x" * 9000, "\0", "((((" * 60])
def test_what_nobody_knows_is_empty(text: str | None) -> None:
    assert agent(text) == Agent()


def test_an_action_says_what_it_was_made_with() -> None:
    found = useraction(useraction_event(sessionId={"userAgent": SAFARI}))
    assert (found.useragent, found.ua.name, found.ua.device) == (SAFARI, "Mobile Safari", "iPhone")


def test_a_process_that_reads_no_user_agent_does_not_load_the_families() -> None:
    code = "import sys, consumers.records.opencast; sys.exit('ua_parser' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
