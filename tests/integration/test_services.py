"""The real servers that tests use: which are taken, that they are what they say, and that a missing one is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import services
from tests.servers.bigquery import BigQuery
from tests.services import ElasticsearchServer, MissingServerError, RefusedError

ROOT = Path(__file__).parents[2]
LINES = sorted(services.ELASTICSEARCH)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def left_by(pid: int) -> list[Path]:
    """What a Java of this process id writes outside of the folder that it is told."""
    return [*Path("/tmp").glob(f".java_pid{pid}"), *Path("/tmp").glob(f"hsperfdata_*/{pid}")]


def test_a_server_answers_with_the_version_that_was_asked_for(elasticsearch: ElasticsearchServer) -> None:
    (node,) = elasticsearch.call("GET", "/_nodes/_local?filter_path=nodes.*.version")["nodes"].values()
    assert node["version"] == elasticsearch.version
    if "environment" not in elasticsearch.origin:
        assert elasticsearch.version == services.ELASTICSEARCH[elasticsearch.name].version


def test_what_a_test_leaves_is_gone_whatever_it_blocked(elasticsearch: ElasticsearchServer) -> None:
    template = {"index_patterns": ["left-*"], "composed_of": ["left-part"]}
    elasticsearch.call("PUT", "/_component_template/left-part", {"template": {"settings": {"number_of_replicas": 0}}})
    elasticsearch.call("PUT", "/_index_template/left", template)
    for block in ("read_only", "read_only_allow_delete", "write", "metadata"):
        elasticsearch.call("PUT", f"/left-{block.replace('_', '-')}/_doc/1?refresh=true", {"a": 1})
        elasticsearch.call("PUT", f"/left-{block.replace('_', '-')}/_settings", {f"index.blocks.{block}": True})
    elasticsearch.call("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": True}})
    with pytest.raises(RefusedError, match="cluster_block_exception"):
        elasticsearch.call("PUT", "/left-no-more/_doc/1", {"a": 1})

    elasticsearch.empty()

    assert elasticsearch.indices() == []
    for kind in ("index_template/left", "component_template/left-part"):
        with pytest.raises(RefusedError) as refused:
            elasticsearch.call("GET", f"/_{kind}")
        assert refused.value.status == 404
    elasticsearch.call("PUT", "/anew/_doc/1", {"a": 1})


def test_one_server_is_enough_for_what_does_not_depend_on_the_version(elasticsearch_any: ElasticsearchServer) -> None:
    assert elasticsearch_any.name in LINES
    assert elasticsearch_any.indices() == []


@pytest.mark.parametrize("name", LINES)
def test_a_node_that_is_killed_comes_back_at_its_place_with_its_data_and_can_be_paused(name: str) -> None:
    with services.node(name, **{"thread_pool.write.queue_size": 2}) as node:
        place, first = node.url, node.pid
        queue = node.call("GET", "/_nodes/_local/settings?flat_settings=true&filter_path=nodes.*.settings")["nodes"].popitem()[1]
        assert queue["settings"]["thread_pool.write.queue_size"] == "2"
        node.call("PUT", "/kept/_doc/1", {"a": 1})

        node.kill()
        assert not alive(first)
        assert left_by(first) == []
        assert list(node.folder.glob("tmp/final-flags*")), "it wrote its scratch files elsewhere"
        with pytest.raises(OSError, match="refused"):
            node.call("GET", "/kept/_doc/1")
        node.start()
        assert (node.url, node.call("GET", "/kept/_doc/1")["_source"]) == (place, {"a": 1})

        node.pause()
        assert Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        node.resume()
        assert node.call("GET", "/kept/_doc/1")["found"]

        last = node.pid
        node.stop()
        assert not alive(last)
    assert not node.log.exists()


def test_a_node_dies_with_the_process_that_started_it_however_that_ends() -> None:
    name = LINES[0]
    services.ELASTICSEARCH[name].startable()
    code = f"""
