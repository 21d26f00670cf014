"""The rig of the crash proof: the real processes of one installation, and SIGKILL."""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from harvester.coverage import Book
from harvester.coverages import open_coverages
from harvester.errors import TransientError
from harvester.protocols import CoverageStore
from harvester.queues import open_queue
from tests.crash.places import Cell, access_of, place, prepare
from tests.crash.targets import DUCKDB, Target
from tests.crash.vendors import Span
from tests.crash.worlds import HARVEST, ROOT, Sandbox
from tests.services import RefusedError

_BACK = 180.0
"""Seconds that a server that was killed is waited for."""
_USUAL = "1000"
"""Events in a batch. Who is to be killed takes few, so that there are many moments to die at."""
Found = TypeVar("Found")

HARVESTER_POINTS = (
    "queue.before_publish",
    "queue.in_publish",
    "queue.after_publish",
    "harvest.after_publish",
    "harvest.before_cover",
    "coverage.before_add",
    "coverage.in_add",
    "coverage.after_add",
    "harvest.after_cover",
    "letters.before_add",
    "letters.after_add",
)
CONSUMER_POINTS = (
    "consume.after_receive",
    "consume.after_enrich",
    "sink.before_write",
    "sink.in_write",
    "sink.after_write",
    "consume.after_write",
    "consume.before_commit",
    "queue.before_commit",
    "queue.in_commit",
    "queue.after_commit",
)
HARVESTER = ("run", "--no-consume")


