"""The life of a harvester at a sandbox: history first, then live polls while rows come late, grow and move, faults, and rest."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from harvester.coverage import Coverage
from harvester.errors import PermanentError, TransientError
from harvester.harvest import Harvest, Limits
from harvester.openbook import OpenBook
from harvester.retry import Retry
from harvester.sandbox.serve import Running, serve
from harvester.sandbox.settings import SandboxSettings, Switches
from harvester.sources.opencast import Opencast, UserActions
from tests.opencast_table import ACTIONS, opened
from tests.taps import Stores, all_letters

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
"""Where its sandbox's clock starts: a Tuesday that is past on every host."""
AT_ONCE = Retry(attempts=5, scale=0)
REST = timedelta(hours=56)
"""After it every day of UTC that was read has rested for `settle`."""
_LIMITS = Limits(batch_events=200, in_flight=3)
_TRIES = 60


class Life:
    """One process of a harvester, from its start on."""

    def __init__(
        self, running: Running, stores: Stores, book: OpenBook, harvest: Harvest, source: Opencast, stream: UserActions
    ) -> None:
        self.running = running
        self.stores = stores
        self.stream = stream
        self._source = source
        self.failures: list[str] = []
        """What ended a poll that had to be repeated, as a daemon does."""
        self._book = book
        self._harvest = harvest

    @property
    def coverage(self) -> Coverage:
        return self._book.coverage(self.stream.name)

    async def poll_once(self, start: datetime) -> None:
        """One poll as it goes."""
        await self._harvest.poll(start)

    async def poll(self, start: datetime) -> None:
        """One poll, repeated until it is through."""
        for _ in range(_TRIES):
            try:
                return await self.poll_once(start)
            except (TransientError, PermanentError) as error:
                self.failures.append(str(error))
        raise AssertionError(f"no poll came through: {self.failures[-3:]}")

    async def polls(self, start: datetime, amount: int, seed: str) -> None:
        """So many polls at uneven intervals, from seconds to an hour."""
        dice = Random(seed)
        for _ in range(amount):
            await self.poll(start)
            self.pass_time(timedelta(seconds=dice.choice((5, 120, 120, 120, 600, 3600)) * (0.5 + dice.random())))

    def pass_time(self, by: timedelta) -> None:
        """For the sandbox and for the harvester, whose idea of the vendor's clock runs on between two answers."""
        self.running.clock.advance(by)
        clock = self._source._http.clock
        if clock._known is not None:
            clock._known = clock._known[0] + by, clock._known[1]

    async def rest(self, start: datetime) -> None:
        """Nothing new is made any more; what is there comes to rest and is read for good."""
        end = self.running.sandbox.stop_changing()
        for by in (timedelta(), REST, timedelta(minutes=2)):
            self.pass_time(by)
            await self.poll(start)
        assert (self.coverage.watermark or start) >= end

    def calls(self) -> int:
        """Requests for actions since this was asked last, whatever became of them."""
        amount = self.running.stats.snapshot().requests_of(ACTIONS)
        self.running.stats.reset()
        return amount


class Verdict(NamedTuple):
    """All zeros, or the promise is broken."""

    true: int
    missing: int
    stale: int
    strange: int
    letters: int
    """Broken records less letters."""


@asynccontextmanager
async def life(stores: Stores, world: SandboxSettings, **settings: Any) -> AsyncIterator[Life]:
    """A sandbox, and a harvester that begins to read it."""
    async with serve(world) as running, born(stores, running, **settings) as found:
        yield found


@asynccontextmanager
async def born(stores: Stores, running: Running, **settings: Any) -> AsyncIterator[Life]:
    """Another process of a harvester, with what the stores know."""
    zone = running.sandbox.settings.timezone
    async with opened(running.url, zone=zone, retry=AT_ONCE, **settings) as source:
        for _ in range(_TRIES):
            try:
                [stream] = await source.streams()
                break
            except (TransientError, PermanentError):
                continue
        assert isinstance(stream, UserActions)
        book = OpenBook(stores.coverages, source.name, stores.queue.id, pace=timedelta(0))
        await book.load()
        harvest = Harvest(source, stream, stores.queue, book, stores.letters, limits=_LIMITS, retry=AT_ONCE)
        yield Life(running, stores, book, harvest, source, stream)


async def judge(life: Life, held: Mapping[int, int], start: datetime) -> Verdict:
    """What a sink holds (action → outpoint) against what is true of everything since `start`."""
    truth = life.running.truth(start)
    actions = truth.actions
    letters = {letter.body for letter in await all_letters(life.stores.letters)}
    return Verdict(
        true=len(actions),
        missing=len(actions.keys() - held.keys()),
        stale=sum(key in held and held[key] != action.outpoint for key, action in actions.items()),
        strange=len(held.keys() - actions.keys()),
        letters=len(truth.broken) - len(letters),
    )


def switched(life: Life, **switches: Any) -> None:
    """Make another server of the sandbox, as an upgrade does."""
    life.running.sandbox.switch(Switches(**switches))