import sys
from tests import services
with services.node({name!r}) as node:
    print(node.pid, node.log, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pid, log = starter.stdout.readline().split()
        assert alive(int(pid))
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while alive(int(pid)) or Path(log.decode()).parent.exists():
        assert time.monotonic() < deadline, "it outlived its starter"
        time.sleep(0.05)


def test_an_address_in_the_environment_is_taken_before_anything_is_started(
    elasticsearch: ElasticsearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(services.variable(elasticsearch.name), elasticsearch.url)
    with services.find(elasticsearch.name) as found:
        assert (found.url, found.version) == (elasticsearch.url, elasticsearch.version)
        assert found.origin == f"the environment, {elasticsearch.url}"


def test_an_address_of_a_server_with_somebodys_data_is_refused(
    elasticsearch_any: ElasticsearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    elasticsearch_any.call("PUT", "/payroll/_doc/1", {"a": 1})
    elasticsearch_any.call("PUT", "/_cluster/settings", {"persistent": {"cluster.metadata.*": None}})
    monkeypatch.setenv(services.variable(elasticsearch_any.name), elasticsearch_any.url)
    with pytest.raises(AssertionError, match=r"payroll.*tests empty the server"), services.find(elasticsearch_any.name):
        pass
    assert elasticsearch_any.call("GET", "/payroll/_doc/1")["found"]


def test_an_address_of_another_line_is_refused(elasticsearch_any: ElasticsearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (other,) = set(LINES) - {elasticsearch_any.name}
    monkeypatch.setenv(services.variable(other), elasticsearch_any.url)
    with (
        pytest.raises(AssertionError, match=f"{other}: .* is an Elasticsearch {elasticsearch_any.version}"),
        services.find(other),
    ):
        pass


INNER = """
from tests import services

def test_shared(elasticsearch_any):
    pass

def test_own():
    with services.node("elasticsearch9"):
        pass
"""


def without_any(folder: Path, *, require: str) -> subprocess.CompletedProcess[str]:
    """Two tests where neither Java nor Docker is to be found; the first asks for any line, the second for a node of 9."""
    (folder / "test_inner.py").write_text(INNER)
    script = (
        "import sys, pytest\n"
        "from tests.servers import docker, java\n"
        "java.installed = lambda: ()\n"
        "docker.unreachable = lambda: 'no Docker engine here'\n"
        "sys.exit(pytest.main(['-q', '-p', 'tests.servers.fixtures', '-p', 'no:randomly', '-rs', *sys.argv[1:]]))\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HARVESTER_")}
    return subprocess.run(
        [sys.executable, "-c", script, "-c", "/dev/null", "--rootdir", folder, folder],
        cwd=ROOT,
        env={**environment, "HARVESTER_TEST_REQUIRE": require},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_missing_server_skips_its_tests_with_the_reason_and_the_command_that_provides_it(tmp_path: Path) -> None:
    done = without_any(tmp_path, require="")
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
    assert "no Java 21 or newer" in done.stdout
    assert "apt-get install maven openjdk-21-jdk-headless" in done.stdout
    assert "HARVESTER_TEST_ELASTICSEARCH9=" in done.stdout


def test_a_required_server_that_is_missing_fails_its_tests_with_the_command(tmp_path: Path) -> None:
    done = without_any(tmp_path, require="elasticsearch8, elasticsearch9")
    assert done.returncode == 1, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
    assert "required by HARVESTER_TEST_REQUIRE, but missing: elasticsearch9" in done.stdout
    assert "apt-get install openjdk-17-jre-headless maven" in done.stdout


def test_a_name_that_no_server_has_cannot_be_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARVESTER_TEST_REQUIRE", "elasticsearch8,elastic")
    with pytest.raises(ValueError, match=r"names elastic; there are .*elasticsearch8, elasticsearch9"):
        services.demanded()


def test_an_unattended_run_requires_every_server_but_the_newer_line_where_it_cannot_run() -> None:
    try:
        services.ELASTICSEARCH["elasticsearch9"].startable()
        newer = ["elasticsearch9"]
    except MissingServerError:
        newer = ["elasticsearch9"] if os.environ.get("HARVESTER_TEST_ELASTICSEARCH9") else []
    required = [name for name in services.required() if name in services.SERVERS]
    assert sorted(required) == sorted(["elasticsearch8", *newer, *services.OWN])


@pytest.mark.parametrize(("named", "told"), [("", "not fetched, it is large"), ("bigquery", "there it is")])
def test_what_is_large_is_fetched_only_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: str, told: str
) -> None:
    class Large(BigQuery):
        def startable(self) -> None:
            raise MissingServerError(self.name, "it is large")

        def fetched(self) -> str:
            return "there it is"

    monkeypatch.setattr(services, "SERVERS", {"bigquery": Large()})
    monkeypatch.setenv(services.REQUIRE, named)
    services.main("fetch")
    assert capsys.readouterr().out == f"bigquery: {told}\n"


def test_an_unattended_run_requires_the_tools_that_its_set_up_places() -> None:
    assert "promtool" in services.required()


def test_a_tool_that_is_missing_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingServerError, match="apt-get install prometheus"):
        services.tool("promtool")
