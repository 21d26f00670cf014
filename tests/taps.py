"""The real queue, coverage and letters in files, a tap on their calls, and the equations that hold whatever happened."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from harvester.coverages.file import open_coverages
from harvester.letters import open_letters
from harvester.protocols import CoverageStore, DeadLetters, Letter, Queue
from harvester.queues import open_queue
from tests.fakes import Clock

T = TypeVar("T")


class Stores(NamedTuple):
    queue: Queue
    coverages: CoverageStore
    letters: DeadLetters


@asynccontextmanager
async def open_stores(folder: Path, clock: Clock, *, options: str = "ballast=0") -> AsyncIterator[Stores]:
    """The real ones, in files of `folder`."""
    async with (
        open_queue(f"sqlite:///{folder}/queue.db?{options}") as queue,
        open_coverages(f"file://{folder}/coverage", now=clock) as coverages,
        open_letters(f"sqlite:///{folder}/letters.db") as letters,
    ):
        yield Stores(queue, coverages, letters)


async def conserve(queue: Queue) -> None:
    """What was read and what was consumed is all accounted for, in the counts that lie with the positions."""
    assert list(await queue.check()) == []
    counts = dict(await queue.counts())
    published = counts.pop("")["published"]
    for owner, each in counts.items():
        assert each.get("read", 0) == sum(each.get(n, 0) for n in ("published", "filtered", "dead_lettered")), (owner, each)
    assert sum(each.get("published", 0) for each in counts.values()) in (published, 0)
    for group in await queue.groups():
        done = group.position - group.since
        assert group.counts.get("consumed", 0) == done, group
        assert sum(group.counts.get(n, 0) for n in ("delivered", "filtered", "dead_lettered")) == done, group


async def all_letters(letters: DeadLetters, group: str = "") -> list[Letter]:
    return [letter async for letter in letters.scan(group)]


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Returns once the condition holds; fails when it never does."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


Tap = Callable[[str, str], Awaitable[None]]
"""Told the name of a driver's method, and "before" or "after" it."""


def tapped(driver: T, tap: Tap) -> T:
    """The driver, with every awaited call told to `tap`; what `tap` raises, the call raises."""
    return cast("T", _Tapped(driver, tap))


def tapped_stores(stores: Stores, tap: Tap) -> Stores:
    return Stores(tapped(stores.queue, tap), tapped(stores.coverages, tap), tapped(stores.letters, tap))


class _Tapped:
    def __init__(self, driver: object, tap: Tap) -> None:
        self._driver = driver
        self._tap = tap

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name == "subscribe":
            return self._subscribe
        if name == "scan":
            return self._scan
        return self._call(name, found) if inspect.iscoroutinefunction(found) else found

    def _call(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._tap(name, "before")
            result = await method(*args, **kwargs)
            await self._tap(name, "after")
            return result

        return call

    @asynccontextmanager
    async def _subscribe(self, group: str) -> AsyncIterator[Any]:
        await self._tap("subscribe", "before")
        async with cast("Queue", self._driver).subscribe(group) as subscription:
            yield _Tapped(subscription, self._tap)

    async def _scan(self, group: str, due: datetime | None = None, *, without: str = "") -> AsyncIterator[Letter]:
        await self._tap("scan", "before")
        async for letter in cast("DeadLetters", self._driver).scan(group, due, without=without):
            yield letter


def tap_on(acts: Mapping[str, Callable[[], Awaitable[None]]]) -> Tap:
    """A tap that does something before the methods it names."""

    async def tap(name: str, moment: str) -> None:
        if moment == "before" and name in acts:
            await acts[name]()

    return tap


def fails(*errors: BaseException | None) -> Callable[[], Awaitable[None]]:
    """Raises these, one a call (None: goes well), then goes well for ever."""
    left = list(errors)

    async def act() -> None:
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    return act
