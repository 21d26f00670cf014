"""Which streams of a source are followed: where they come and go it is asked again; new ones begin, vanished ones end."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from harvester import metrics
from harvester.errors import HarvesterError
from harvester.logs import get_logger
from harvester.protocols import Source, Stream
from harvester.service import sleep_until
from harvester.states import States


class Begin(Protocol):
    """Starts what follows a stream. `may_end`: as `supervise` says, at the start of the process."""

    def __call__(self, stream: Stream, *, may_end: bool = False) -> "asyncio.Task[None]": ...


class Roster:
    """The streams of one source that are followed now, each by a task of its own. What is known of one that vanished stays."""

    def __init__(self, source: Source, begin: Begin, states: States) -> None:
        self._source = source
        self._begin = begin
        self._states = states
        self._log = get_logger("harvest").bind(source=source.name)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def take(self, streams: Sequence[Stream], *, may_end: bool = False) -> None:
        """Follow these and no others."""
        there = {stream.name: stream for stream in streams}
        for name in self._tasks.keys() - there.keys():
            task = self._tasks.pop(name)
            task.add_done_callback(partial(self._ended, name))
            task.cancel()
            self._states.forget(f"{self._source.name}/{name}")
            self._log.info("a stream is no more", stream=name)
        for name, stream in there.items():
            if name not in self._tasks:
                self._tasks[name] = self._begin(stream, may_end=may_end)

    def _ended(self, name: str, _: object) -> None:
        # Only now: while it ends it still tells of its lease. It may have come back meanwhile.
        if name not in self._tasks:
            metrics.retired(self._source.name, name)

    async def ask_again(self, every: float, halt: asyncio.Event) -> None:
        """Until it is halted. When nothing is told, everything stays as it is."""
        while True:
            await sleep_until(halt, every)
            if halt.is_set():
                return
            before = set(self._tasks)
            try:
                self.take(await self._source.streams())
            except HarvesterError as error:
                self._log.warning("the streams cannot be asked for; those that are known go on", error=str(error))
                continue
            if new := self._tasks.keys() - before:
                self._log.info("new streams begin", streams=len(new))
