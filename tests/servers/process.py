"""A server process that cannot outlive us, and a port for it."""

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
PATIENCE = 180  # seconds until a server answers; 0.1 to 20 on a quiet machine
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: nobody takes the port of a server that is down for a moment."""


class Guarded:
    """A command under a guard: it ends with us, however we end (see guard.py)."""

    def __init__(self, command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        # Groups of their own, so that Ctrl-C reaches us alone and the servers end after the tests that use them.
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, GUARD, folder, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                process_group=0,
            )

    @property
    def child(self) -> int:
        """The process id of the command, while it runs."""
        guard = self._guard.pid
        children = Path(f"/proc/{guard}/task/{guard}/children")
        while not (found := children.read_text().split()):
            assert self.running, "the guard ended before its command began"
        return int(found[0])

    @property
    def running(self) -> bool:
        return self._guard.poll() is None

    def wait(self, seconds: float) -> None:
        """Until it ended by itself (subprocess.TimeoutExpired when it does not)."""
        self._guard.wait(seconds)
        self.close()

    def close(self) -> None:
        """End it with everything it started, and remove its folder; returns when all are gone."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(60)


def free_port() -> int:
    """One that nobody listens on."""
    for port in random.sample(PORTS, 100):
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"a hundred ports of {PORTS} are all taken: see `ss -ltn`")


def await_ready(name: str, ready: Callable[[], None], check_alive: Callable[[], None]) -> None:
    """Until `ready` raises no OSError any more; `check_alive` raises when waiting has no sense. AssertionError after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while True:
        check_alive()
        try:
            return ready()
        except OSError as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} does not answer after {PATIENCE} s: {error}") from error
        time.sleep(0.05)
