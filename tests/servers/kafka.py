"""Kafka in KRaft mode: one broker that is its own controller; given by address, in Docker, or as a local process."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import docker
from tests.servers.jars import Jars
from tests.servers.own import Own
from tests.servers.process import free_port

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "auto.create.topics.enable": "false",
    "broker.session.timeout.ms": 1000,  # else a broker that was killed is waited for when it comes back
    "broker.heartbeat.interval.ms": 200,
}
_IDENTITY = "version=1\ncluster.id=aGFydmVzdGVyLXRlc3RzMA\nnode.id=1\ndirectory.id=aGFydmVzdGVyLWRpcjAwMA\n"
_METADATA, _LIST_GROUPS, _DELETE_TOPICS, _DELETE_GROUPS = (3, 1), (16, 0), (20, 1), (42, 0)
"""Requests and the version of each that is spoken here (the protocol guide of Kafka)."""


@dataclass(frozen=True)
class KafkaServer:
    """A broker without login. `url` is its host:port."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        """No topic and no group that is not Kafka's own."""
        host, _, port = self.url.rpartition(":")
        groups = _groups(_ask((host, int(port)), _LIST_GROUPS, b""))
        if groups:
            _ask((host, int(port)), _DELETE_GROUPS, _texts(groups))
        topics = [topic for topic in topics_at(host, int(port)) if not topic.startswith("__")]
        if topics:
            _ask((host, int(port)), _DELETE_TOPICS, _texts(topics) + struct.pack(">i", 30_000))


@dataclass(frozen=True)
class Kafka:
    """One row of `tests.services.SERVERS`."""

    jars: Jars
    name: str = "kafka"
    provide: str = "apt-get install openjdk-17-jre-headless maven"

    def address(self, url: str) -> KafkaServer:
        host, _, port = url.rpartition(":")
        try:
            topics_at(host, int(port))
        except OSError as error:
            raise AssertionError(f"{self.name}: nobody answers at {url}: {error}") from error
        return KafkaServer(self.name, url, "unknown", f"the environment, {url}")

    @contextmanager
    def container(self) -> Iterator[KafkaServer]:
        image, port = f"apache/kafka:{self.jars.version}", free_port()
        settings = {
            **_SETTINGS,
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.quorum.voters": "1@localhost:9093",
        }
        environment = {f"KAFKA_{key.upper().replace('.', '_')}": str(value) for key, value in settings.items()}
        with docker.container(self.name, image, 9092, environment, host_port=port) as address:
            yield KafkaServer(self.name, address, self.jars.version, f"Docker, {image}")

    @contextmanager
    def process(self) -> Iterator[KafkaServer]:
        with self.node({}) as node:
            origin = f"a local process, Java {self.jars.java(self.name).version}"
            yield KafkaServer(self.name, node.url, self.jars.version, origin)

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """A broker with a data folder of its own; both are gone after the block. `settings` are lines of its properties."""

        def command(folder: Path, port: int) -> list[str | Path]:
            properties = folder / "server.properties"
            properties.write_text(_properties(folder, port, settings))
            (folder / "data").mkdir()
            (folder / "data" / "meta.properties").write_text(_IDENTITY)
            return self.jars.command(self.name, folder, "kafka.Kafka", properties)

        self.startable()
        node = Own(self.name, "", command, lambda port: _ready("127.0.0.1", port))
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


def _properties(folder: Path, port: int, settings: dict[str, object]) -> str:
    controller = free_port()
    lines = {
        **_SETTINGS,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": str(folder / "data"),
        **settings,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _ready(host: str, port: int) -> None:
    if not struct.unpack_from(">i", _ask((host, port), _METADATA, struct.pack(">i", 0)))[0]:
        raise ConnectionError("no broker is registered yet")


def topics_at(host: str, port: int) -> list[str]:
    """All there are. OSError when nobody answers."""
    answer = _Reader(_ask((host, port), _METADATA, struct.pack(">i", -1)))
    for _ in range(answer.number(">i")):  # brokers: id, host, port, rack
        answer.number(">i")
        answer.text()
        answer.number(">i")
        answer.text()
    answer.number(">i")
    topics = []
    for _ in range(answer.number(">i")):
        answer.number(">h")
        topics.append(answer.text())
        answer.number(">b")
        for _ in range(answer.number(">i")):  # partitions: error, number, leader, replicas, in sync
            for kind in (">h", ">i", ">i"):
                answer.number(kind)
            for _ in range(2):
                for _ in range(answer.number(">i")):
                    answer.number(">i")
    return topics


def _groups(body: bytes) -> list[str]:
    answer = _Reader(body)
    answer.number(">h")
    names = []
    for _ in range(answer.number(">i")):
        names.append(answer.text())
        answer.text()
    return names


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def number(self, kind: str) -> int:
        (found,) = struct.unpack_from(kind, self._body, self._at)
        self._at += struct.calcsize(kind)
        return int(found)

    def text(self) -> str:
        size = max(0, self.number(">h"))
        self._at += size
        return self._body[self._at - size : self._at].decode()


def _texts(texts: list[str]) -> bytes:
    return struct.pack(">i", len(texts)) + b"".join(struct.pack(">h", len(t.encode())) + t.encode() for t in texts)


def _ask(address: tuple[str, int], request: tuple[int, int], body: bytes) -> bytes:
    """One request of the protocol. OSError when nobody answers it whole."""
    sent = struct.pack(">hhih", *request, 1, -1) + body
    with socket.create_connection(address, 10) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">i", len(sent)) + sent)
        head = answers.read(8)
        if len(head) < 8:
            raise ConnectionError("the connection was closed")
        size = struct.unpack(">ii", head)[0] - 4
        answer = answers.read(size)
        if len(answer) < size:
            raise ConnectionError("the answer was cut")
        return answer
