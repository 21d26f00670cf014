"""SQS as ElasticMQ speaks it, with the service's own limits: given by address, in Docker, or as a local process."""

import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import docker
from tests.servers.jars import Jars
from tests.servers.own import Own
from tests.servers.rest import DIRECT

_CONFIG = """include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = "127.0.0.1", sqs-limits = strict }}
rest-stats {{ enabled = false }}
"""


@dataclass(frozen=True)
class SqsServer:
    """One that takes every key. `url` is http://host:port."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        """No queue."""
        for queue in re.findall(r"<QueueUrl>([^<]+)</QueueUrl>", _ask(self.url, "ListQueues")):
            _ask(self.url, "DeleteQueue", QueueUrl=queue)


@dataclass(frozen=True)
class Sqs:
    """One row of `tests.services.SERVERS`."""

    jars: Jars
    name: str = "sqs"
    provide: str = "apt-get install openjdk-17-jre-headless maven"

    def address(self, url: str) -> SqsServer:
        try:
            _ask(url, "ListQueues")
        except OSError as error:
            raise AssertionError(f"{self.name}: nobody answers at {url}: {error}") from error
        return SqsServer(self.name, url.rstrip("/"), "unknown", f"the environment, {url}")

    @contextmanager
    def container(self) -> Iterator[SqsServer]:
        image = f"softwaremill/elasticmq-native:{self.jars.version}"
        with docker.container(self.name, image, 9324, {}) as address:
            yield SqsServer(self.name, f"http://{address}", self.jars.version, f"Docker, {image}")

    @contextmanager
    def process(self) -> Iterator[SqsServer]:
        with self.node({}) as node:
            origin = f"a local process, Java {self.jars.java(self.name).version}"
            yield SqsServer(self.name, node.url, self.jars.version, origin)

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """One of its own. It keeps its messages in memory: killed, it has forgotten them. `settings` are lines of its config."""

        def command(folder: Path, port: int) -> list[str | Path]:
            config = folder / "elasticmq.conf"
            config.write_text(_CONFIG.format(port=port) + "".join(f"{key} = {value}\n" for key, value in settings.items()))
            return self.jars.command(self.name, folder, f"-Dconfig.file={config}", "org.elasticmq.server.Main")

        self.startable()
        node = Own(self.name, "http://", command, _ready)
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        self.jars.java(self.name)

    def fetched(self) -> str:
        """The folder of its files, fetched when it was not here."""
        return self.jars.gathered(self.name).name


def _ready(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 10).close()
    _ask(f"http://127.0.0.1:{port}", "ListQueues")


def _ask(url: str, action: str, **parameters: str) -> str:
    """One request of the query protocol. OSError when nobody answers, or with an error."""
    body = urllib.parse.urlencode({"Action": action, "Version": "2012-11-05", **parameters}).encode()
    with DIRECT.open(urllib.request.Request(url, body), timeout=10) as answer:
        return str(answer.read().decode())
