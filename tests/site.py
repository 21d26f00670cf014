"""An installation in a folder of its own, its commands in this process or in real ones, and a vendor that serves beside it."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from unittest.mock import patch

import duckdb

from harvester.book import decode_book
from harvester.cli import run
from harvester.coverage import Coverage
from harvester.logs import COLLECTED
from harvester.sandbox.serve import Running, serve
from harvester.sandbox.settings import SandboxSettings
from harvester.sandbox.truth import TrueAction
from tests.threaded import threaded

T = TypeVar("T")

NOON = datetime(2024, 11, 5, 12, tzinfo=UTC)
"""A Tuesday that is past on every host, so that no book lies in the future."""
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[1]
_WHOLE = ("DEFAULT_INTERVAL", "MAX_START_END_SPAN", "EPISODE_CACHE_EXPIRE")
OURS = ("HARVESTER_", "MATTERHORN_", "SQS_", "S3_", "ES_", "ZOOM_", "REDIS_", *_WHOLE)
PASSWORD = "c4nary-Passw0rd"


def stamp(moment: datetime) -> str:
    """As the command line takes it."""
    return f"{moment:%Y%m%d%H%M%S}"


class World(NamedTuple):
    """A sandbox that serves from a thread; its clock stands still until it is moved."""

    running: Running

    @property
    def url(self) -> str:
        return self.running.url

    def now(self) -> datetime:
        return self.running.clock.now()

    def advance(self, by: timedelta) -> None:
        self.running.clock.advance(by)

    def set(self, now: datetime) -> None:
        self.running.clock.set(now)

    def stop_changing(self) -> None:
        self.running.sandbox.stop_changing()

    def truth(self, start: datetime | None = None, end: datetime | None = None) -> Mapping[int, TrueAction]:
        return self.running.truth(start, end).actions

    def broken(self, start: datetime | None = None, end: datetime | None = None) -> Mapping[int, str]:
        return self.running.truth(start, end).broken

    def calls(self) -> int:
        """Requests for actions since it was asked last; those that only fetch a challenge are not counted."""
        answers = self.running.stats.snapshot().requests.get("/usertracking/actions.json", {})
        self.running.stats.reset()
        return sum(amount for status, amount in answers.items() if status != "401")


@contextmanager
def world(**switches: Any) -> Iterator[World]:
    """Serves while the block runs."""
    given = {"now": NOON, "speed": 0, "login": "digest", "password": PASSWORD, "retry_after": 0.02, "slow": 0.05, **switches}
    with threaded(partial(serve, SandboxSettings(**given)), "sandbox") as running:
        yield World(running)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Site:
    """One installation: its folder, its settings, its commands."""

    def __init__(self, folder: Path, url: str = "", **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        vendor = {"OPENCAST_URL": url, "OPENCAST_USER": "harvester", "OPENCAST_PASSWORD": PASSWORD, "OPENCAST_WAIT": "0"}
        self.settings = {**{f"HARVESTER_{n}": v for n, v in vendor.items() if url}, **settings}

    @property
    def queue(self) -> Path:
        """The queue's file."""
        url = self.settings.get("HARVESTER_QUEUE_URL", "sqlite:///var/queue.db")
        return self.folder / url.removeprefix("sqlite:///").partition("?")[0]

    def environment(self, **more: str) -> dict[str, str]:
        """That of a process of this site: no setting of whoever runs the tests is in it."""
        return {**{n: v for n, v in os.environ.items() if not n.startswith(OURS)}, **self.settings, **more}

    def harvest(self, *args: str, **more: str) -> Done:
        """One command, in this process."""
        with ExitStack() as stack:
            texts = [stack.enter_context((self.folder / f".{name}").open("w+")) for name in ("stdout", "stderr")]
            stack.enter_context(patch.multiple(sys, stdout=texts[0], stderr=texts[1]))
            stack.enter_context(patch.dict(os.environ, self.environment(**more), clear=True))
            stack.enter_context(_inside(self.folder))
            stack.enter_context(_logs_put_back())
            code = run([*args])
            for text in texts:
                text.flush()
                text.seek(0)
            return Done(code, texts[0].read(), texts[1].read())

    @contextmanager
    def process(self, *args: str, **more: str) -> "Iterator[Process]":
        """One command, in a process that ends with the block at the latest."""
        with Process(self, args, more) as process:
            yield process

    def rows(self, columns: str = "action_id, action_outpoint", table: str = "useractions") -> list[tuple[Any, ...]]:
        """What the DuckDB file holds."""
        with duckdb.connect(str(self.folder / "var/harvest.duckdb"), read_only=True) as database:
            return database.execute(f"SELECT {columns} FROM {table}").fetchall()

    def held(self) -> dict[int, int]:
        """Action → outpoint, each once."""
        rows = self.rows()
        held = dict(rows)
        assert len(held) == len(rows)
        return held

    def consume(self) -> Done:
        """Everything that is in the queue."""
        return self.harvest("consume", "duckdb", "--until-empty")

    def coverage(self, name: str = "useractions") -> Any:
        """What `coverage show` knows of one stream, None when nothing."""
        return next(iter(self.harvest("coverage", "show", name, "--json").json.values()), None)

    def book(self, source: str = "opencast") -> Coverage:
        """What stands in the book's file of the one stream; asks no command, so it may be asked often."""
        path = self.folder / f"var/coverage/{source}.json"
        streams = decode_book(path.read_bytes()).streams if path.exists() else {}
        return next(iter(streams.values()), Coverage())

    def lag(self, group: str = "duckdb") -> int:
        """Messages that a sink has not committed, as the queue's file says; -1 while it has not begun."""
        if not self.queue.exists():
            return -1
        with closing(sqlite3.connect(f"file:{self.queue}?mode=ro", uri=True)) as queue:
            (end,) = queue.execute("SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'messages'").fetchone()
            (position,) = queue.execute("SELECT max(position) FROM groups WHERE name = ?", [group]).fetchone()
        return -1 if position is None else int(end - position)

    def audit(self) -> Any:
        done = self.harvest("audit", "--json")
        assert done.code == 0, done
        return done.json


