"""The recordings of an Opencast as a stream: each in its newest state, by the time it was changed, deleted ones too.

What changed is told by the harvest interface, where there is one and this account may use it, else by the list of the search
service, which says nothing of deletions. What a recording is says the search service alone, and its workflow, so that the
event is the one that `harvest load_episodes` makes.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError, PermanentError
from harvester.event import Event
from harvester.http import HttpClient, StatusError
from harvester.protocols import Broken, Page
from harvester.raw import MAX_DEPTH, depth
from harvester.retry import UnusableError
from harvester.sources.opencast_episodes import REFUSED_IDS, Workflows, episode_event, event_of, gone_event, subject_of
from harvester.sources.opencast_feed import HARVEST, Change, Feed, NoFeedError
from harvester.sources.opencast_listing import Listing
from harvester.sources.opencast_settings import OpencastSettings

_AMOUNT = 100
"""Recordings that are asked for at once, or as many as actions if these are fewer."""
_LATE = timedelta(minutes=5)
"""A change is in the index three minutes later at the latest, says the harvest interface; the rest finds the settling read."""
_EVER = timedelta(days=20 * 366)
"""There is no older Opencast."""
_WHOLE_LIST = timedelta(minutes=15)
"""Least time between two polls where each has to read the whole list."""
Way = Literal["feed", "search"]


class Recordings:
    """Every recording, by the time it was changed last."""

    name = "episodes"

    def __init__(
        self,
        http: HttpClient,
        workflows: Workflows | None,
        settings: OpencastSettings,
        source: str,
        on_way: Callable[[Way, str], None] | None = None,
    ) -> None:
        """`workflows` None: what a recording's workflow says is not asked for."""
        self._http = http
        self._workflows = workflows
        self._settings = settings
        self._source = source
        self._on_way = on_way
        amount = min(_AMOUNT, settings.batch_size)
        self._feed = Feed(http, amount)
        self._list = Listing(http, amount)
        self.way: Way | None = None
        """Where changes are told; None: it was not asked yet."""
        self._found = self._told_workflow = False
        """Whether the search, and the workflows, could be read of any recording: then one that cannot is at fault itself."""

    @property
    def timing(self) -> Timing:
        """Any span is one window: what changed since its start is told in order, and costs the same."""
        whole = self.way == "search" and not self._list.sorted
        overlap, settle = (timedelta(seconds=n) for n in (self._settings.overlap, self._settings.settle))
        return Timing(None, max(overlap, _LATE), settle, pause=_WHOLE_LIST if whole else timedelta(), reach=_EVER)

    async def probe(self) -> None:
        """Ask where changes are told. Raises PermanentError when the search service refuses this account, too."""
        try:
            await self._feed.probe()
            self._told("feed", f"{HARVEST} tells them")
        except NoFeedError as error:
            await self._without_feed(error)

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:  # noqa: ARG002 - nothing has to be noted
        """Every recording whose newest change is in the window, but for deletions where the search service tells the changes.

        Raises PermanentError when the server refuses this account.
        """
        if self.way is None:
            await self.probe()
        if window.start >= self._http.clock.now():
            yield Page([], covered=window)
            return
        if self.way == "feed":
            try:
                async for page in self._by_feed(window):
                    yield page
            except NoFeedError as error:
                await self._without_feed(error)
            else:
                return
        async for page in self._by_list(window):
            yield page

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return event_of(record, self._source, read_at)

    async def _without_feed(self, error: NoFeedError) -> None:
        try:
            await self._list.probe()
        except StatusError as refused:
            raise PermanentError(f"{refused}; the harvest interface is not there for this account either: {error}") from refused
        why = "is for administrators" if error.status == 403 else "is not there"
        self._told("search", f"{HARVEST} {why} ({error.status}): the search service tells changes, but no deletions")

    def _told(self, way: Way, why: str) -> None:
        self.way = way
        if self._on_way is not None:
            self._on_way(way, why)

    async def _by_feed(self, window: Interval) -> AsyncIterator[Page]:
        done = window.start
        async for changed, broken, until in self._feed.changes(window):
            events, bad = await self._each(changed)
            covered = Interval(done, until) if done < until else None
            done = max(done, until)
            yield Page(events, [*broken, *bad], covered)

    async def _by_list(self, window: Interval) -> AsyncIterator[Page]:
        async for hits, broken in self._list.changes(window):
            events, bad = [], list(broken)
            for hit in hits:
                try:
                    events.append(await self._recording(subject_of(hit), hit, self._http.clock.now()))
                except InvalidEventError as error:
                    bad.append(Broken(bytes(hit), str(error), error.reason))
            yield Page(events, bad)
        yield Page([], covered=window)

    async def _each(self, changed: Sequence[Change]) -> tuple[list[Event], list[Broken]]:
        events: list[Event] = []
        broken: list[Broken] = []
        for mpid, deleted, record in changed:
            read_at = self._http.clock.now()
            try:
                if deleted:
                    events.append(gone_event(msgspec.Raw(record), self._source, read_at))
                elif event := await self._looked_up(mpid, read_at, broken):
                    events.append(event)
            except InvalidEventError as error:
                broken.append(Broken(record, str(error), error.reason))
        return events, broken

    async def _looked_up(self, mpid: str, read_at: datetime, broken: list[Broken]) -> Event | None:
        """The recording as the search service has it; None when it has none (any more): the interface will tell of its end."""
        try:
            page = await self._list.of(mpid)
        except StatusError as error:
            if error.status not in REFUSED_IDS:
                raise
            raise InvalidEventError(f"the search service refuses the id: {error}", reason="refused") from error
        except UnusableError as error:
            if not self._found:
                raise
            raise InvalidEventError(f"what the search service says of it cannot be read: {error}", reason="not_json") from error
        self._found = True
        for hit in page.hits:
            try:
                if subject_of(hit) == mpid:
                    return await self._recording(mpid, hit, read_at)
            except InvalidEventError:
                continue
        broken += [Broken(body, str(why), why.reason) for body, why in page.refused]
        return None

    async def _recording(self, mpid: str, hit: msgspec.Raw, read_at: datetime) -> Event:
        workflow = await self._workflow(mpid)
        event = episode_event(mpid, hit, workflow, self._source, read_at)
        if depth(bytes(event.data)) > MAX_DEPTH:
            raise InvalidEventError(f"nested deeper than {MAX_DEPTH} levels", reason="too_deep")
        return event

    async def _workflow(self, mpid: str) -> msgspec.Raw | None:
        """None, too, when it cannot be read of this one alone: the settling read asks again, and nothing richer is replaced."""
        if self._workflows is None:
            return None
        try:
            found = await self._workflows.newest(mpid)
        except UnusableError:
            if not self._told_workflow:
                raise
            return None
        self._told_workflow = True
        return found
