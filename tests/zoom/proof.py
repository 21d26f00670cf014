"""Weeks of a simulated Zoom account, through the real queue and consumer into a sink: what arrived, and for how many calls.

A part is history that is there already, and is read in as many days as the limit of a day wants. The rest happens while it is
read some times a day, by a new process each time. Then all comes to rest.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from consumers.batch import Processing
from consumers.consume import consume
from consumers.records import gives_records
from harvester.errors import TransientError
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from harvester.retry import DAEMON
from harvester.sandbox.zoom import ZoomSandbox
from harvester.sandbox.zoom_settings import ZOOM_REST, ZoomSandboxSettings, ZoomSwitches
from tests.crash.targets import DUCKDB, Target
from tests.fakes import Clock
from tests.taps import Stores, all_letters, conserve, open_stores
from tests.zoom.judge import Judgement, judged
from tests.zoom.ledger import Calls, Ledger
from tests.zoom.timing import Hours
from tests.zoom_university import opened

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
"""When the reading begins."""
DAY = timedelta(days=1)
FAULTS = {"429-iso": 0.001, "429-bare": 0.001, "429-date": 0.001, "429-seconds": 0.001, "500": 0.002, "503": 0.002}
FAULTS |= {"reset": 0.002, "truncated": 0.002, "half-json": 0.001, "html": 0.001, "dead-token": 0.002, "dead-page": 0.01}
BAD_ROWS = {"nan": 0.001, "surrogate": 0.001, "not-utf8": 0.001, "deep": 0.001, "nameless": 0.001, "pretty": 0.01, "nul": 0.005}
MOST_CUTS = 20
FULL = 1.05
"""Calls over the least number that are allowed."""


class Plan(NamedTuple):
    """How much there is to read."""

    days: int = 60
    history: int = 30
    """So many of them have passed when the reading begins."""
    meetings: int = 5_300
    rejoins: float = 0.4
    every: timedelta = timedelta(hours=6)
    """Between two scheduled reads."""
    daily: int = 900
    """Calls a day that the account may make while the history is read: so it takes several days."""
    page: int = 100
    faults: bool = True


class Report(NamedTuple):
    """What came of it."""

    judgement: Judgement
    history: Calls
    """While the limit of a day cut the reading of the history."""
    cuts: int
    """How often that was."""
    repeated: int
    """Finished meetings that were asked for again after it."""
    live: Calls
    """Since then."""
    polls: int
    violations: int
    """Calls over any limit, counted by the vendor."""
    early: int
    """Calls before the wait that they were told was over."""
    letters: int
    broken: int
    """Rows that were no records, and meetings whose participants could not be had."""
    events: int
    waited: float
    """Simulated seconds that the harvester waited."""
    seconds: float

    @property
    def calls(self) -> Calls:
        """All of them."""
        return Calls(*map(sum, zip(self.history, self.live, strict=True)))

    def faults(self) -> list[str]:
        """Promises that were not kept."""
        found = self.judgement
        wrong = {
            "missing": found.missing,
            "doubled": found.doubled,
            "stale": found.stale,
            "not true": found.unknown,
            "over a limit": self.violations,
            "too early": self.early,
            "finished meetings asked for again after a cut": self.repeated,
            f"only {self.cuts} cut by the limit of the day": self.cuts < 2,
            f"calls {self.calls.ratio:.3f} × the least": self.calls.ratio > FULL,
        }
        return [f"{name}: {amount}" for name, amount in wrong.items() if amount]


class Run:
    """One account, one harvester, one sink."""

    def __init__(self, plan: Plan, sandbox: ZoomSandbox, hours: Hours, ledger: Ledger, stores: Stores, url: str) -> None:
        self._plan, self._sandbox, self._hours, self._ledger = plan, sandbox, hours, ledger
        self._stores, self._url = stores, url
        self.polls = 0
        self.start = NOW - plan.history * DAY

    async def poll(self) -> bool:
        """One scheduled read by a process of its own; whether it came to its end."""
        self._ledger.begin()
        self.polls += 1
        book = OpenBook(self._stores.coverages, "zoom", self._stores.queue)
        await book.load()
        source = opened(self._url, retry=DAEMON, page_size=self._plan.page, pacing=self._hours.pacing)
        async with source as zoom:
            [stream] = await zoom.streams()
            harvest = Harvest(zoom, stream, self._stores.queue, book, self._stores.letters, retry=DAEMON)
            try:
                await harvest.poll(self.start)
            except TransientError as error:
                if "it goes on at" not in str(error):
                    raise
                return False
            finally:
                await book.store()
        return True

    async def history(self) -> int:
        """Read what is there, a day's calls a day; how often the day's limit cut it."""
        cuts = 0
        while not await self.poll():
            cuts += 1
            assert cuts < MOST_CUTS, "a day's calls do not suffice for a day"
            asked = self._ledger.calls().total
            assert not await self.poll()  # another process of that day knows that nothing is left, and asks nothing
            assert self._ledger.calls().total == asked
            self._tomorrow()
        return cuts

    def _tomorrow(self) -> None:
        now = self._sandbox.clock.now()
        self._hours.leap(now.replace(hour=0, minute=1, second=0) + DAY - now)

    async def live(self) -> datetime:
        """What happens meanwhile, and its rest. When the last meeting began."""
        end = self.start + self._plan.days * DAY
        while self._sandbox.clock.now() < end:
            self._hours.leap(self._plan.every)
            assert await self.poll()
        end = self._sandbox.clock.now()
        self._sandbox.stop_changing(end)
        while self._sandbox.clock.now() < end + ZOOM_REST + DAY:
            self._hours.leap(self._plan.every)
            assert await self.poll()
        return end


@asynccontextmanager
async def _account(plan: Plan) -> AsyncIterator[tuple[ZoomSandbox, Hours, Ledger, str]]:
    """A simulated Zoom that serves, its time, and who writes down what it is asked."""
    hours = Hours("zoom")
    world = ZoomSandboxSettings(
        now=NOW,
        meetings_per_day=-(-plan.meetings // plan.days),
        rejoins=plan.rejoins,
        daily=plan.daily,
        page_cap=plan.page,
        slow=0.0,
        faults=FAULTS | BAD_ROWS if plan.faults else {},
    )
    sandbox = ZoomSandbox(world, ticker=hours.now)
    ledger, app = Ledger(sandbox), sandbox.app()
    app.middlewares[:0] = [hours.network, ledger.keep]
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield sandbox, hours, ledger, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def prove(plan: Plan, folder: Path, target: Target = DUCKDB) -> Report:
    """Run it all. The folder is empty, and holds queue, book and letters afterwards; the sink holds nothing of Zoom before."""
    began, stop = time.monotonic(), asyncio.Event()
    async with AsyncExitStack() as stack:
        sandbox, hours, ledger, url = await stack.enter_async_context(_account(plan))
        stores = await stack.enter_async_context(open_stores(folder, Clock(NOW + (2 * plan.days + 30) * DAY)))
        sink = await stack.enter_async_context(target.opened(folder))
        processing = Processing(sink, stores.letters, stop, wants=gives_records)
        feeding = asyncio.create_task(consume(stores.queue, target.name, processing, stores.letters, stop))
        run = Run(plan, sandbox, hours, ledger, stores, url)
        try:
            cuts = await run.history()
            history, repeated = ledger.calls(), len(ledger.repeated)
            sandbox.switch(ZoomSwitches(daily=0))
            end = await run.live()
        finally:
            stop.set()
            await feeding
        await consume(stores.queue, target.name, processing, stores.letters, asyncio.Event(), until_empty=True)
        await conserve(stores.queue)
        stats, truth = sandbox.stats.snapshot(), sandbox.truth(run.start, end)
        return Report(
            judgement=await asyncio.to_thread(judged, target, folder, truth),
            history=history,
            cuts=cuts,
            repeated=repeated,
            live=Calls(*(now - before for now, before in zip(ledger.calls(), history, strict=True))),
            polls=run.polls,
            violations=sum(stats.violations.values()),
            early=stats.early,
            letters=len(await all_letters(stores.letters)),
            broken=len(truth.broken),
            events=sum(counts["published"] for counts in (await stores.queue.counts()).values() if "published" in counts) // 2,
            waited=hours.waited,
            seconds=time.monotonic() - began,
        )
