"""One source of the daemon: opened, its streams polled for ever, each alone; paused and resumed on an operator's word.

Several daemons share the streams by leases: who holds one keeps it until he ends or rests, and the others stand by.
"""

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from harvester import metrics
from harvester.commands import parts, spans
from harvester.commands.daemon import Daemon, Live
from harvester.commands.harvesting import HARVESTING, first_start
from harvester.commands.roster import Roster
from harvester.coverage import Interval, live_window
from harvester.coverages import shared
from harvester.errors import CoverageResetError, HarvesterError, PermanentError, RefusedError
from harvester.harvest import Harvest
from harvester.logs import get_logger
from harvester.openbook import OpenBook
from harvester.pauses import Switch, switched
from harvester.protocols import Source, Stream
from harvester.retry import DAEMON, Wait
from harvester.service import sleep_until, supervise, unless
from harvester.settings import CoreSettings
from harvester.sources import CHANGING
from harvester.states import Component
from harvester.turns import Owners, Turn
from harvester.wake import Wake

_LOOK_AGAIN = timedelta(seconds=15)
"""Between two looks at what others have added to the book."""
_LEASE_AGAIN = 5.0
"""Seconds between two tries to take over a stream that another harvests."""
_SKEW = 5.0
"""Seconds that the clocks of vendor and host may differ before it is told (F05)."""


async def harvesting(name: str, daemon: Daemon) -> None:
    """One source until the stop, which ends whatever it waits for; windows that are done stay done."""
    core, runs = daemon.loaded.get(CoreSettings), itertools.count()
    component, switch = daemon.states.component(name, "source"), daemon.board.switch(name)

    async def work() -> None:
        first = next(runs) == 0 and not switch.halts
        pace = timedelta(seconds=core.coverage_pace)
        book = OpenBook(daemon.stores.coverages, name, daemon.stores.queue, pace=pace, shared=True)
        await book.load()
        owners = Owners(daemon.stores.coverages, name)
        async with parts.open_source(name, daemon.loaded, DAEMON, component) as source:
            streams = await source.streams()
            component.worked()
            daemon.live[name] = Live(source, book, owners)
            try:
                async with asyncio.TaskGroup() as group:

                    def begin(stream: Stream, *, may_end: bool = False) -> asyncio.Task[None]:
                        following = _Following(source, stream, daemon.live[name], daemon)
                        return group.create_task(following.follow(may_end=may_end))

                    roster = Roster(source, begin, daemon.states)
                    roster.take(streams, may_end=first)
                    if name in CHANGING:
                        group.create_task(roster.ask_again(CHANGING[name], switch.halt))
            finally:
                del daemon.live[name]
                await book.store()

    async def run() -> None:
        start = not switch.halts  # who resumes it does not start the process
        await supervise(name, partial(unless, switch.halt, work), switch.halt, component=component, may_end=start)

    await switched(switch, daemon.states, run)


