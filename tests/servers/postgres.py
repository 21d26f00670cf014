"""PostgreSQL: given by address, in Docker, or as a local process."""

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import docker
from tests.servers.node import NOT_ROOT
from tests.servers.own import Own
from tests.servers.protocols import MissingServerError

IMAGE = "postgres:17-alpine"
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": 50, "dynamic_shared_memory_type": "mmap"}
"""It outlives its own death, not that of the machine. Shared memory is files of its folder: a kill leaves none elsewhere."""
_EMPTY = """
SELECT 'DROP SCHEMA ' || quote_ident(nspname) || ' CASCADE' FROM pg_namespace
WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
\\gexec
CREATE SCHEMA public
"""


@dataclass(frozen=True)
class PostgresServer:
    """One that lets the account `postgres` in without a password. `url` is postgresql://host:port/database."""

    name: str
    url: str
    version: str
    origin: str

    def empty(self) -> None:
        """No table in any schema, and an empty `public`."""
        _psql(self.url, _EMPTY)


@dataclass(frozen=True)
class Postgres:
    """One row of `tests.services.SERVERS`."""

    name: str = "postgres"
    provide: str = "apt-get install postgresql"

    def address(self, url: str) -> PostgresServer:
        url = url if "://" in url else f"postgresql://{url}"
        try:
            return PostgresServer(self.name, url, _version(url), f"the environment, {url}")
        except (OSError, subprocess.CalledProcessError) as error:
            raise AssertionError(f"{self.name}: nobody answers at {url}: {error}") from error

    @contextmanager
    def container(self) -> Iterator[PostgresServer]:
        with docker.container(self.name, IMAGE, 5432, {"POSTGRES_HOST_AUTH_METHOD": "trust"}) as address:
            host, _, port = address.rpartition(":")
            _ready(int(port), host)
            url = f"postgresql://{address}/postgres"
            yield PostgresServer(self.name, url, _version(url), f"Docker, {IMAGE}")

    @contextmanager
    def process(self) -> Iterator[PostgresServer]:
        with self.node({}) as node:
            yield PostgresServer(self.name, node.url, _version(node.url), "a local process")

    @contextmanager
    def node(self, settings: dict[str, object]) -> Iterator[Own]:
        """One with a data folder of its own; both are gone after the block. `settings` are lines of its postgresql.conf."""

        def command(folder: Path, port: int) -> list[str | Path]:
            data, apart = folder / "data", NOT_ROOT if os.geteuid() == 0 else ()
            made = [*apart, program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
            subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
            lines = {**SETTINGS, "port": port, "unix_socket_directories": "''", "listen_addresses": "'127.0.0.1'", **settings}
            with (data / "postgresql.conf").open("a") as file:
                file.writelines(f"{key} = {value}\n" for key, value in lines.items())
            return [*apart, program("postgres"), "-D", data]

        self.startable()
        node = Own(self.name, "postgresql://", command, _ready)
        node.url += "/postgres"
        try:
            node.start()
            yield node
        finally:
            node.close()

    def startable(self) -> None:
        for name in ("initdb", "postgres", "psql"):
            program(name)

    def fetched(self) -> str:
        """The program."""
        return str(program("postgres"))


def program(name: str) -> Path:
    """Where it is: on the PATH, or where Debian keeps those of the newest version. MissingServerError where there is none."""
    if found := shutil.which(name):
        return Path(found)
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not packaged:
        raise MissingServerError("postgres", f"there is no {name} here")
    return packaged[-1]


def _ready(port: int, host: str = "127.0.0.1") -> None:
    """OSError while it does not take connections: a start-up packet is answered with a login, else with an error."""
    body = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(struct.pack("!I", len(body) + 4) + body)
        if connection.recv(1) != b"R":
            raise ConnectionError("it is starting")


def _version(url: str) -> str:
    return _psql(url, "SHOW server_version").split()[0]


def _psql(url: str, text: str) -> str:
    place = urlsplit(url)
    to = ["-h", place.hostname or "127.0.0.1", "-p", str(place.port or 5432), "-U", place.username or "postgres"]
    quiet = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    command: list[str | Path] = [program("psql"), *quiet, *to, place.path.strip("/") or "postgres"]
    return subprocess.run(command, input=text, text=True, check=True, capture_output=True).stdout
