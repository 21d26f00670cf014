"""A simulated organisation at size, through the real queue and consumer into tables: what arrived, and for how many calls.

Half a year that is there already is read at once; then it lives for a month and is polled by one process after another; then all
comes to rest, and a day passes on which nothing happens. Time passes only where somebody waits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from consumers.batch import Processing
from consumers.consume import consume
from consumers.records import gives_records
from harvester.sandbox.clock import moment_of
from harvester.sandbox.github import GitHubSandbox
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.github_truth import TABLES
from harvester.sandbox.serve import listening
from tests.fakes import Clock
from tests.github import stores
from tests.github.judge import Held, Judge, Judgement, together
from tests.github.ledger import OLD_CALLS, OLD_RUNS, Calls, Ledger
from tests.github.polling import Polling
from tests.github.stores import Store
from tests.github.timing import Hours
from tests.taps import all_letters, conserve, open_stores

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
"""When the reading begins."""
DAY = timedelta(days=1)
FAULTS = {"403-bare": 0.0005, "500": 0.001, "502": 0.002, "503": 0.001, "504": 0.002, "reset": 0.002}
FAULTS |= {"truncated": 0.001, "half-json": 0.001, "html": 0.001}
BACKFILL, IDLE = 5.0, 50.0
"""At most one call where the predecessor made so many: for the history, and on a day on which nothing happens."""
_MORE = 1.15
"""Fewer pull requests come than are asked for: some repositories are empty, young or archived."""


class Plan(NamedTuple):
    """How much there is."""

    repositories: int = 200
    pulls: int = 20_000
    days: int = 180
    """Of history."""
    live: int = 30
    """Days that follow."""
    every: timedelta = timedelta(hours=2)
    """Between two polls of the days that follow."""
    idle_every: timedelta = timedelta(minutes=5)
    """Between two polls of the idle day, as the program polls unless told otherwise."""
    restart_after: int = 100
    """Polls that one process makes before it gives way to another."""
    faults: bool = True
    sink: str = "duckdb"
    seed: str = "size"
    backfill_ratio: float = BACKFILL
    idle_ratio: float = IDLE
    """The least; the canary costs the same however few pull requests there are."""


class Report(NamedTuple):
    """What came of it."""

    plan: Plan
    judge: Judge
    tables: Mapping[str, Judgement]
    pulls: int
    """That were there when the reading began."""
    backfill: Calls
    took: timedelta
    """Simulated, for the history."""
    live: Calls
    idle: Calls
    polls: int
    violations: Mapping[str, int]
    early: int
    """Calls before the wait that they were told was over."""
    faults: int
    """Of the vendor and of the way there."""
    letters: int
    untold: int
    """Reviews that are true but for the time of their change, which is null."""
    unread: int
    """Streams that did not come to their end for anything but a repository that is gone."""
    events: int
    seconds: float

    @property
    def backfill_ratio(self) -> float:
        """The predecessor's calls for one of ours."""
        return OLD_CALLS * self.pulls / self.backfill.total

    @property
    def idle_ratio(self) -> float:
        return OLD_CALLS * OLD_RUNS * self.tables["pull_requests"].true / self.idle.total

    def wrong(self) -> list[str]:
        """Promises that were not kept."""
        all_ = together(self.tables.values())
        amounts = {
            "missing": all_.missing,
            "doubled": all_.doubled,
            "stale": all_.stale,
            "not true": all_.unknown,
            "over a limit": sum(self.violations.values()),
            "too early": self.early,
            "streams that broke off": self.unread,
            f"the history took more than 1/{self.plan.backfill_ratio:g} of the calls": self.backfill_ratio
            < self.plan.backfill_ratio,
            f"the idle day took more than 1/{self.plan.idle_ratio:g} of the calls": self.idle_ratio < self.plan.idle_ratio,
        }
        return [f"{name}: {amount}" for name, amount in amounts.items() if amount]


def world(plan: Plan) -> GitHubSandboxSettings:
    """With GitHub's own limits, all enforced."""
    return GitHubSandboxSettings(
        now=NOW,
        seed=plan.seed,
        repositories=plan.repositories,
        pulls_per_day=plan.pulls / plan.days * _MORE,
        history=plan.days * DAY,
        slow=0.0,
        faults=FAULTS if plan.faults else {},
    )