class _Following:
    """One stream, polled until it is halted. What it remembers of its events outlives its deaths."""

    def __init__(self, source: Source, stream: Stream, live: Live, daemon: Daemon) -> None:
        self._source = source
        self._stream = stream
        self._book = book = live.book
        self._daemon = daemon
        self._core = core = daemon.loaded.get(CoreSettings)
        self._name = f"{source.name}/{stream.name}"
        self._component: Component = daemon.states.component(self._name, "stream")
        self._switch: Switch = daemon.board.switch(self._name)
        self._limits = parts.limits(core)
        self._skew = metrics.SourceMetrics(source.name).skew
        self._skewed = False
        self._wake = daemon.wakes.get(self._name) or Wake()
        metrics.early_poll(source.name, stream.name, 0)
        held = partial(metrics.lease, source.name, stream.name)
        self._turn = Turn(live.owners, HARVESTING.format(stream=stream.name), lambda ours: held(held=ours))
        self._log = get_logger("harvest").bind(source=source.name, stream=stream.name)
        stores = daemon.stores
        self._harvest = Harvest(
            source,
            stream,
            stores.queue,
            book,
            stores.letters,
            limits=self._limits,
            retry=DAEMON,
            on_window=lambda _: self._component.worked(),
            on_wait=self._waits,
            tell=daemon.tell,
        )
        timing = stream.timing
        self._pause = max(core.poll_interval, timing.pause.total_seconds())
        expected = timing.settle + timing.overlap + (timing.window or timedelta())
        self._harvest.metrics.expects(expected.total_seconds(), self._pause)

    async def follow(self, *, may_end: bool) -> None:
        """Its death restarts nothing but itself. `may_end`: as `supervise` says, at the start of the process."""

        async def run() -> None:
            may, halt = may_end and not self._switch.halts, self._switch.halt
            try:
                work = partial(self._work, first=may)
                await supervise(self._name, partial(unless, halt, work), halt, component=self._component, may_end=may)
            finally:
                await self._hand_over()

        await switched(self._switch, self._daemon.states, run)

    async def _hand_over(self) -> None:
        """Whoever takes the stream over finds in the book what was read here."""
        try:
            await self._harvest.flush(now=True)
        except HarvesterError as error:
            self._log.warning("what was read last is not stored, and read again", error=str(error))
        finally:
            await self._turn.give_back()

    async def _work(self, *, first: bool) -> None:
        halt, early, usual = self._switch.halt, False, 0.0
        while not halt.is_set():
            if not await self._ours(first=first):
                await sleep_until(halt, _LEASE_AGAIN)
                continue
            self._look_at_clock()
            begin = await self._first_start()
            self._allow(begin)
            self._wake.polling()
            try:
                await self._harvest.poll(begin)
                await self._harvest.reread()
            except CoverageResetError:
                self._log.warning("the book was reset or deleted: beginning as it says")
                continue
            self._component.worked()
            if not early:  # what is woken early comes at its usual time all the same, so that no notice makes anything later
                usual = time.monotonic() + self._pause
            if early := await self._wake.sleep(halt, usual):
                metrics.early_poll(self._source.name, self._stream.name)

    async def _ours(self, *, first: bool) -> bool:
        """Whether to harvest it: its lease is ours, or leases are off. Else this stands by, and takes over when it is free.

        RefusedError at the start when another has it and no store is shared: then the same was started twice by mistake.
        """
        if not self._core.leases or await self._turn.kept():
            await self._see_others()
            return True
        try:
            await self._turn.take()
        except RefusedError as error:
            if first and not shared(self._core.coverage_url):
                raise
            await self._stand_by(error)
            return False
        await self._book.renew()  # whoever held it until now has added to it
        self._component.starting()
        return True

    async def _see_others(self) -> None:
        # A backfill, or a harvester without leases, may have read beside this process and be gone: what it left has to settle.
        before = self._book.generation
        await self._book.renew(after=_LOOK_AGAIN)
        if self._book.generation != before:
            self._log.warning("the book was reset or deleted: beginning as it says")

    async def _stand_by(self, error: RefusedError) -> None:
        if self._component.standing().state != "standby":
            self._log.info("standing by", reason=str(error))
        owner = await self._turn.owner()
        self._component.standing_by(f"{owner} harvests it" if owner else str(error))

    async def _first_start(self) -> datetime:
        coverage = self._book.coverage(self._stream.name)
        return await first_start(self._source, self._daemon.loaded, coverage, self._stream.timing.reach)

    def _allow(self, first: datetime) -> None:
        now = self._source.now()
        coverage = self._book.coverage(self._stream.name)
        span = live_window(coverage, now, self._stream.timing) if coverage.start else Interval(min(first, now), now)
        try:
            spans.allow(span, self._stream, self._limits, daemon=True)
        except RefusedError as error:
            # This stream waits for a person; the sinks and the other streams go on.
            raise PermanentError(str(error)) from error

    def _look_at_clock(self) -> None:
        seconds = (self._source.now() - datetime.now(UTC)).total_seconds()
        self._skew(seconds)
        skewed = abs(seconds) > _SKEW
        if skewed and not self._skewed:
            self._log.warning("the clocks of vendor and host differ; the vendor's is believed", seconds=round(seconds, 1))
        self._skewed = skewed

    def _waits(self, wait: Wait) -> None:
        metrics.error("publish", "TransientError")
        self._component.waiting(wait.text, seconds=wait.seconds)
