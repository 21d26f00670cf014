"""The program's own loops over all streams of a simulated organisation, as a daemon runs them, by simulated time."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Self

from harvester.errors import HarvesterError, PermanentError
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from harvester.protocols import Stream
from harvester.retry import DAEMON
from harvester.sources import CHANGING
from harvester.sources.github import Github, open_github
from tests.github.timing import Hours
from tests.github_organisation import settings
from tests.taps import Stores

_TRIES = 20


class Polling:
    """One process after another; each remembers what one remembers."""

    def __init__(self, url: str, hours: Hours, stores: Stores, start: datetime) -> None:
        """`start`: the first time of change that is read."""
        self._url, self._hours, self._stores, self._start = url, hours, stores, start
        self._process = AsyncExitStack()
        self.broke_off = 0
        """Polls of a stream that failed for another reason than that its repository is gone, and went on failing."""

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.aclose()

    async def restart(self) -> None:
        """Another process takes its place."""
        await self._process.aclose()
        await self._begin()

    async def _begin(self) -> None:
        self._book = OpenBook(self._stores.coverages, "github", self._stores.queue)
        await self._book.load()
        asked = settings(self._url, token="sandbox-token")
        self._source: Github = await self._process.enter_async_context(
            open_github(asked, retry=DAEMON, pacing=self._hours.pacing)
        )
        self._process.push_async_callback(self._book.store)
        self._ways: dict[str, Harvest] = {}
        self._due: dict[str, datetime] = {}
        self._listed: datetime | None = None

    async def round(self, now: datetime) -> None:
        """Every stream that is due, once."""
        if self._listed is None or now - self._listed >= timedelta(seconds=CHANGING["github"]):
            streams, self._listed = await self._source.streams(), now
            there = {stream.name: stream for stream in streams}
            self._ways = {name: self._ways.get(name) or self._way(stream) for name, stream in there.items()}
            self._pauses = {name: stream.timing.pause for name, stream in there.items()}
        due = [name for name in self._ways if now >= self._due.get(name, now)]
        await asyncio.gather(*(self._poll(name) for name in due))
        self._due |= {name: now + self._pauses[name] for name in due}

    def _way(self, stream: Stream) -> Harvest:
        return Harvest(self._source, stream, self._stores.queue, self._book, self._stores.letters, retry=DAEMON)

    async def _poll(self, name: str) -> None:
        for _ in range(_TRIES):
            try:
                return await self._ways[name].poll(self._start)
            except PermanentError:
                return None  # its repository is gone
            except HarvesterError:
                await self._hours.sleep(60)
        self.broke_off += 1
        return None