@asynccontextmanager
async def organisation(plan: Plan) -> AsyncIterator[tuple[GitHubSandbox, Hours, Ledger, str]]:
    """One that serves, its time, and who writes down what it is asked."""
    hours, ledger = Hours(plan.seed), Ledger()
    sandbox = GitHubSandbox(world(plan), ticker=hours.now)
    app = sandbox.app()
    app.middlewares[:0] = [hours.network, ledger.keep]
    async with listening(app, "127.0.0.1", 0) as url:
        yield sandbox, hours, ledger, url


class Run:
    """One organisation, one harvester."""

    def __init__(self, plan: Plan, sandbox: GitHubSandbox, hours: Hours, ledger: Ledger, polling: Polling) -> None:
        self._plan, self._sandbox, self._hours, self._ledger, self._polling = plan, sandbox, hours, ledger, polling
        self.polls = 0
        self.looked = NOW
        """When the last poll that ended before repositories were deleted began."""
        self._deleted = NOW + 2 * DAY

    async def _poll(self) -> None:
        began = self._sandbox.clock.now()
        await self._polling.round(began)
        self.polls += 1
        if self._sandbox.clock.now() < self._deleted:
            self.looked = began

    async def backfill(self) -> tuple[Calls, timedelta]:
        """Read what is there; the calls, and how long that took."""
        await self._poll()
        return self._ledger.calls, self._sandbox.clock.now() - NOW

    async def live(self) -> Calls:
        """What happens meanwhile, and its rest."""
        before, end = self._ledger.calls, NOW + self._plan.live * DAY
        while self._sandbox.clock.now() < end:
            await self._later(self._plan.every)
        self._sandbox.stop_changing()
        rested = self._sandbox.clock.now() + 3 * DAY  # what is settled after a day, and swept once more
        while self._sandbox.clock.now() < rested:
            await self._later(max(self._plan.every, timedelta(hours=6)))
        return self._ledger.calls.since(before)

    async def idle(self) -> Calls:
        """A day on which nothing happens."""
        before, end = self._ledger.calls, self._sandbox.clock.now() + DAY
        while self._sandbox.clock.now() + self._plan.idle_every <= end:
            await self._later(self._plan.idle_every)
        return self._ledger.calls.since(before)

    async def _later(self, by: timedelta) -> None:
        self._hours.leap(by)
        if self.polls % self._plan.restart_after == 0:
            await self._polling.restart()
        await self._poll()


async def prove(plan: Plan, folder: Path) -> Report:
    """Run it all. The folder is empty, and holds queue, book, letters and file afterwards."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        sandbox, hours, ledger, url = await stack.enter_async_context(organisation(plan))
        store = await stack.enter_async_context(stores.opened(plan.sink, folder))
        held = await stack.enter_async_context(open_stores(folder, Clock(NOW + (plan.live + 60) * DAY)))
        sink, stop = await stack.enter_async_context(store.open()), asyncio.Event()
        processing = Processing(sink, held.letters, stop, wants=gives_records)
        feeding = asyncio.create_task(consume(held.queue, store.name, processing, held.letters, stop))
        start = moment_of(sandbox.world.since * 1000) - timedelta(hours=1)
        polling = await stack.enter_async_context(Polling(url, hours, held, start))
        run = Run(plan, sandbox, hours, ledger, polling)
        pulls = len(sandbox.truth().pull_requests)
        try:
            backfill, took = await run.backfill()
            live, idle = await run.live(), await run.idle()
        finally:
            stop.set()
            await feeding
        await consume(held.queue, store.name, processing, held.letters, asyncio.Event(), until_empty=True)
        await conserve(held.queue)
        stats, truth = sandbox.stats.snapshot(), sandbox.truth()
        judge = Judge(truth, sandbox.world.repositories, run.looked)
        return Report(
            plan=plan,
            judge=judge,
            tables=judge.of(await everything(store, judge)),
            pulls=pulls,
            backfill=backfill,
            took=took,
            live=live,
            idle=idle,
            polls=run.polls,
            violations=stats.violations,
            early=stats.early,
            faults=sum(stats.faults.values()),
            letters=len(await all_letters(held.letters)),
            untold=judge.untold,
            unread=polling.broke_off,
            events=(await held.queue.counts())[""]["published"],
            seconds=time.monotonic() - began,
        )


async def everything(store: Store, judge: Judge) -> Held:
    """All that the store holds of what is judged."""
    return {table: await stores.rows(store, table, judge.columns(table)) for table in TABLES}
