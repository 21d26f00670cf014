"""S3 as moto serves it, with conditional writes: given by address, in Docker, or as a local process."""

import importlib.util
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.servers import docker
from tests.servers.own import Own
from tests.servers.protocols import MissingServerError
from tests.servers.rest import DIRECT

IMAGE = "motoserver/moto:5.2.5"
ATOMIC = Path(__file__).with_name("atomic_moto.py")


@dataclass(frozen=True)
class S3Server:
    """One that takes every key. `url` is http://host:port."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        """No bucket."""
        _ask(self.url, "POST", "/moto-api/reset")


@dataclass(frozen=True)
class S3:
    """One row of `tests.services.SERVERS`."""

    name: str = "s3"
    provide: str = "make .venv/.dev, which brings moto"

    def address(self, url: str) -> S3Server:
        try:
            _ask(url, "GET", "/moto-api/")
        except OSError as error:
            raise AssertionError(f"{self.name}: no moto server answers at {url}: {error}") from error
        return S3Server(self.name, url.rstrip("/"), "unknown", f"the environment, {url}")

    @contextmanager
    def container(self) -> Iterator[S3Server]:
        with docker.container(self.name, IMAGE, 5000, {}) as address:
            yield S3Server(self.name, f"http://{address}", IMAGE.rpartition(":")[2], f"Docker, {IMAGE}")

    @contextmanager
    def process(self) -> Iterator[S3Server]:
        with self.node({}) as node:
            yield S3Server(self.name, node.url, f"moto {version('moto')}", "a local process")

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """One of its own. It keeps its objects in memory: killed, it has forgotten them. `settings` are its options."""

        def command(folder: Path, port: int) -> list[str | Path]:
            options = [text for key, value in settings.items() for text in (f"--{key}", str(value))]
            # -P: what lies beside the script are our modules, of which some are called like libraries.
            return [sys.executable, "-P", "-W", "ignore", ATOMIC, "-H", "127.0.0.1", "-p", str(port), *options]

        self.startable()
        node = Own(self.name, "http://", command, lambda port: _ask(f"http://127.0.0.1:{port}", "GET", "/moto-api/"))
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        if importlib.util.find_spec("moto") is None:
            raise MissingServerError(self.name, "moto is not installed")

    def fetched(self) -> str:
        """The program."""
        return f"moto {version('moto')}"


def _ask(url: str, method: str, path: str) -> None:
    """OSError when nobody answers, or with an error."""
    with DIRECT.open(urllib.request.Request(url.rstrip("/") + path, method=method), timeout=30) as answer:
        answer.read()
