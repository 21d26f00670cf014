"""Pauses: an operator's word that a source, a stream or a sink is to rest, kept where every process of the installation reads it.

They stand in the coverage store, in a book of their own (docs/decisions/0016): a paused name is a stream of it that has begun.
So they are as durable and as shared as coverage is, with every driver there is and every one to come.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from harvester.coverage import Coverage
from harvester.errors import HarvesterError
from harvester.logs import get_logger
from harvester.protocols import CoverageStore
from harvester.service import sleep_until, supervise
from harvester.states import States

BOOK = "paused"
LOOK_EVERY = 2.0
"""Seconds until a daemon sees what was paused or resumed, at most."""


class Pause(NamedTuple):
    """Since when, and on whose word."""

    since: datetime
    by: str

    def __str__(self) -> str:
        return f"paused since {self.since:%Y-%m-%dT%H:%M:%SZ} by {self.by}"


async def paused(store: CoverageStore) -> Mapping[str, Pause]:
    """What is paused now."""
    streams = (await store.load(BOOK)).streams
    return {name: Pause(c.start, c.notes.decode(errors="replace")) for name, c in streams.items() if c.start is not None}


async def pause(store: CoverageStore, name: str, by: str) -> None:
    """Returns = durable."""
    now = datetime.now(UTC)
    await store.reset(BOOK, name, Coverage(start=now, notes=by.encode(), notes_at=now))


async def resume(store: CoverageStore, name: str) -> None:
    """Returns = durable."""
    await store.reset(BOOK, name, Coverage())


def why_paused(pauses: Mapping[str, Pause], name: str) -> Pause | None:
    """The pause that holds for `name`: its own, or its source's."""
    return pauses.get(name) or pauses.get(name.partition("/")[0])


class Switch:
    """What a component waits at, and is halted by: it works while it is not paused and the process does not stop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.halt = asyncio.Event()
        """Set while it must not work."""
        self.go = asyncio.Event()
        """Set while there is something to do: to work, or to end."""
        self.pause: Pause | None = None
        self.halts = 0
        """How often it was halted so far."""
        self.trouble = ""
        """Why it is not known yet whether it is paused."""
        self.news = asyncio.Event()
        """Set, and replaced by another, with every change."""

    def set(self, pause: Pause | None, *, stopping: bool) -> None:
        self.pause = pause
        self.tell("")
        self.halts += (bool(pause) or stopping) and not self.halt.is_set()
        for event, on in ((self.halt, bool(pause) or stopping), (self.go, not pause or stopping)):
            if on:
                event.set()
            else:
                event.clear()

    def tell(self, trouble: str) -> None:
        """Wake who waits."""
        self.trouble = trouble
        self.news.set()
        self.news = asyncio.Event()


class Switchboard:
    """The switches of one process. Until the pauses are known all of them are off."""

    def __init__(self) -> None:
        self._switches: dict[str, Switch] = {}
        self._known = False
        self._stopping = False
        self.pauses: Mapping[str, Pause] = {}

    def switch(self, name: str) -> Switch:
        """The switch of a component, made at the first call."""
        if name not in self._switches:
            switch = self._switches[name] = Switch(name)
            self._apply(switch)
        return self._switches[name]

    def apply(self, pauses: Mapping[str, Pause]) -> None:
        """What is paused now; everything else may work."""
        self._known, self.pauses = True, pauses
        self._all()

    def fails(self, why: str) -> None:
        """The pauses cannot be read. Once they were known, they stay as they were."""
        for switch in () if self._known else self._switches.values():
            switch.tell(f"what is paused is not known yet: {why}")

    def stop(self) -> None:
        """The process ends."""
        self._stopping = True
        self._all()

    def _all(self) -> None:
        for switch in self._switches.values():
            self._apply(switch)

    def _apply(self, switch: Switch) -> None:
        if self._known or self._stopping:
            switch.set(why_paused(self.pauses, switch.name), stopping=self._stopping)


@asynccontextmanager
async def followed(store: CoverageStore, stop: asyncio.Event, *, every: float = LOOK_EVERY) -> AsyncIterator[Switchboard]:
    """A switchboard that follows what is stored, and the stop, while the block runs. What cannot be read stays as it was."""
    board = Switchboard()

    async def follow() -> None:
        log, told = get_logger("service"), ""
        while not stop.is_set():
            try:
                board.apply(await paused(store))
                told = ""
            except HarvesterError as error:
                if str(error) != told:
                    log.warning("what is paused cannot be read; it stays as it was", error=str(error))
                told = str(error)
                board.fails(told)
            await sleep_until(stop, every)

    async def ending() -> None:
        await stop.wait()
        board.stop()

    following = supervise("pauses", follow, stop, may_end=False)
    tasks = [asyncio.create_task(following), asyncio.create_task(ending())]
    try:
        yield board
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def switched(switch: Switch, states: States, run: Callable[[], Awaitable[None]]) -> None:
    """`run` until the process stops or it ends by itself; when its switch halts it, it is run again once that is over."""
    while True:
        while not switch.go.is_set():
            for component in states.of(switch.name):
                if switch.pause:
                    component.paused(str(switch.pause))
                elif switch.trouble:
                    component.waiting(switch.trouble)
            await switch.news.wait()
        if switch.halt.is_set():
            return
        for component in states.of(switch.name):
            component.starting()
        halts = switch.halts
        await run()
        if switch.halts == halts:
            return
