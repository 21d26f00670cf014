"""Stock servers through the commands: read by what they know, told why, and refusals with the ways on."""

from datetime import timedelta
from pathlib import Path

import pytest

from harvester.sandbox.settings import Switches
from tests.site import NOON, PASSWORD, Site, stamp, world

DAY = timedelta(days=1)
SERVERS = {"window": {}, "day": {"patched": False}, "tail": {"patched": False, "day": False}}
SMALL = {"actions_per_day": 300, "history": 2 * DAY, "late": False, "growing": False}


@pytest.mark.parametrize("mode", SERVERS)
def test_q55_useractions_reads_every_kind_of_server_and_says_how(tmp_path: Path, mode: str) -> None:
    with world(**SMALL, **SERVERS[mode]) as vendor:
        site = Site(tmp_path, vendor.url)
        level = "debug" if mode == "window" else "info"
        done = site.harvest("useractions", "-s", stamp(NOON - DAY), "-e", stamp(NOON), HARVESTER_LOG_LEVEL=level)
        assert done.code == 0, done.err
        [told] = [line for line in done.err.splitlines() if "read mode" in line]
        assert mode in told
        assert "it honours" in told or "it ignores" in told
        site.consume()
        assert site.held() == {key: action.outpoint for key, action in vendor.truth(NOON - DAY, NOON).items()}
        assert not site.coverage()["gaps"]


@pytest.mark.parametrize("mode", ["auto", *SERVERS])
def test_q55_a_plugin_that_is_off_is_explained_in_every_mode(tmp_path: Path, mode: str) -> None:
    with world(**SMALL, usertracking=False) as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_MODE=mode)
        done = site.harvest("useractions")
    assert done.code == 1
    for words in ("404", "opencast-plugin-usertracking", "/tobira/harvest", "access logs"):
        assert words in done.err
    assert PASSWORD not in done.err


def test_q55_a_patch_that_an_upgrade_took_away_is_told_with_the_way_on_and_the_next_run_is_whole(tmp_path: Path) -> None:
    with world(**SMALL) as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_MODE="window")
        assert site.harvest("useractions", "-s", stamp(NOON - DAY), "-e", stamp(NOON - DAY / 2)).code == 0
        vendor.running.sandbox.switch(Switches(patched=False))
        refused = site.harvest("useractions", "-s", stamp(NOON - DAY / 2), "-e", stamp(NOON))
        assert refused.code == 1
        assert "HARVESTER_OPENCAST_MODE=window" in refused.err
        done = site.harvest("useractions", "-s", stamp(NOON - DAY / 2), "-e", stamp(NOON), HARVESTER_OPENCAST_MODE="auto")
        assert done.code == 0, done.err
        site.consume()
        assert site.held().keys() == vendor.truth(NOON - DAY, NOON).keys()


def test_f41_a_login_that_is_revoked_is_tried_again_after_five_minutes_and_not_in_a_storm(tmp_path: Path) -> None:
    with world(**SMALL, login="basic") as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_LOGIN="basic", HARVESTER_POLL_INTERVAL="1")
        with site.process("run", "--no-consume") as daemon:
            daemon.until(lambda: site.book().live_edge)
            vendor.running.sandbox.set_faults({"401": 1.0})
            said = daemon.logged("it cannot work until somebody acts")
            assert "HARVESTER_OPENCAST_PASSWORD" in said["error.message"]
            assert said["retry"] == 300
            site.harvest("coverage", "show")  # as long as this takes, and the stop, nothing is asked
            assert daemon.stop() == 0
        assert vendor.running.stats.snapshot().faults == {"401": 1}
