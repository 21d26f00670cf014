"""Which worker gets which tests: those of one server stand together."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.order import in_shares

ROOT = Path(__file__).parents[2]
INNER = """
import pytest

@pytest.mark.parametrize("number", range(8))
def test_of_nothing(number):
    pass

@pytest.fixture
def elasticsearch():
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_of_elasticsearch(elasticsearch, number):
    pass

@pytest.mark.parametrize("driver", ["sqlite", "kafka"])
def test_of_a_parameter(driver):
    pass
"""


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 2), (9, 3), (2, 9), (5, 5), (12, 0)])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_test_is_there_once_and_those_of_a_server_begin_a_share(first: int, second: int, workers: int) -> None:
    total = 12
    names = [f"first {n}" for n in range(first)], [f"second {n}" for n in range(second)]
    others = [f"other {n}" for n in range(total - first - second)]
    ordered = in_shares(*names, others, workers)
    assert sorted(ordered) == sorted([*names[0], *names[1], *others])
    assert ordered[:first] == names[0]
    if first <= total // workers <= total - second:
        assert ordered[total // workers :][:second] == names[1]


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The inner tests in two workers."""
    (folder / "test_inner.py").write_text(INNER)
    plugins = ["-p", "tests.servers.fixtures", "-p", "tests.servers.order", "-p", "no:randomly"]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-n",
            "2",
            "--dist",
            "worksteal",
            *plugins,
            "-c",
            "/dev/null",
            "--rootdir",
            folder,
            folder,
        ],
        cwd=ROOT,
        env={**{key: value for key, value in os.environ.items() if not key.startswith("HARVESTER_")}, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tests_of_elasticsearch_and_those_of_kafka_go_to_different_workers(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    by = {test: worker for worker, test in re.findall(r"\[(gw\d)\].* PASSED \S*test_inner\.py::(\S+)", done.stdout)}
    assert len(by) == 12, done.stdout
    assert by["test_of_elasticsearch[1]"] == by["test_of_elasticsearch[2]"] != by["test_of_a_parameter[kafka]"]


def test_several_workers_are_refused_beside_a_server_that_was_given_as_they_would_empty_it_under_each_other(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, HARVESTER_TEST_KAFKA="127.0.0.1:9092")
    assert done.returncode == 4, done.stdout
    assert "HARVESTER_TEST_KAFKA names one server" in done.stderr
