"""What the containers would run does run: from nothing to the first document, and to an orderly end."""

import json
import sys
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from tests.containers.compose import COMPOSE, ROOT, is_ours, read
from tests.containers.stack import Stack, started

FILE = read(COMPOSE.read_text())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with started(FILE["services"], COMPOSE.parent / "secrets", tmp_path_factory.mktemp("stack")) as found:
        yield found


def test_e60_e64_from_nothing_to_enriched_documents(stack: Stack) -> None:
    documents = stack.documents()
    assert all(document["@timestamp"] and document["event"]["module"] == "opencast" for document in documents)
    assert any(document.get("episode", {}).get("title") for document in documents), "no look-up was answered"
    assert max(stack.times.values()) < 180, stack.times
    assert stack.running.keys() == {name for name, service in FILE["services"].items() if is_ours(service)} | {"prometheus"}


def test_setup_may_be_repeated_and_says_that_nothing_was_missing(stack: Stack) -> None:
    done = stack.harvest("setup", *FILE["services"]["setup"]["command"], "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["made"] == []
    assert {template["action"] for template in told["templates"]} == {"loaded again"}
    said = stack.running["setup"].said()
    assert all(made in said for made in ("bucket harvester: created", "topic harvester.events made")), said


def test_s70_each_of_ours_could_write_nowhere_but_to_its_own_folder(stack: Stack) -> None:
    for name in ("sandbox", "harvester", "consumer"):
        for place, code in {"own": 0, str(ROOT / "made"): 1, "../made": 1, "/usr/made": 1}.items():
            done = stack.asked(name, [sys.executable, "-c", f"open({place!r}, 'w')"])
            assert done.returncode == code, (name, place, done.stderr)
            assert not code or "Read-only file system" in done.stderr


def test_every_event_is_accounted_for(stack: Stack) -> None:
    stack.documents()
    done = stack.harvest("harvester", "audit")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_each_of_ours_and_takes_the_alerts(stack: Stack) -> None:
    found = stack.scraped()
    assert found == {f"{stack.url(f'{name}:9464')}/metrics": "up" for name in ("harvester", "consumer")}
    with urlopen(f"{stack.url('prometheus:9090')}/api/v1/rules", timeout=30) as answer:
        assert json.load(answer)["data"]["groups"][0]["rules"]


@pytest.mark.parametrize("name", ["harvester", "consumer"])
def test_a_stop_is_orderly_and_a_start_goes_on(stack: Stack, name: str) -> None:
    assert stack.running[name].stop() == 0, stack.running[name].said()
    stack.start(name)
    assert stack.harvest(name, "audit").returncode == 0
