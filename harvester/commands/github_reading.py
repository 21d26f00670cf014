"""The reading half of a collection: streams of GitHub's repositories into the queue, several at a time, each on its own."""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from harvester.commands.github_checkpoints import Hole, Standing
from harvester.coverage import Coverage, Interval, Intervals, Timing, due_to_settle
from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.event import Event
from harvester.harvest import Harvest, Limits
from harvester.logs import get_logger
from harvester.openbook import OpenBook
from harvester.protocols import DeadLetters, Outlet, Page, Source, Stream
from harvester.retry import Wait
from harvester.sources.github_refusals import TokenRefusedError

LISTED, SWEEP = "repositories", "sweep"
PARTS = ("pulls", "review_comments", "issue_comments")
"""The parts of a repository that are read by time of change."""
TABLES: Mapping[str, str] = {
    "github.repository": "repositories",
    "github.pull_request": "pull_requests",
    "github.commit": "commits",
    "github.pull_request_commit": "pr_commits",
    "github.review": "reviews",
    "github.review_comment": "review_comments",
    "github.issue_comment": "issue_comments",
}
"""Type of event → the data type that people know it by."""
_GIVE_UP = 8
"""After so many streams in a row that found nobody answering no further one is tried."""
_NUMBER = re.compile(r"/(?:pulls|issues)/(\d+)")
_STATUS = re.compile(r"\bgithub: (\d{3}) ")
_reading: ContextVar[Mapping[str, str]] = ContextVar("reading")


class Wish(NamedTuple):
    """What is read of each stream: times of change, closed-open."""

    since: datetime
    until: datetime
    live: bool
    """Up to now: gaps are filled, then what is new is read as a live poll does it. Else this range alone."""
    further_back: bool = True
    """Whether streams that are known begin at `since`, too; else they stay as they are, and only new ones begin there."""
    sweeps: bool = False


class Part(NamedTuple):
    """One stream, and what it is of."""

    stream: Stream
    repository: str
    name: str


def failed(error: str, **more: object) -> None:
    """A WARNING of one failed fetch: of what, and what was answered."""
    found = {"pull_request": _NUMBER.search(error), "status": _STATUS.search(error)}
    told = {name: int(match[1]) for name, match in found.items() if match}
    get_logger("github").warning("a fetch failed", **{**_reading.get({}), **told, **more}, error=error)


def waits(wait: Wait) -> None:
    """Told of every wait of the source: one after a failure is a failed fetch, one for a limit is none."""
    if wait.reason != "rate_limited":
        failed(wait.text, attempt=wait.attempt)


class Counted:
    """A stream that tells of each page once that is durable."""

    def __init__(self, stream: Stream, told: Callable[[Page], Awaitable[None]]) -> None:
        self._stream = stream
        self._told = told
        self.name = stream.name

    @property
    def timing(self) -> Timing:
        return self._stream.timing

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """The pages as they are."""
        pages = self._stream.fetch(window, notes)
        try:
            async for page in pages:
                yield page
                await self._told(page)
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()

    def event(self, record: bytes, read_at: datetime) -> Event:
        """As the stream's."""
        return self._stream.event(record, read_at)


