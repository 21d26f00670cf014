"""docker/compose.yaml: valid for the compose specification, and as we want it; each rule is seen to fail."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml

from harvester.commands.dev import KIBANA
from tests import services as servers
from tests.containers.compose import COMPOSE, PRODUCTION, ROOT, is_ours, order, read
from tests.containers.rules import RULES, faults
from tests.servers.kafka import Kafka
from tests.servers.redis import IMAGE as REDIS
from tests.servers.s3 import IMAGE as S3
from tests.unit.test_documents import check_call

STACK = read(COMPOSE.read_text())
SERVICES = STACK["services"]
SCHEMA = json.loads((ROOT / "tests/fixtures/compose/compose-spec.json").read_text())


def validate(stack: dict[str, Any]) -> None:
    jsonschema.Draft201909Validator(SCHEMA).validate(stack)


def test_it_is_valid_for_the_compose_specification() -> None:
    validate(STACK)
    validate(yaml.safe_load(COMPOSE.read_text()))


def test_the_schema_would_notice_a_key_that_is_none() -> None:
    wrong = copy.deepcopy(STACK)
    wrong["services"]["harvester"]["retsart"] = "no"
    with pytest.raises(jsonschema.ValidationError):
        validate(wrong)


def test_s70_it_keeps_every_rule() -> None:
    assert faults(SERVICES) == []


Services = dict[str, dict[str, Any]]
BREAKS: dict[str, Callable[[Services], object]] = {
    "pinned": lambda it: it["elasticsearch"].update(image="docker.elastic.co/elasticsearch/elasticsearch:latest"),
    "watched": lambda it: it["harvester"].pop("healthcheck"),
    "on_loopback": lambda it: it["elasticsearch"].update(ports=["9200:9200"]),
    "bounded": lambda it: it["consumer"].pop("pids_limit"),
    "contained": lambda it: it["harvester"].update(cap_drop=["NET_RAW"]),
    "ours_read_only": lambda it: it["consumer"].update(user="0:0"),
    "drained": lambda it: it["consumer"].update(stop_grace_period="20s"),
    "restarted": lambda it: it["harvester"].pop("restart"),
    "awaited": lambda it: it["harvester"]["depends_on"].update(setup={"condition": "service_started"}),
    "secrets_in_files": lambda it: it["harvester"].update(environment={"HARVESTER_OPENCAST_PASSWORD": "x"}),
    "settings_that_exist": lambda it: it["harvester"].update(environment={"HARVESTER_QUEUE": "x"}),
}


@pytest.mark.parametrize("rule", [rule.__name__ for rule in RULES])
def test_s70_a_file_that_breaks_a_rule_is_noticed_by_that_rule(rule: str) -> None:
    broken = copy.deepcopy(SERVICES)
    BREAKS[rule](broken)
    assert {fault.partition(":")[0] for fault in faults(broken)} == {rule}


@pytest.mark.parametrize(
    "change",
    [
        {"privileged": True},
        {"security_opt": []},
        {"init": False},
        {"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]},
        {"network_mode": "host"},
    ],
)
def test_s70_every_door_to_the_host_is_noticed(change: dict[str, Any]) -> None:
    broken = copy.deepcopy(SERVICES)
    broken["elasticsearch"].update(change)
    assert faults(broken) == ["contained: elasticsearch"]


@pytest.mark.parametrize("change", [{"read_only": False}, {"tmpfs": ["/tmp", "/run"]}, {"volumes": ["state:/opt/harvester"]}])
def test_s70_every_further_place_to_write_to_is_noticed(change: dict[str, Any]) -> None:
    broken = copy.deepcopy(SERVICES)
    broken["sandbox"].update(change)
    assert faults(broken) == ["ours_read_only: sandbox"]


def test_e65_there_are_elasticsearch_and_kibana_of_one_version_and_named_volumes() -> None:
    versions = {SERVICES[name]["image"].rpartition(":")[2] for name in ("elasticsearch", "kibana")}
    assert versions == {servers.ELASTICSEARCH["elasticsearch9"].version}
    named = {str(volume).partition(":")[0] for it in SERVICES.values() for volume in it.get("volumes", [])}
    assert {name for name in named if not name.startswith((".", "/"))} == STACK["volumes"].keys()


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if is_ours(service)])
def test_every_command_of_our_image_exists(name: str) -> None:
    check_call(SERVICES[name]["command"])


def test_the_servers_are_those_that_the_tests_run_against() -> None:
    kafka = servers.OWN["kafka"]
    assert isinstance(kafka, Kafka)
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.jars.version}"
    assert SERVICES["moto"]["image"] == S3
    assert SERVICES["valkey"]["image"].startswith(f"{REDIS}.")


def test_services_begin_in_an_order() -> None:
    begun = order(SERVICES)
    assert begun.index("elasticsearch") < begun.index("setup") < begun.index("harvester")
    assert begun.index("setup") < begun.index("consumer")


def test_no_data_wait_for_kibana() -> None:
    assert [name for name, service in SERVICES.items() if "kibana" in service.get("depends_on", {})] == []
    assert "HARVESTER_KIBANA_URL" not in SERVICES["setup"]["environment"], "one that refuses would stop all others"
    assert SERVICES["kibana"]["ports"] == [f"{KIBANA.removeprefix('http://')}:5601"]


def test_e61_what_is_kept_is_kept_in_named_volumes_and_no_service_has_a_name_of_its_own() -> None:
    assert re.search(r"^name: event-harvester$", COMPOSE.read_text(), re.MULTILINE)
    assert not any("container_name" in service for service in SERVICES.values()), "a consumer could not be scaled"


def test_what_is_mounted_from_here_is_there_and_read_only() -> None:
    mounted = [str(volume).split(":") for it in SERVICES.values() for volume in it.get("volumes", []) if str(volume)[0] in "./"]
    assert mounted
    assert [parts for parts in mounted if not any((COMPOSE.parent / parts[0]).iterdir()) or parts[2:] != ["ro"]] == []
    files = {name: COMPOSE.parent / it["file"] for name, it in STACK["secrets"].items()}
    assert all(path.read_text().strip() for path in files.values())
    named = {secret for it in SERVICES.values() for secret in it.get("secrets", [])}
    assert named == files.keys()


def test_the_development_stack_needs_no_setting() -> None:
    assert ":?" not in COMPOSE.read_text()


def test_e67_the_file_for_servers_is_valid_keeps_every_rule_and_brings_no_server() -> None:
    validate(read(PRODUCTION.read_text()))
    services = read(PRODUCTION.read_text())["services"]
    assert faults(services) == []
    assert all(is_ours(service) and "build" not in service for service in services.values())
    for name, service in services.items():
        check_call(service["command"])
        if not service.get("profiles"):
            assert service["command"] == SERVICES[name]["command"], "what is proven to run is what runs"
        assert service["env_file"] == ["/etc/harvester/harvester.env"]


def test_e67_recordings_and_meetings_are_services_that_run_once_a_day_when_they_are_called() -> None:
    services = read(PRODUCTION.read_text())["services"]
    daily = {name: it["command"] for name, it in services.items() if it.get("profiles") == ["daily"]}
    assert daily == {"episodes": ["load_episodes"], "zoom": ["zoom"]}
    for name in daily:
        assert (services[name]["restart"], services[name]["depends_on"]) == (
            "no",
            {"setup": {"condition": "service_completed_successfully"}},
        )
        unit = (ROOT / f"docker/systemd/harvester-{name}.service").read_text()
        assert f"ExecStart=/opt/harvester/bin/harvest {daily[name][0]}\n" in unit, "as systemd does it"
    page = (ROOT / "docs/deployment.md").read_text()
    assert re.search(r"^0 4 \* \* \* .*compose.production.yaml run --rm episodes$", page, re.MULTILINE)
    assert re.search(r"^0 1 \* \* \* .*compose.production.yaml run --rm zoom$", page, re.MULTILINE)