class Process:
    """A process of a site, its output in two files."""

    def __init__(self, site: Site, args: tuple[str, ...], more: Mapping[str, str]) -> None:
        self._site = site
        self._paths = [site.folder / f".{args[0]}-{time.monotonic_ns()}.{name}" for name in ("stdout", "stderr")]
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "harvester", *args],
                cwd=site.folder,
                env={**site.environment(**more), "PYTHONPATH": str(ROOT)},
                stdout=out,
                stderr=err,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.wait()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def out(self) -> str:
        return self._paths[0].read_text()

    @property
    def err(self) -> str:
        return self._paths[1].read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's lines that are whole."""
        return [json.loads(line) for line in self.err.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]

    def running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def ended(self, seconds: float = 30) -> int:
        """Its exit code, once it has ended by itself."""
        return self._popen.wait(seconds)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.ended()

    def until(self, condition: Callable[[], T], seconds: float = 30) -> T:
        """What the condition gives once that is true; fails when it never is, or the process ends before."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert self.running(), f"ended with {self._popen.returncode}: {self.err[-3000:]}"
            assert time.monotonic() < deadline, f"waited in vain: {self.err[-3000:]}"
            time.sleep(0.01)
        return found

    def logged(self, message: str, seconds: float = 30) -> dict[str, Any]:
        """The first line of the log with this message, once it stands there."""
        return self.until(lambda: next((line for line in self.log if message in line["message"]), {}), seconds)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _logs_put_back() -> Iterator[None]:
    root = logging.getLogger()
    collected = logging.getLogger(COLLECTED)
    handlers, level, told = root.handlers[:], root.level, collected.handlers[:]
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()  # as the end of a process does: what goes to a collector has arrived then
        root.handlers[:], root.level, collected.handlers[:] = handlers, level, told