class Reading:
    """The streams that are asked for, and how far each is. `told` is awaited after each page that became durable.

    `names`: id of a repository → what it is called.
    """

    def __init__(
        self,
        source: Source,
        parts: Sequence[Part],
        wish: Wish,
        outlet: Outlet,
        book: OpenBook,
        letters: DeadLetters,
        *,
        organisation: str,
        names: Mapping[str, str],
        workers: int,
        limits: Limits,
        told: Callable[[], Awaitable[None]],
    ) -> None:
        self.wish = wish
        self.parts = parts
        self.counts: dict[str, Counter[str]] = {}
        self.holes: list[Hole] = []
        self.dead_letters = 0
        self.events = 0
        self._source, self._outlet, self._book, self._letters = source, outlet, book, letters
        self._organisation = organisation
        self._names = names
        self._workers = workers
        self._limits = limits._replace(span_policy="windows")
        self._told = told
        self._todo = deque(parts)
        self._reached = dict.fromkeys((part.stream.name for part in parts), 0.0)
        self.touched = set(self._reached)
        """Streams whose standing may have changed since it was asked for."""
        self._silent = 0
        self._broken_off = ""
        self._due: frozenset[str] = frozenset()

    @property
    def left(self) -> int:
        """Streams that are not begun."""
        return len(self._todo)

    @property
    def done(self) -> float:
        """How many streams are read, parts of them too."""
        return sum(self._reached.values())

    async def begin(self) -> None:
        """Store where each stream begins, before its first fetch."""
        self._due = frozenset([letter.stream async for letter in self._letters.scan(self._source.name, due=datetime.now(UTC))])
        first = self._first()
        for part in self.parts:
            start = self._book.coverage(part.stream.name).start
            back = self.wish.live and self.wish.further_back and part.name in PARTS
            if start is None:
                await self._book.add(part.stream.name, Coverage(start=first))
            elif back and self.wish.since < start:
                await self._book.add(part.stream.name, Coverage(start=self.wish.since))
        await self._book.store()

    def _first(self) -> datetime:
        """Where a stream begins that is new: a repository may have been made soon after the last collection, days ago."""
        known = [one.live_edge for name, one in self._book.coverages().items() if name.partition("/")[0] in PARTS]
        last = max(filter(None, known), default=self.wish.since)
        return min(self.wish.since, last) if self.wish.live else self.wish.since

    async def read(self, seconds: float) -> None:
        """Read streams to their end, beginning new ones for so long. What one of them meets is a hole, and the others go on.

        RefusedError, ConfigError: nobody can go on.
        """
        until = time.monotonic() + seconds

        async def work() -> None:
            while self._todo and time.monotonic() < until:
                await self._one(self._todo.popleft())

        tasks = [asyncio.create_task(work()) for _ in range(min(self._workers, len(self._todo)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, part: Part) -> None:
        if self._broken_off:
            self.holes.append(Hole(repository=part.repository, part=part.name, why=f"not tried: {self._broken_off}"))
            return
        place = {"organisation": self._organisation, "repository": part.repository, "part": part.name}
        token = _reading.set(place)
        try:
            await self._stream(part)
            self._silent = 0
        except (TransientError, PermanentError) as error:
            self._missed(part, error)
        finally:
            self._reached[part.stream.name] = 1.0
            self.touched.add(part.stream.name)
            _reading.reset(token)

    def _missed(self, part: Part, error: HarvesterError) -> None:
        failed(str(error), attempt="last")
        self.holes.append(Hole(repository=part.repository, part=part.name, why=str(error)))
        self._silent = self._silent + 1 if isinstance(error, TransientError) else 0
        if isinstance(error, TokenRefusedError) or self._silent >= _GIVE_UP:
            self._broken_off = str(error)

    async def _stream(self, part: Part) -> None:
        async def told(page: Page) -> None:
            await self._page(part, page)

        harvest = Harvest(self._source, Counted(part.stream, told), self._outlet, self._book, self._letters, limits=self._limits)
        try:
            if self.wish.live or part.name not in PARTS:
                await self._live(part, harvest)
            else:
                await self._ranged(part, harvest)
            if part.stream.name in self._due:
                await harvest.reread()
        finally:
            self.dead_letters += harvest.totals["dead_lettered"]

    async def _live(self, part: Part, harvest: Harvest) -> None:
        coverage = self._book.coverage(part.stream.name)
        if coverage.start and coverage.live_edge and part.name in PARTS:
            await harvest.read(Intervals([(coverage.start, coverage.live_edge)]) - coverage.read)
        await harvest.poll(self.wish.since)

    async def _ranged(self, part: Part, harvest: Harvest) -> None:
        span = Intervals([self._span(part)])
        await harvest.read(span - self._book.coverage(part.stream.name).read)
        due = due_to_settle(self._book.coverage(part.stream.name), self._source.now(), part.stream.timing)
        await harvest.read(span & due)

    async def _page(self, part: Part, page: Page) -> None:
        for event in page.events:
            repository = self._names.get(event.subject, "") if part.name == LISTED else part.repository
            counts = self.counts.setdefault(repository, Counter())
            counts["swept" if part.name == SWEEP else TABLES.get(event.type, event.type)] += 1
        self.events += len(page.events)
        for broken in page.broken:
            failed(broken.error, reason=broken.reason, kept_as="dead letter")
        if page.covered and part.name in PARTS:
            span = self._span(part)
            reached = (page.covered.end - span.start) / max(span.end - span.start, timedelta(seconds=1))
            self._reached[part.stream.name] = max(self._reached[part.stream.name], min(reached, 0.99))
        self.touched.add(part.stream.name)
        await self._told()

    def standing(self, part: Part) -> Standing:
        """Where a stream stands, of what was asked for."""
        read, span = self._book.coverage(part.stream.name).read, self._span(part)
        first = read.holding(span.start)
        to = min(first.end, span.end) if first else None
        return Standing(repository=part.repository, read_to=to, left=[*(Intervals([span]) - read)])

    def _span(self, part: Part) -> Interval:
        start = self._book.coverage(part.stream.name).start
        return Interval(max(self.wish.since, start) if start and not self.wish.further_back else self.wish.since, self.wish.until)
