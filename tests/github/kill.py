"""SIGKILL at random moments, again and again, through whole collections: what is lost or stale, and what is read again.

The process is `harvest github backfill`, which reads, archives and writes into DuckDB; the next completes what the last began.
"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from harvester.queues import open_queue
from harvester.sandbox.github import GitHubSandbox
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.serve import listening
from tests.crash.worlds import HARVEST, ROOT
from tests.github.judge import Judge, Judgement, together
from tests.github.size import NOW, everything
from tests.github.stores import FILE, in_file
from tests.github.watch import TOKENS, Again, Watch
from tests.site import Site
from tests.taps import conserve
from tests.threaded import threaded

_LOOK = 0.01
_IDLE = 0.3
"""Seconds without a request after which a life reads no more: it archives or writes."""
_PATIENCE = 300.0


class Plan(NamedTuple):
    """How much there is to be read and how often it is cut."""

    kills: int = 100
    """At least so many, of as many collections as that takes."""
    most: int = 200
    """Of one collection."""
    repositories: int = 24
    pulls_per_day: float = 40.0
    days: int = 40
    batch: int = 100
    """Events in a batch: few, so that there are many moments to die at."""
    seed: str = "kill"


class Report(NamedTuple):
    """What came of it."""

    tables: Mapping[str, Judgement]
    kills: int
    reading: int
    """Of these, while something was read."""
    writing: int
    """Of these, while something was archived or written."""
    again: Again
    ties: int
    """Pull requests of one repository that changed in one second with another, at most."""
    requests: int
    starting: int
    undisturbed: int
    """Requests of a run that nobody killed."""
    collections: int
    unaccounted: int
    seconds: float

    @property
    def struck(self) -> float:
        """Share of the kills that cut work."""
        return (self.reading + self.writing) / max(1, self.kills)

    def wrong(self) -> list[str]:
        """Promises that were not kept."""
        found = together(self.tables.values())
        amounts: dict[str, float] = {
            "missing": found.missing,
            "doubled": found.doubled,
            "stale": found.stale,
            "not true": found.unknown,
            "unaccounted": self.unaccounted,
            f"more than a page of one stream again in one life: {self.again}": not self.again.a_page(self.ties),
            f"only {self.struck:.0%} of the kills cut work": self.struck <= 0.5,
        }
        return [f"{name}: {amount}" for name, amount in amounts.items() if amount]


class Rig:
    """One installation in one folder, and the simulated GitHub that it collects from."""

    def __init__(self, folder: Path, url: str, plan: Plan, watch: Watch) -> None:
        self.watch = watch
        self._dice = Random(f"{plan.seed}{folder.name}")
        self._command = [*HARVEST, "github", "backfill", "--days", str(plan.days + 2)]
        self.site = Site(
            folder,
            HARVESTER_SOURCES="github",
            HARVESTER_GITHUB_URL=url,
            HARVESTER_GITHUB_ORG="acme",
            HARVESTER_GITHUB_MAX_WORKERS="2",
            HARVESTER_COVERAGE_PACE="0",
            HARVESTER_BATCH_EVENTS=str(plan.batch),
            HARVESTER_LOG_LEVEL="warn",
        )
        self.kills = self.reading = self.writing = 0

    @contextmanager
    def process(self) -> "Iterator[subprocess.Popen[bytes]]":
        """One life, that ends with the block at the latest."""
        token = self.watch.born()
        for note in self.site.folder.rglob("work/*"):
            note.unlink()  # of what was in work at a death: here we kill, and no event does
        environment = self.site.environment(HARVESTER_GITHUB_TOKEN=token, PYTHONPATH=str(ROOT))
        with (self.site.folder / "log").open("ab") as log:
            process = subprocess.Popen(self._command, cwd=self.site.folder, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def life(self) -> bool:
        """One life that is killed at a random moment; False: it came to its end before."""
        before = self._written()
        with self.process() as process:
            reads = self._until_some_work(process)
            time.sleep(self._dice.uniform(0.0, 0.15 if reads else 1.5))  # the moment is the point: any moment must do
            if process.poll() is not None:
                assert process.returncode == 0, self.log()
                return False
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        self.kills += 1
        self.reading += reads
        self.writing += not reads and self._written() != before
        return True

    def undisturbed(self) -> None:
        """One life to its end."""
        with self.process() as process:
            assert process.wait(_PATIENCE) == 0, self.log()

    def _until_some_work(self, process: "subprocess.Popen[bytes]") -> bool:
        """Until it was told something new some times: True; or nothing is asked any more, or it has ended: False."""
        wanted, asked = self._dice.randrange(1, 4), self.watch.requests
        begun, last = False, time.monotonic()
        while process.poll() is None:
            if self.watch.answered >= wanted:
                return True
            if self.watch.requests != asked:
                begun, asked, last = True, self.watch.requests, time.monotonic()
            if begun and time.monotonic() - last > _IDLE:
                return False
            time.sleep(_LOOK)
        return False

    def _written(self) -> int:
        """How much the groups have taken out of the queue, all together."""
        if not self.site.queue.exists():
            return 0
        with closing(sqlite3.connect(f"file:{self.site.queue}?mode=ro", uri=True)) as queue:
            (found,) = queue.execute("SELECT coalesce(sum(position), 0) FROM groups").fetchone()
        return int(found)

    def log(self) -> str:
        """Its last lines."""
        return (self.site.folder / "log").read_text()[-2000:]


@contextmanager
def organisation(plan: Plan) -> Iterator[tuple[GitHubSandbox, Watch, str]]:
    """One whose clock stands still, an hour after the last change, that serves from a thread."""
    sandbox, watch = GitHubSandbox(world(plan)), Watch()
    sandbox.stop_changing(NOW - timedelta(hours=1))
    app = sandbox.app()
    app.middlewares.insert(0, watch.keep)
    with threaded(partial(listening, app, "127.0.0.1", 0), "github") as url:
        yield sandbox, watch, url


def world(plan: Plan) -> GitHubSandboxSettings:
    return GitHubSandboxSettings(
        now=NOW,
        seed=plan.seed,
        speed=0,
        repositories=plan.repositories,
        pulls_per_day=plan.pulls_per_day,
        history=plan.days * timedelta(days=1),
        latency=0.02,
        tokens=TOKENS,
        pace=1000,  # each process that is killed would have used up a part of the minute's
        hourly=10**6,
        points=10**6,
    )


def prove(plan: Plan, folder: Path) -> Report:
    """Collect all of it, killed as often as that takes and no less than wanted in all; a new installation when one has all."""
    began, rigs = time.monotonic(), list[Rig]()
    tables, unaccounted = [], 0
    with organisation(plan) as (sandbox, watch, url):
        Rig(folder / "undisturbed", url, plan, watch).undisturbed()
        undisturbed = watch.requests
    with organisation(plan) as (sandbox, _, _):
        truth = sandbox.truth()
        judge = Judge(truth, sandbox.world.repositories, NOW)
        changes = Counter((row["repository_id"], row["updated_at"]) for row in truth.pull_requests.values())
    while sum(rig.kills for rig in rigs) < plan.kills:
        with organisation(plan) as (_, watch, url):
            rig = Rig(folder / f"killed-{len(rigs)}", url, plan, watch)
            rigs.append(rig)
            while rig.kills < plan.most and rig.life():
                pass
            rig.undisturbed()
        tables.append(asyncio.run(_judged(judge, rig)))
        unaccounted += rig.site.harvest("audit").code != 0
    return Report(
        tables={table: together([each[table] for each in tables]) for table in tables[0]},
        kills=sum(rig.kills for rig in rigs),
        reading=sum(rig.reading for rig in rigs),
        writing=sum(rig.writing for rig in rigs),
        again=Again(*map(max, zip(*(rig.watch.again for rig in rigs), strict=True))),
        ties=max(changes.values()) - 1,
        requests=sum(rig.watch.requests for rig in rigs),
        starting=sum(rig.watch.starting for rig in rigs),
        undisturbed=undisturbed,
        collections=len(rigs),
        unaccounted=unaccounted,
        seconds=time.monotonic() - began,
    )


async def _judged(judge: Judge, rig: Rig) -> Mapping[str, Judgement]:
    async with open_queue(f"sqlite:///{rig.site.queue}") as queue:
        await conserve(queue)
    return judge.of(await everything(in_file(rig.site.folder / FILE), judge))
