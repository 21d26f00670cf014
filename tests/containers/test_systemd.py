"""docker/systemd: units that are hardened, that systemd takes, and whose commands do the work in their order."""

import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harvester.sandbox.episodes import lectures
from harvester.settings import CoreSettings
from tests import services as servers
from tests.containers.compose import ROOT
from tests.containers.rules import known_settings
from tests.indexed import documents
from tests.site import Site, World
from tests.unit.test_documents import check_call
from tests.zoom_account import Account, beside, environment, meeting, stay

UNITS = ROOT / "docker/systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
HARVEST = "/opt/harvester/bin/harvest "
HARDENED = {
    "User": "harvester",
    "StateDirectory": "harvester",
    "WorkingDirectory": "/var/lib/harvester",
    "EnvironmentFile": "/etc/harvester/harvester.env",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryMax": "512M",
    "TasksMax": "128",
}


def unit(text: str) -> Mapping[str, list[str]]:
    """Every key with its values, whatever section it is in: no key of ours is in two."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def faults(text: str) -> list[str]:
    said = unit(text)
    broken = [key for key, value in HARDENED.items() if said.get(key) != [value]]
    begins = said.get("ExecStart", [""])
    if len(begins) != 1 or not begins[0].startswith(HARVEST):
        broken.append("ExecStart")
    stop = re.fullmatch(r"(\d+)", "".join(said.get("TimeoutStopSec", [])))
    if "setup" not in begins[0] and (stop is None or int(stop[1]) < CoreSettings().drain_timeout + 10):
        broken.append("TimeoutStopSec")
    for line in said.get("Environment", []):
        name, _, value = line.partition("=")
        if name not in known_settings() or (name.endswith("_FILE") and not value.startswith("%d/")):
            broken.append(f"Environment {name}")
        if re.search(r"PASSWORD|SECRET|TOKEN|API_KEY", name) and not name.endswith("_FILE"):
            broken.append(f"secret {name}")
    return broken


def command(name: str) -> list[str]:
    return unit((UNITS / name).read_text())["ExecStart"][0].removeprefix(HARVEST).split()


@pytest.mark.parametrize("name", SERVICES)
def test_e67_every_unit_is_hardened_and_its_command_exists(name: str) -> None:
    assert faults((UNITS / name).read_text()) == []
    check_call(command(name))


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("NoNewPrivileges=yes", "NoNewPrivileges=no", "NoNewPrivileges"),
        ("User=harvester", "User=root", "User"),
        ("TimeoutStopSec=40", "TimeoutStopSec=20", "TimeoutStopSec"),
        ("MemoryMax=512M\n", "", "MemoryMax"),
        ("HARVESTER_LISTEN", "HARVESTER_LISTENS", "Environment HARVESTER_LISTENS"),
        ("PASSWORD_FILE=%d/opencast_password", "PASSWORD=x", "secret HARVESTER_OPENCAST_PASSWORD"),
        (HARVEST, "/bin/sh -c harvest ", "ExecStart"),
    ],
)
def test_e67_a_unit_that_breaks_a_rule_is_noticed(right: str, wrong: str, fault: str) -> None:
    text = (UNITS / "harvester-run.service").read_text()
    assert right in text
    assert faults(text.replace(right, wrong)) == [fault]


def test_e67_all_wait_for_setup_and_start_again_unless_a_person_is_needed() -> None:
    for name in SERVICES:
        said = unit((UNITS / name).read_text())
        if "setup" not in name:
            assert "harvester-setup.service" in said["After"][0]
            assert said["Requires"] == ["harvester-setup.service"]
        if said["Type"] == ["exec"]:
            assert (said["Restart"], said["RestartPreventExitStatus"]) == (["always"], ["3 4"])


def test_e67_useractions_run_every_two_minutes_and_never_beside_the_daemon() -> None:
    timer = unit((UNITS / "harvester-useractions.timer").read_text())
    assert timer["OnUnitInactiveSec"] == ["2min"]
    assert unit((UNITS / "harvester-useractions.service").read_text())["Conflicts"] == ["harvester-run.service"]
    assert CoreSettings().poll_interval == 120


@pytest.mark.parametrize(
    ("name", "calendar", "words"),
    [("episodes", "*-*-* 04:00:00", ["load_episodes"]), ("zoom", "*-*-* 01:00:00 UTC", ["zoom"])],
)
def test_e67_recordings_and_meetings_are_read_daily(name: str, calendar: str, words: list[str]) -> None:
    timer = unit((UNITS / f"harvester-{name}.timer").read_text())
    assert (timer["OnCalendar"], timer["Persistent"]) == ([calendar], ["true"])
    assert timer["WantedBy"] == ["timers.target"]
    service = unit((UNITS / f"harvester-{name}.service").read_text())
    assert (command(f"harvester-{name}.service"), service["Type"]) == (words, ["oneshot"])
    assert "Conflicts" not in service, "it may run beside the daemon"


def test_e67_what_the_daily_units_run_brings_recordings_and_meetings_into_the_index(
    tmp_path: Path, vendor: World, elasticsearch_any: servers.ElasticsearchServer
) -> None:
    account = Account([meeting("a==")], {"a==": [stay()]})
    with beside(account):
        where = {"HARVESTER_SINKS": "elasticsearch", "HARVESTER_ELASTICSEARCH_URL": elasticsearch_any.url}
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_ADMIN_URL=vendor.url, **where, **environment(account))
        assert site.harvest(*command("harvester-setup.service")).code == 0
        yesterday = datetime.now(UTC) - timedelta(days=1)
        mpid = next(lecture.mpid for lecture in lectures("sandbox") if lecture.exists and lecture.recorded is None)
        elasticsearch_any.call("PUT", f"/useractions-{yesterday:%Y.%m.%d}/_doc/1", {"mpid": mpid})
        assert site.harvest(*command("harvester-episodes.service")).code == 0
        assert site.harvest(*command("harvester-zoom.service")).code == 0
    found = {name for name, _ in documents(elasticsearch_any, "episodes*,meetings-*")}
    assert found == {mpid, "a=="}


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = servers.tool("systemd-analyze")
    for path in UNITS.iterdir():
        name = path.name.replace("@.", "@elasticsearch.")
        (tmp_path / name).write_text(path.read_text().replace(HARVEST, "/bin/true "))
    names = [str(tmp_path / path.name) for path in tmp_path.iterdir() if path.suffix in (".service", ".timer")]
    done = subprocess.run([analyze, "verify", "--man=no", *names], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "harvester" in line] == []


def test_e67_the_shared_settings_exist_and_hold_no_secret() -> None:
    lines = [line for line in (UNITS / "harvester.env").read_text().splitlines() if line and not line.startswith("#")]
    names = [line.partition("=")[0] for line in lines]
    assert len(names) > 5
    assert [name for name in names if name not in known_settings() or re.search("PASSWORD|SECRET|KEY", name)] == []


def test_e67_the_commands_in_their_order_bring_events_into_a_sink(tmp_path: Path, vendor: World) -> None:
    site = Site(tmp_path, vendor.url, HARVESTER_DEFAULT_INTERVAL="600")
    assert site.harvest(*command("harvester-setup.service")).code == 0
    assert site.harvest(*command("harvester-useractions.service")).code in (0, 5)
    words = [word.replace("%i", "duckdb") for word in command("harvester-consumer@.service")]
    with site.process(*words, HARVESTER_LISTEN="") as consumer:
        consumer.until(lambda: site.lag() == 0, 60)
        assert consumer.stop() == 0
    assert site.held()
