"""Events that kill the process: which were in work when processes of a group died, and how often in a row.

What is in work is noted in a small file before it is begun and struck out after it. An end that nobody asked for leaves it
there, and the next process counts. What was in work at three such ends in a row is worked one at a time, with nothing beside it;
what then is in work at one more end, or was alone at the third, is known to kill.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

from consumers.worklog import Journal, Key, Left, Past
from harvester.logs import get_logger

T = TypeVar("T")
DEATHS = 3
"""So many ends in a row with the same event in work make it suspect."""
_MOST = 50_000
"""Events whose deaths are remembered: more than can be in work."""


class _Gate:
    """Lets in many together, or one alone. All sinks of a process have one, so that who dies alone was alone in it."""

    def __init__(self) -> None:
        self._door = asyncio.Lock()
        self._inside = 0
        self._left = asyncio.Event()

    async def enter(self, *, alone: bool) -> None:
        await self._door.acquire()
        if not alone:
            self._inside += 1
            self._door.release()
            return
        try:
            while self._inside:
                self._left.clear()
                await self._left.wait()
        except BaseException:
            self._door.release()
            raise

    def leave(self, *, alone: bool) -> None:
        if alone:
            self._door.release()
        else:
            self._inside -= 1
            self._left.set()


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate] = WeakKeyDictionary()


class _Task:
    """What one task works on. `number`: its line in the journal, 0 while it is not in work."""

    def __init__(self, keys: Sequence[Key], gate: _Gate, *, alone: bool) -> None:
        self.keys = keys
        self.gate = gate
        self.alone = alone
        self.number = 0


_task: ContextVar[_Task | None] = ContextVar("task", default=None)


class Deaths:
    """What one process of a group has in work, and what it knows of those before it. Without a journal nothing is remembered."""

    def __init__(self, past: Past | None = None, journal: Journal | None = None, *, times: int = 0) -> None:
        past = past or Past()
        self.times = times
        """At how many ends in a row what the last one had in work had been in work; 0 if that was a good end."""
        self._journal = journal
        self._noting = journal is not None
        self._counts = dict(past.deaths)
        self._killers = set(past.killers)
        self._met: set[Key] = set()
        self._suspects = {key for key, times in self._counts.items() if times >= DEATHS}
        self._in_work: dict[int, Sequence[Key]] = {}
        self._numbers = count(1)

    @property
    def suspects(self) -> Collection[Key]:
        """What is worked one at a time."""
        return self._suspects

    async def each(
        self, keys: Sequence[Key], work: Callable[[slice], Awaitable[T]], killer: Callable[[int], Awaitable[T]]
    ) -> list[T]:
        """`work` of all of it at once; if one of it is suspect of one after the other, and `killer` in place of what kills."""
        if not self._suspects or self._suspects.isdisjoint(keys):
            async with self._at_work(keys):
                return [await work(slice(None))]
        found = []
        for index, key in enumerate(keys):
            if key in self._killers:
                found.append(await killer(index))
                self._met.add(key)
                continue
            async with self._at_work([key], alone=True):
                found.append(await work(slice(index, index + 1)))
        return found

    def acquit(self, key: Key) -> None:
        """What becomes of it is settled; if it comes again, somebody wants it tried."""
        self._killers.discard(key)
        self._suspects.discard(key)
        self._counts.pop(key, None)
        self._save()

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Meanwhile what this task works on is not in work: who dies while he waits for a server was killed by no event.

        Nor does he keep anybody from being alone, or from working beside. Who leaves it by an error does not go on working.
        """
        task = _task.get()
        if task is None or not task.number:
            yield
            return
        self._leave(task, done=False)
        yield
        await self._enter(task)

    def release(self) -> None:
        """The end is asked for: however it comes now, no event is to blame."""
        self._noting = False
        self._save()

    def close(self) -> None:
        """A good end: nothing is in work. What was not met again stays known; killers that were met are letters now."""
        self._noting = False
        self._killers -= self._met
        for key in self._met:
            self._counts.pop(key, None)
        self._save()

    @asynccontextmanager
    async def _at_work(self, keys: Sequence[Key], *, alone: bool = False) -> AsyncIterator[None]:
        gate = _gates.setdefault(asyncio.get_running_loop(), _Gate())
        task, done = _Task(keys, gate, alone=alone), False
        token = _task.set(task)
        try:
            await self._enter(task)
            yield
            done = True
        finally:
            self._leave(task, done=done)
            _task.reset(token)

    async def _enter(self, task: _Task) -> None:
        await task.gate.enter(alone=task.alone)
        task.number = self._note(task.keys)

    def _leave(self, task: _Task, *, done: bool) -> None:
        if task.number:
            self._strike(task.number, done=done)
            task.number = 0
            task.gate.leave(alone=task.alone)

    def _note(self, keys: Sequence[Key]) -> int:
        number = next(self._numbers)
        self._in_work[number] = keys
        if self._journal and self._noting:
            self._journal.begin(number, keys)
        return number

    def _strike(self, number: int, *, done: bool) -> None:
        keys = self._in_work.pop(number)
        if done and self._counts:
            for key in keys:
                self._counts.pop(key, None)
            self._suspects.difference_update(keys)
        if self._journal and self._noting:
            self._journal.end(number, done=done)
            if self._journal.long:
                self._save()

    def _save(self) -> None:
        if self._journal:
            past = Past(self._journal.queue, list(self._counts.items()), list(self._killers))
            self._journal.rewrite(past, self._in_work if self._noting else {})


@asynccontextmanager
async def open_deaths(folder: Path, group: str, queue: str) -> AsyncIterator[Deaths]:
    """What the last process of `group` in this place left, counted; and the file of this one. Several of them have one each.

    Where no file can be had there is a warning, and no guard. However the block is left, this process was not killed.
    """
    log = get_logger("consume").bind(sink=group)
    try:
        descriptor = await asyncio.to_thread(_owned, folder, group)
    except OSError as error:
        log.warning("an event that kills the process would go unnoticed: what is in work cannot be noted", error=str(error))
        yield Deaths()
        return
    journal = Journal(descriptor, queue)
    try:
        left = journal.left()
        past = counted(left)
        journal.rewrite(past, {})
        times = max((times for key, times in past.deaths if key in left.in_work), default=0)
        deaths = Deaths(past, journal, times=times)
        if times:
            log.warning("the last process died at work", events=len(left.in_work), times=times)
        if deaths.suspects:
            log.warning("events are worked one at a time: processes died again and again at them", events=len(deaths.suspects))
        try:
            yield deaths
        finally:
            deaths.close()
    finally:
        os.close(descriptor)


def counted(left: Left) -> Past:
    """What is known after one more end."""
    if not left.in_work:
        return left.past
    deaths = dict(left.past.deaths)
    deaths.update((key, deaths.get(key, 0) + 1) for key in left.in_work)
    if len(deaths) > _MOST:
        deaths = {key: deaths[key] for key in left.in_work}
    killers = set(left.past.killers)
    if len(left.in_work) == 1 and all(deaths[key] >= DEATHS for key in left.in_work):
        killers |= left.in_work
    return Past(left.past.queue, list(deaths.items()), list(killers))


def _owned(folder: Path, group: str) -> int:
    """The first of the group's files that no living process has, locked."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count():
        descriptor = os.open(folder / f"{group}.{number}", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        else:
            return descriptor
    raise AssertionError
