"""A simulated vendor in a process of its own, as the crash proof sees it from outside."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.crash.vendors import OPENCAST, Span, Truth, Vendor

HARVEST = [sys.executable, "-m", "harvester"]
ROOT = Path(__file__).parents[2]
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Sandbox:
    """What is asked of it and told to it."""

    def __init__(self, url: str, vendor: Vendor = OPENCAST) -> None:
        self.url = url
        self.vendor = vendor

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=120) as answer:
            return json.load(answer)

    def post(self, path: str, order: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.url + path, json.dumps(order).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def now(self) -> datetime:
        """Its clock."""
        return datetime.fromisoformat(self.get("/sandbox/clock")["now"])

    def truth(self, span: Span) -> Truth:
        """The sandbox's own word of what a sink must hold."""
        return self.vendor.truth(self.get(f"/truth?start={span.start.strftime(_STAMP)}&end={span.end.strftime(_STAMP)}"))


@contextmanager
def sandbox(
    span: Span, *, a_day: int, seed: str, vendor: Vendor = OPENCAST, faults: Sequence[str] = (), speed: float = 0.0
) -> Iterator[Sandbox]:
    """Standing still when all of the span rests, with nothing that begins after it; or with a speed, moving on from its end."""
    now = span.end if speed else span.end + vendor.rest
    command = [*HARVEST, *vendor.sandbox, "--port", "0", "--json", "--seed", seed, "--speed", str(speed)]
    command += ["--now", now.isoformat(), vendor.amount, str(a_day), "--retry-after", "0.05", "--slow", "0.1"]
    command += [part for fault in faults for part in ("--fault", fault)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            found = Sandbox(json.loads(process.stdout.readline())["url"], vendor)
            if not speed:
                found.post("/sandbox/stop-changing", {"at": (span.end - timedelta(seconds=1)).isoformat()})
            yield found
        finally:
            process.terminate()
