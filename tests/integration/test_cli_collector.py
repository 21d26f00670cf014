"""Logs that also go to a collector: from short commands and from the daemon, whatever the collector does."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site import HOUR, NOON, Site, World, stamp
from tests.unit.collector import Collector, collecting

TOKEN = "c4nary-l0ggly-t0ken"
RANGE = ("-s", stamp(NOON - HOUR), "-e", stamp(NOON), "-w", "0")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def site_of(folder: Path, url: str, collector: Collector) -> Site:
    return Site(
        folder, url, LOGGLY_TOKEN=TOKEN, LOGGLY_TAGS="prod", HARVESTER_LOGS_URL=f"{collector.url}/bulk/{{token}}/tag/{{tags}}/"
    )


def test_e51_a_short_command_sends_what_it_did_and_how_it_ended(tmp_path: Path, vendor: World, collector: Collector) -> None:
    site = site_of(tmp_path, vendor.url, collector)
    with site.process("useractions", *RANGE) as command:
        assert command.ended() == 0
    assert set(collector.paths) == {f"/bulk/{TOKEN}/tag/event-harvester,prod/"}
    done, ended = collector.lines[-2:]
    assert done["published"] == len(vendor.truth(NOON - HOUR, NOON))
    assert (ended["message"], ended["command"], ended["exit_code"]) == ("command ended", "useractions", 0)
    with site.process("useractions", *RANGE, HARVESTER_OPENCAST_PASSWORD="wr0ng-canary") as command:
        assert command.ended() == 1
    failed = collector.lines[-1]
    assert (failed["message"], failed["exit_code"]) == ("command failed", 1)
    assert "HARVESTER_OPENCAST_PASSWORD" in failed["error.message"]
    assert "wr0ng-canary" not in str(collector.lines)


def test_e51_a_daemon_sends_its_log_until_its_last_line(tmp_path: Path, vendor: World, collector: Collector) -> None:
    with site_of(tmp_path, vendor.url, collector).process("run", "--no-consume") as daemon:
        daemon.until(lambda: "started" in collector.messages())
        assert daemon.stop() == 0
    assert "stopping" in collector.messages()
    assert collector.messages()[-1] == "command ended"


@pytest.mark.parametrize("trouble", ["refuses", "hangs"])
def test_e51_a_collector_in_trouble_changes_nothing_but_a_line_on_stderr(
    tmp_path: Path, vendor: World, collector: Collector, trouble: str
) -> None:
    collector.status = 500
    if trouble == "hangs":
        collector.answers.clear()
    with site_of(tmp_path, vendor.url, collector).process("useractions", *RANGE) as command:
        assert command.ended() == 0
        began = time.monotonic()
        assert f"published {len(vendor.truth(NOON - HOUR, NOON)):,} +" in command.err
        assert "were not sent" in command.err
        assert TOKEN not in command.err
        assert time.monotonic() - began < 30
