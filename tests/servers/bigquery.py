"""BigQuery as an emulator has it, behind a front that is as strict as BigQuery: a local process, or given by address.

The environment that the emulator runs in is made once, 700 MB under `.cache/servers/`: by `python -m tests.servers.bigquery`, or
by `python -m tests.services fetch` where HARVESTER_TEST_REQUIRE names the server. Tests alone do not make it.
"""

import json
import shutil
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.maven import CACHE, PATIENCE, alone
from tests.servers.own import Own
from tests.servers.process import free_port
from tests.servers.protocols import MissingServerError, Server
from tests.servers.rest import DIRECT

VERSION = "1.4.0"
HOME = CACHE / f"bqemulator-{VERSION}"
PINS = Path(__file__).parents[2] / "requirements" / "emulators.txt"
FRONT = Path(__file__).with_name("bigquery_front.py")
PROJECT, DATASET = "test-project", "github_stats"
_EXTENSIONS = "import duckdb_extensions as d; d.import_extension('spatial'); d.import_extension('icu')"


@dataclass(frozen=True)
class BigQueryServer:
    """One that takes every account. `url` is http://host:port."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        """No dataset, and no job of the past."""
        place = f"/bigquery/v2/projects/{PROJECT}/datasets"
        for found in self.call("GET", place).get("datasets", ()):
            self.call("DELETE", f"{place}/{found['datasetReference']['datasetId']}?deleteContents=true")
        self.call("POST", "/front", {"forget": True})

    def rows(self, query: str) -> list[list[Any]]:
        """What a query gives, whose tables are named with their dataset: every value as text, null or a list."""
        found = self.call("POST", f"/bigquery/v2/projects/{PROJECT}/queries", {"query": query, "useLegacySql": False})
        return [[cell["v"] for cell in row["f"]] for row in found.get("rows", ())]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer. OSError when nobody answers, or with an error."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with DIRECT.open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"{}")


@dataclass(frozen=True)
class BigQuery:
    """One row of `tests.services.SERVERS`."""

    name: str = "bigquery"
    provide: str = ".venv/bin/python -m tests.servers.bigquery, once (700 MB)"

    def address(self, url: str) -> BigQueryServer:
        url = url.rstrip("/")
        try:
            _ready(url)
        except OSError as error:
            raise AssertionError(f"{self.name}: nobody answers at {url}: {error}") from error
        return BigQueryServer(self.name, url, "unknown", f"the environment, {url}")

    def container(self) -> AbstractContextManager[Server]:
        raise MissingServerError(self.name, "no image of it is used")

    @contextmanager
    def process(self) -> Iterator[BigQueryServer]:
        with self.node({}) as node:
            yield BigQueryServer(self.name, node.url, f"bqemulator {VERSION}", "a local process, behind a strict front")

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """One of its own. It keeps its tables in memory. `settings` are its options."""

        def command(folder: Path, port: int) -> list[str | Path]:
            options = {"log-level": "error", "grpc-port": free_port(), **settings, "rest-port": free_port()}
            given = [text for key, value in options.items() for text in (f"--{key}", str(value))]
            emulator: list[str | Path] = ["env", f"HOME={HOME}", HOME / "bin" / "python", "-m", "bqemulator", "start", *given]
            # -P: what lies beside the script are our modules, of which some are called like libraries.
            return [sys.executable, "-P", FRONT, str(port), *emulator]

        self.startable()
        node = Own(self.name, "http://", command, lambda port: _ready(f"http://127.0.0.1:{port}"))
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        if not HOME.exists():
            raise MissingServerError(self.name, "its environment is not here")

    def fetched(self) -> str:
        """Where it is, made when it was not here. MissingServerError when it cannot be."""
        with alone(HOME):
            if not HOME.exists():
                part = HOME.with_name(f"{HOME.name}.part")
                shutil.rmtree(part, ignore_errors=True)
                try:
                    _make(part)
                except subprocess.SubprocessError as error:
                    raise MissingServerError(self.name, f"its environment cannot be made: {error}") from error
                part.rename(HOME)
        return str(HOME)


def _make(place: Path) -> None:
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    quietly = ["install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "-r"]
    install: list[str | Path] = [python, "-m", "pip", *quietly, PINS]
    subprocess.run(install, check=True, timeout=PATIENCE)
    subprocess.run([python, "-c", _EXTENSIONS], check=True, env={"HOME": str(place)})


def _ready(url: str) -> None:
    with DIRECT.open(f"{url}/bigquery/v2/projects/{PROJECT}/datasets", timeout=30) as answer:
        answer.read()


if __name__ == "__main__":
    sys.stdout.write(BigQuery().fetched() + "\n")
