"""One source of the daemon: opened, its streams polled for ever, each alone; paused and resumed on an operator's word."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from harvester import metrics
from harvester.commands import parts, spans
from harvester.commands.daemon import Daemon, Live
from harvester.commands.harvesting import HARVESTING, first_start
from harvester.coverage import Interval, live_window
from harvester.errors import CoverageResetError, PermanentError, RefusedError, TransientError
from harvester.harvest import Harvest
from harvester.lock import me
from harvester.logs import get_logger
from harvester.openbook import OpenBook
from harvester.pauses import Switch, switched
from harvester.protocols import Source, Stream
from harvester.retry import DAEMON, Wait
from harvester.service import sleep_until, supervise, unless
from harvester.settings import CoreSettings
from harvester.states import Component

_LEASE_AGAIN = 5.0
_SKEW = 5.0
"""Seconds that the clocks of vendor and host may differ before it is told (F05)."""


async def harvesting(name: str, daemon: Daemon) -> None:
    """One source until the stop, which ends whatever it waits for; windows that are done stay done."""
    core, runs = daemon.loaded.get(CoreSettings), itertools.count()
    component, switch = daemon.states.component(name, "source"), daemon.board.switch(name)

    async def work() -> None:
        first = next(runs) == 0 and not switch.halts
        book = OpenBook(daemon.stores.coverages, name, daemon.stores.queue, pace=timedelta(seconds=core.coverage_pace))
        await book.load()
        async with parts.open_source(name, daemon.loaded, DAEMON, component) as source:
            streams = await source.streams()
            component.worked()
            daemon.live[name] = Live(source, book)
            try:
                async with asyncio.TaskGroup() as group:
                    for stream in streams:
                        group.create_task(_Following(source, stream, book, daemon).follow(may_end=first))
            finally:
                del daemon.live[name]
                await book.flush()

    async def run() -> None:
        start = not switch.halts  # who resumes it does not start the process
        await supervise(name, partial(unless, switch.halt, work), switch.halt, component=component, may_end=start)

    await switched(switch, daemon.states, run)


class _Following:
    """One stream, polled until it is halted. What it remembers of its events outlives its deaths."""

    def __init__(self, source: Source, stream: Stream, book: OpenBook, daemon: Daemon) -> None:
        self._source = source
        self._stream = stream
        self._book = book
        self._daemon = daemon
        self._name = f"{source.name}/{stream.name}"
        self._component: Component = daemon.states.component(self._name, "stream")
        self._switch: Switch = daemon.board.switch(self._name)
        self._limits = parts.limits(daemon.loaded.get(CoreSettings))
        self._skew = metrics.SourceMetrics(source.name).skew
        self._skewed = self._held = False
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
        )

    async def follow(self, *, may_end: bool) -> None:
        """Its death restarts nothing but itself. `may_end`: as `supervise` says, at the start of the process."""

        async def run() -> None:
            may, halt = may_end and not self._switch.halts, self._switch.halt
            async with AsyncExitStack() as held:
                work = partial(self._work, held, first=may)
                await supervise(self._name, partial(unless, halt, work), halt, component=self._component, may_end=may)

        await switched(self._switch, self._daemon.states, run)

    async def _work(self, held: AsyncExitStack, *, first: bool) -> None:
        if not self._held:
            await held.enter_async_context(self._alone(first=first))
        while not self._switch.halt.is_set():
            self._look_at_clock()
            self._allow()
            try:
                await self._harvest.poll(first_start(self._source, self._daemon.loaded))
                await self._harvest.reread()
            except CoverageResetError:
                self._log.warning("the book was reset or deleted: beginning as it says")
                continue
            self._component.worked()
            await sleep_until(self._switch.halt, self._daemon.loaded.get(CoreSettings).poll_interval)

    @asynccontextmanager
    async def _alone(self, *, first: bool) -> AsyncIterator[None]:
        """Hold the stream's lease. RefusedError at the start when another has it; later this waits until he is done."""
        source, stream, store = self._source.name, self._stream.name, self._daemon.stores.coverages
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(store.lease(source, HARVESTING.format(stream=stream), me()))
            except RefusedError as error:
                if first:
                    raise
                raise TransientError(str(error), retry_after=_LEASE_AGAIN) from error
            self._held = True
            metrics.lease(source, stream, held=True)
            try:
                await self._book.renew()  # whoever held it until now has added to it
                yield
            finally:
                self._held = False
                metrics.lease(source, stream, held=False)

    def _allow(self) -> None:
        first, now = first_start(self._source, self._daemon.loaded), self._source.now()
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
