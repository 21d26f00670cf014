"""One Elasticsearch process that a test may kill, pause and start again, with its own data folder and settings."""

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.java import Java, fitting, installed
from tests.servers.maven import Archive, unpacked
from tests.servers.process import Guarded, free_port
from tests.servers.protocols import MissingServerError
from tests.servers.rest import await_answer, call

OPTIONS = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1"
NOT_ROOT = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Elasticsearch refuses root: a name space in which we are somebody else, and every file stays ours."""
END = 60  # seconds for a server to be gone


def java_for(name: str, least: int, tried: int) -> Java:
    """MissingServerError where none is installed."""
    if (java := fitting(least, tried)) is None:
        there = ", ".join(str(java.version) for java in installed()) or "none"
        raise MissingServerError(
            name, f"no Java {least} or newer (from 21 on with jdk.incubator.vector) here; installed: {there}"
        )
    return java


class Node:
    """A process that is started and ended at will; its port and its data stay the same until `close`."""

    def __init__(self, name: str, archive: Archive, java: tuple[int, int], settings: Mapping[str, object]) -> None:
        """MissingServerError where it cannot be made here."""
        self.name = name
        self.version = archive.version
        self._java = java_for(name, *java)
        self._home = unpacked(name, archive)
        self._folder = Path(tempfile.mkdtemp(prefix=f"harvester-{name}-"))
        self._cluster = self._folder.name
        self._port = free_port()
        self._process: Guarded | None = None
        self._pid_file = self._folder / "pid"
        self._configure(settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the server itself, while it runs."""
        return int(self._pid_file.read_text())

    @property
    def log(self) -> Path:
        return self._folder / "output.log"

    def call(self, method: str, path: str, body: object = None) -> Any:
        """See `tests.servers.rest.call`."""
        return call(self.url, method, path, body)

    def start(self) -> None:
        """Returns when it answers. AssertionError with the end of its log when it does not."""
        assert self._process is None, f"{self.name} runs already"
        self._pid_file.unlink(missing_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ES_", "JAVA_", "JDK_JAVA_"))}
        environment |= {
            "ES_JAVA_HOME": str(self._java.home),
            "ES_PATH_CONF": str(self._folder / "config"),
            "ES_TMPDIR": str(self._folder / "tmp"),
            "ES_JAVA_OPTS": OPTIONS,
        }
        command = [*(NOT_ROOT if os.geteuid() == 0 else ()), self._home / "bin" / "elasticsearch", "-p", self._pid_file]
        self._process = Guarded(command, folder=self._folder, environment=environment, log=self.log)
        await_answer(self.url, self._check_alive, self._cluster)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, the orderly end; returns when it is gone."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP; returns when it stands. Its kernel takes connections still, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + END
        while not stands(self.pid):
            assert time.monotonic() < deadline, f"{self.name} does not stand after SIGSTOP"
            time.sleep(0.01)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it in whatever state it is, and remove its folder."""
        if self._process is not None:
            self._process.close()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.name} does not run"
        os.kill(self.pid, number)
        self._process.wait(END)
        self._process = None

    def _check_alive(self) -> None:
        if self._process is not None and not self._process.running:
            raise AssertionError(f"{self.name} ended: {self.log.read_text(errors='replace')[-3000:]}")

    def _configure(self, settings: Mapping[str, object]) -> None:
        shutil.copytree(self._home / "config", self._folder / "config")
        (self._folder / "tmp").mkdir()
        lines = {
            "cluster.name": self._cluster,
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": self._port,
            "transport.port": free_port(),
            "path.data": str(self._folder / "data"),
            "path.logs": str(self._folder / "logs"),
            "xpack.security.enabled": False,
            "cluster.routing.allocation.disk.threshold_enabled": False,
            **settings,
        }
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items())
        (self._folder / "config" / "elasticsearch.yml").write_text(text)


def stands(pid: int) -> bool:
    """Every thread: a process stops one after the other."""
    states = (stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat"))
    return all(state in "TXZ" for state in states)
