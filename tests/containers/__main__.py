"""`python -m tests.containers`: how long each process of the compose file takes from nothing, and the first document."""

import sys
import tempfile
import time
from pathlib import Path

from tests.containers.compose import COMPOSE, read
from tests.containers.stack import started


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="harvester-stack-") as folder:
        began = time.monotonic()
        with started(read(COMPOSE.read_text())["services"], COMPOSE.parent / "secrets", Path(folder)) as stack:
            for name, seconds in stack.times.items():
                sys.stdout.write(f"{name:<16}{seconds:6.1f} s\n" if name in stack.here else f"{name:<16}     not run here\n")
            stack.documents()
            sys.stdout.write(f"{'first document':<16}{time.monotonic() - began:6.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
