"""A server process that a test may kill, pause and start again; its port and its data stay the same until `close`."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.servers.process import Guarded, await_ready, free_port

END = 60  # seconds for a server to be gone
NOT_THEIRS = ("CLI_JAVA_", "ES_", "JAVA_", "JDK_JAVA_")
"""Variables that would change a server: whoever calls the tests may have some."""


class Own:
    """`command` makes its command line, when it is started first: it is given the folder of its files and its port.

    `ready` raises OSError while the server at that port does not answer yet. A server that is not the command itself, but started
    by it, writes its process id to `pid` in the folder.
    """

    def __init__(
        self, name: str, scheme: str, command: Callable[[Path, int], Sequence[str | Path]], ready: Callable[[int], None]
    ) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"harvester-{name}-"))
        self.port = free_port()
        self.url = f"{scheme}127.0.0.1:{self.port}"
        self.log = self.folder / "output.log"
        self._pid_file = self.folder / "pid"
        self._ready = ready
        self._process: Guarded | None = None
        try:
            self._command = command(self.folder, self.port)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the server itself, while it runs."""
        assert self._process is not None, f"{self.name} does not run"
        return int(self._pid_file.read_text()) if self._pid_file.exists() else self._process.child

    def start(self) -> None:
        """Returns when it answers. AssertionError with the end of its log when it does not."""
        assert self._process is None, f"{self.name} runs already"
        self._pid_file.unlink(missing_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(NOT_THEIRS)}
        self._process = Guarded(self._command, folder=self.folder, environment=environment, log=self.log)
        await_ready(self.name, lambda: self._ready(self.port), self._check_alive)

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
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.name} does not run"
        os.kill(self.pid, number)
        self._process.wait(END)
        self._process = None

    def _check_alive(self) -> None:
        if self._process is not None and not self._process.running:
            raise AssertionError(f"{self.name} ended: {self.log.read_text(errors='replace')[-3000:]}")


def stands(pid: int) -> bool:
    """Every thread: a process stops one after the other."""
    states = (stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat"))
    return all(state in "TXZ" for state in states)