class Site:
    """One installation in one folder: its settings, its processes, its files. Without the settings of a place all is embedded."""

    def __init__(self, folder: Path, world: Sandbox, span: Span, target: Target = DUCKDB, **settings: str) -> None:
        self.folder = folder
        self.world = world
        self.vendor = world.vendor
        self.target = target
        self.consumer = ("consume", target.name)
        folder.mkdir(parents=True, exist_ok=True)
        self.kills = {"harvester": 0, "consumer": 0}
        self.moved = 0
        """Kills at random moments between whose start and end coverage or sink grew: they cut work, and not idling."""
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HARVESTER_")},
            "PYTHONPATH": str(ROOT),
            **self.vendor.settings(world.url, span),
            "HARVESTER_POLL_INTERVAL": "1",
            "HARVESTER_COVERAGE_PACE": "0",
            "HARVESTER_BATCH_EVENTS": "50",
            "HARVESTER_LOG_LEVEL": "warn",
            **target.settings,
            **place(Cell(), folder, folder.name, str),
            **settings,
        }
        prepare(self.environment)

    def start(self, command: Sequence[str], **more: str) -> "subprocess.Popen[bytes]":
        """One process; its log is added to a file of its own."""
        if command == HARVESTER:
            self.await_lease()
        for note in self.folder.rglob("work/*"):
            note.unlink()  # of what was in work at a death: here we kill, and no event does
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [*HARVEST, *command], cwd=self.folder, env={**self.environment, **more}, stdout=log, stderr=log
            )

    def await_lease(self) -> None:
        """Until nobody holds a stream: on a server the lease of who was killed ends with its term."""
        while self._ask_store(lambda store: store.owners(self.vendor.name)):
            time.sleep(0.05)

    def call(self, *command: str) -> Any:
        """A command that prints JSON."""
        done = subprocess.run(
            [*HARVEST, *command], cwd=self.folder, env=self.environment, capture_output=True, check=False, timeout=600
        )
        if done.returncode not in (0, 1, 5) or not done.stdout:
            raise AssertionError(f"harvest {' '.join(command)}: exit {done.returncode}: {done.stderr.decode()[-2000:]}")
        return json.loads(done.stdout)

    def kill_at(self, command: Sequence[str], point: str, number: int, *, patience: float = 30, **more: str) -> bool:
        """Start a process that dies by SIGKILL at a named point; False when it never came there."""
        process = self.start(command, HARVESTER_CRASH_AT=f"{point}:{number}", **more)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            self.stop(process)
            return False
        if process.returncode != -signal.SIGKILL:
            raise AssertionError(f"{command} ended with {process.returncode}: {self.log(command)}")
        self._count(command)
        return True

    def kill_after(self, command: Sequence[str], seconds: float, **more: str) -> bool:
        """Start a process and kill it after a while, wherever it is; whether that cut work: coverage or sink grew meanwhile."""
        before, idle = self._progress(command), self.idle(command)
        process = self.start(command, **more)
        time.sleep(seconds)  # the moment is the point: any moment must do
        if process.poll() is not None:
            raise AssertionError(f"{command} ended with {process.returncode}: {self.log(command)}")
        process.kill()
        process.wait()
        self._count(command)
        moved = not idle and self._progress(command) != before
        self.moved += moved
        return moved

    def _progress(self, command: Sequence[str]) -> object:
        """How much is covered, or held by the sink."""
        return self.covered() if command[0] == "run" else patiently(lambda: self.target.grown(self.folder, self.vendor.tables))

    def idle(self, command: Sequence[str]) -> bool:
        """Whether nothing is left for it to do: all of the past is read, and for the consumer also written."""
        reached = self.reached()
        if reached is None or reached < self.world.now():
            return False
        return command == HARVESTER or not self._waiting()

    def _waiting(self) -> int:
        """What is in the queue for the sink."""

        async def asked() -> int:
            async with open_queue(self.environment["HARVESTER_QUEUE_URL"], access_of(self.environment)) as queue:
                return sum((await queue.lag(self.target.name)).values())

        return patiently(lambda: asyncio.run(asked()))

    def work(self) -> object:
        """What changes whenever something was covered or written."""
        return self._progress(HARVESTER), self._progress(self.consumer)

    def covered(self) -> timedelta:
        """How much time was read, all streams together."""
        return sum((coverage.read.total for coverage in self.book().streams.values()), timedelta())

    def book(self) -> Book:
        """What is stored, as a harvester would load it."""
        return self._ask_store(lambda store: store.load(self.vendor.name))

    def _ask_store(self, ask: Callable[[CoverageStore], Awaitable[Found]]) -> Found:
        async def asked() -> Found:
            async with open_coverages(self.environment["HARVESTER_COVERAGE_URL"], access_of(self.environment)) as store:
                return await ask(store)

        return patiently(lambda: asyncio.run(asked()))

    def _count(self, command: Sequence[str]) -> None:
        self.kills["harvester" if command[0] == "run" else "consumer"] += 1

    def log(self, command: Sequence[str]) -> str:
        return (self.folder / f"{command[0]}.log").read_text()[-2000:]

    @staticmethod
    def stop(process: "subprocess.Popen[bytes]") -> int:
        process.terminate()
        return process.wait(30)

    def reached(self, edge: str = "live_edge") -> datetime | None:
        """Up to where the coverage is read; or, with `watermark`, final."""
        edges: list[datetime | None] = [getattr(coverage, edge) for coverage in self.book().streams.values()]
        return edges[0] if edges else None

    def harvest(self, span: Span, *, edge: str = "live_edge", patience: float = 600) -> None:
        """Undisturbed until the live edge (or the watermark) has passed the span."""
        if (reached := self.reached(edge)) is not None and reached >= span.end:
            return
        process = self.start(HARVESTER)
        deadline = time.monotonic() + patience
        while (reached := self.reached(edge)) is None or reached < span.end:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the harvest did not reach {span.end}, but {reached}: {self.log(HARVESTER)}")
            time.sleep(0.2)
        assert self.stop(process) == 0

    def consume(self, *, patience: float = 600) -> None:
        """Undisturbed until nothing is left, in batches as they usually are: in small ones a sink's file is opened too often."""
        process = self.start((*self.consumer, "--until-empty"), HARVESTER_BATCH_EVENTS=_USUAL)
        assert process.wait(patience) in (0, 5), self.log(self.consumer)


def patiently(ask: Callable[[], Found]) -> Found:
    """What a server says, which may have been killed and be on its way back."""
    deadline = time.monotonic() + _BACK
    while True:
        try:
            return ask()
        except (TransientError, RefusedError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def moments(seed: str, least: float, most: float) -> Iterator[float]:
    """Random moments, the same for the same seed."""
    dice = random.Random(seed)
    while True:
        yield dice.uniform(least, most)
