"""A world that outlives its processes: a vendor, a sink, files, a clock, and a place to die at among all awaited calls."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consumers.consume import Flow, consume
from harvester.coverage import Timing
from harvester.harvest import Limits
from tests.consuming import processing
from tests.fakes import MINUTE, NOON, SOURCE, Clock, KeyedSink, Vendor
from tests.harvesting import opened
from tests.taps import Stores, all_letters, conserve, open_stores, tapped, tapped_stores

TIMING = Timing(window=10 * MINUTE, overlap=MINUTE, settle=30 * MINUTE)
START = NOON - 60 * MINUTE
LIMITS = Limits(batch_events=3, in_flight=2)
FLOW = Flow(batch_events=2, in_flight=2, wait=0.001, due_every=60.0)
REFUSED, BROKEN = "refused", "broken"


class Death(BaseException):
    """The process is gone: whatever it asks for from now on does not happen."""


class Fuse:
    """Dies at the `at`-th moment before or after an awaited call of a driver, a page or the sink; 0: never."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.passed = 0
        self.blown = False

    async def tap(self, _: str = "page", __: str = "before") -> None:
        self.passed += 1
        if self.blown or self.passed == self.at:
            self.blown = True
            raise Death

    async def page(self, _: int) -> None:
        await self.tap()


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.clock = Clock()
        self.vendor = Vendor(self.clock, timing=TIMING)
        self.sink = KeyedSink()
        self.sink.always = self.sink.refusing([REFUSED])
        self.deaths = 0

    async def live(self, fuse: Fuse, act: Callable[[Stores, Fuse], Awaitable[None]]) -> bool:
        """One process that does this; whether it lived to the end of it."""
        async with open_stores(self.folder, self.clock) as stores:
            self.vendor.before_page = fuse.page
            try:
                await act(tapped_stores(stores, fuse.tap), fuse)
            except Death:
                self.deaths += 1
                return False
            finally:
                fuse.blown = False
                self.vendor.before_page = None
                await conserve(stores.queue)
        return True

    async def harvest(self, stores: Stores, _: Fuse) -> None:
        harvest = await opened(stores, self.vendor, limits=LIMITS)
        await harvest.poll(START)

    async def consume(self, stores: Stores, fuse: Fuse) -> None:
        stop = asyncio.Event()
        work = processing(tapped(self.sink, fuse.tap), stores.letters, stop=stop)
        await consume(stores.queue, self.sink.name, work, stores.letters, stop, flow=FLOW, until_empty=True)

    async def everything(self, stores: Stores, fuse: Fuse) -> None:
        """Two harvesters without a lease, and a consumer, at once."""
        acts = (self.harvest, self.harvest, self.consume)
        for result in await asyncio.gather(*(act(stores, fuse) for act in acts), return_exceptions=True):
            if result is not None:
                raise result

    async def settle(self) -> None:
        """Let everything come to rest, and do what is left to do without any death."""
        self.clock.advance(TIMING.settle + 2 * MINUTE + timedelta(minutes=10))
        await self.live(Fuse(), self.harvest)
        await self.live(Fuse(), self.consume)

        async def requeue(stores: Stores, _: Fuse) -> None:
            found = await all_letters(stores.letters)
            assert {x.group for x in found} <= {SOURCE, self.sink.name}
            await stores.letters.requeue([x.id for x in found], datetime.now(UTC))

        await self.live(Fuse(), requeue)
        self.sink.always = None
        await self.live(Fuse(), self.consume)

    def wrong(self) -> dict[str, tuple[int | None, int | None]]:
        """Subject → (version in the sink, the vendor's): missing, stale, or never there; {} when all is well."""
        found, truth = self.sink.versions(), self.vendor.truth()
        truth = {s: v for s, v in truth.items() if s not in self.vendor.broken}
        return {s: (found.get(s), truth.get(s)) for s in found.keys() | truth.keys() if found.get(s) != truth.get(s)}

    async def letters(self) -> list[str]:
        """What waits for a person: the bodies of the source's letters."""
        async with open_stores(self.folder, self.clock) as stores:
            return [x.body.decode() for x in await all_letters(stores.letters)]
