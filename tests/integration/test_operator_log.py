"""S63: what an operator did to the state leaves a line that says who, what, and over which range."""

import getpass
import json
import socket
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Site, World, stamp


@pytest.fixture
def site(vendor: World, tmp_path: Path) -> Site:
    return Site(tmp_path, vendor.url)


def test_s63_every_act_on_the_state_leaves_a_line_with_actor_and_range(site: Site) -> None:
    begin, end = stamp(NOON - HOUR), stamp(NOON)
    site.harvest("useractions", "-s", begin, "-e", end)
    site.harvest("consume", "duckdb", "--until-empty")
    acts = {
        "coverage set": ("coverage", "set", "useractions", "--start", begin, "--read-until", end, "--yes"),
        "coverage reset": ("coverage", "reset", "opencast", "--yes"),
        "queue seek": ("queue", "seek", "duckdb", "--to", "beginning"),
        "queue forget": ("queue", "forget", "duckdb", "--yes"),
        "pause": ("pause", "opencast"),
        "resume": ("resume", "opencast"),
    }
    for what, command in acts.items():
        done = site.harvest(*command)
        lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line["message"] == what]
        assert line["actor"] == f"{getpass.getuser()}@{socket.gethostname()}"
        if what == "queue seek":
            assert (line["target"], line["after"]) == ("duckdb", 0)
            assert line["before"] > 0
        if what == "coverage set":
            assert line["target"] == "opencast/useractions"
            assert line["start"] < line["read_until"]
