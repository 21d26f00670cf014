"""One Elasticsearch process that a test may kill, pause and start again, with its own data folder and settings."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.java import java_for, private
from tests.servers.maven import Archive, unpacked
from tests.servers.own import Own
from tests.servers.process import free_port
from tests.servers.rest import call, check_ready

OPTIONS = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
NOT_ROOT = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Elasticsearch refuses root: a name space in which we are somebody else, and every file stays ours."""


class Node(Own):
    """An `Own` that can be asked too: a parent, as all but `call` is the same."""

    def call(self, method: str, path: str, body: object = None) -> Any:
        """See `tests.servers.rest.call`."""
        return call(self.url, method, path, body)


def node_of(name: str, archive: Archive, java: tuple[int, int], settings: Mapping[str, object]) -> Node:
    """One that is not started yet. MissingServerError where it cannot be made here."""
    java_home = java_for(name, *java).home
    home = unpacked(name, archive)
    cluster = f"{name}-{os.urandom(8).hex()}"

    def command(folder: Path, port: int) -> list[str | Path]:
        _configure(home, folder, {"cluster.name": cluster, "http.port": port, **settings})
        environment = {
            "ES_JAVA_HOME": java_home,
            "ES_PATH_CONF": folder / "config",
            "ES_TMPDIR": folder / "tmp",
            "ES_JAVA_OPTS": OPTIONS,
            "CLI_JAVA_OPTS": " ".join(private(folder / "tmp")),  # of the Java that starts the server
        }
        return [
            "env",
            *(f"{key}={value}" for key, value in environment.items()),
            *(NOT_ROOT if os.geteuid() == 0 else ()),
            home / "bin" / "elasticsearch",
            "-p",
            folder / "pid",
        ]

    return Node(name, "http://", command, lambda port: check_ready(f"http://127.0.0.1:{port}", cluster))


def _configure(home: Path, folder: Path, settings: Mapping[str, object]) -> None:
    shutil.copytree(home / "config", folder / "config")
    lines = {
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "transport.port": free_port(),
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
        "xpack.security.enabled": False,
        "cluster.routing.allocation.disk.threshold_enabled": False,
        **settings,
    }
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items())
    (folder / "config" / "elasticsearch.yml").write_text(text)
