"""Opencast: what viewers do in the lecture player, and the recordings they do it in.

API: `/usertracking/actions.json`, opencast/opencast:modules/usertracking-impl/.../endpoint/UserTrackingRestService.java: by `day`
or as a whole, and on the patched servers that this source came from by `start` and `end`. Which of them a server knows is asked.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from harvester.coverage import Interval, Intervals, Timing
from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.event import Event
from harvester.http import HttpClient, OnAllowance, open_http
from harvester.limits import Pace
from harvester.protocols import Broken, Page
from harvester.raw import checked
from harvester.retry import DAEMON, Retry, Wait
from harvester.sources.opencast_calls import Endpoint, OutsideError
from harvester.sources.opencast_days import days, interior, seams
from harvester.sources.opencast_episodes import Workflows
from harvester.sources.opencast_mark import Mark, seconds, times
from harvester.sources.opencast_paging import Reading
from harvester.sources.opencast_probe import probe
from harvester.sources.opencast_recordings import Recordings
from harvester.sources.opencast_rows import offset_of, useraction_event
from harvester.sources.opencast_settings import Mode, OpencastSettings, http_settings
from harvester.sources.opencast_sheets import page_of, sheets
from harvester.sources.opencast_table import Table

__all__ = ["Opencast", "OpencastSettings", "UserActions", "http_settings", "open_opencast"]

_DAY = timedelta(days=1)
_ZONE_CHECK = timedelta(hours=1)
"""How often, at most, an empty window makes us ask whether it looks empty because of the zone alone."""

OnMode = Callable[[str, str], None]


@asynccontextmanager
async def open_opencast(
    settings: OpencastSettings,
    *,
    zone: str = "UTC",
    retry: Retry = DAEMON,
    on_request: Callable[[str, str, float], None] | None = None,
    on_wait: Callable[[Wait], None] | None = None,
    on_allowance: OnAllowance | None = None,
    on_mode: OnMode | None = None,
) -> AsyncIterator["Opencast"]:
    """The source of one installation. `zone` holds where the settings name none; `on_mode` hears how it is read, and why.

    Raises ConfigError for a bad address.
    """
    pace = Pace(timedelta(seconds=settings.wait))

    def client(*, admin: bool) -> AbstractAsyncContextManager[HttpClient]:
        place = http_settings(settings, admin=admin)
        return open_http(place, retry=retry, limits=[pace], on_request=on_request, on_wait=on_wait, on_allowance=on_allowance)

    async with AsyncExitStack() as stack:
        engage = await stack.enter_async_context(client(admin=False))
        workflows = None
        if settings.admin_url and Recordings.name in settings.streams:
            workflows = Workflows(await stack.enter_async_context(client(admin=True)), settings.workflow)
        yield Opencast(engage, settings, ZoneInfo(settings.timezone or zone), on_mode, workflows)


class Opencast:
    """One Opencast installation, and what of it is harvested."""

    name = "opencast"

    def __init__(
        self,
        http: HttpClient,
        settings: OpencastSettings,
        zone: ZoneInfo,
        on_mode: OnMode | None = None,
        workflows: Workflows | None = None,
    ) -> None:
        self._http = http
        known = (
            UserActions(http, settings, zone, self.name, on_mode),
            Recordings(http, workflows, settings, self.name, on_mode),
        )
        self._streams = [stream for stream in known if stream.name in settings.streams]

    async def streams(self) -> "Sequence[UserActions | Recordings]":
        """Those that are set. Raises PermanentError, with what to do, when this server cannot serve one of them."""
        for stream in self._streams:
            # else recordings are asked about when they are read: who wants actions alone need not know
            if isinstance(stream, UserActions) or len(self._streams) == 1:
                await stream.probe()
        return self._streams

    def now(self) -> datetime:
        """The server's clock, known since the probe."""
        return self._http.clock.now()


class UserActions:
    """Every action of every viewer, by the time it was made."""

    name = "useractions"

    def __init__(
        self, http: HttpClient, settings: OpencastSettings, zone: ZoneInfo, source: str, on_mode: OnMode | None = None
    ) -> None:
        self._endpoint = Endpoint(http, source, zone)
        self._settings = settings
        self._source = source
        self._zone = zone
        self._on_mode = on_mode
        self._batch = settings.batch_size
        self._settle = timedelta(seconds=settings.settle)
        self._counted = True
        self._table = Table(self._endpoint, self._batch, self._settle)
        self._zone_checked: datetime | None = None
        self.mode: Mode = "window" if settings.mode == "auto" else settings.mode
        """How it is read; `probe` decides when the settings do not."""

    @property
    def timing(self) -> Timing:
        """How it wants to be read, which follows the mode."""
        return self._settings.timing(self.mode)

    async def probe(self) -> None:
        """Ask the server what it knows. Raises PermanentError when it refuses, or does not know what is set."""
        found = await probe(self._endpoint, self._settings.mode)
        self.mode, self._counted = found.mode, found.counted
        if self._on_mode:
            self._on_mode(found.mode, found.reason)

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """All actions created in the window; complete although rows have no order and shift while they are paged.

        Raises TransientError when they would not stop shifting, and when the server is found to be read otherwise from now on;
        PermanentError when its clock is in another zone.
        """
        fetch = {"window": self._by_window, "day": self._by_day, "tail": self._by_tail}[self.mode]
        try:
            async for page in fetch(window, notes):
                yield page
        except OutsideError as error:
            raise await self._changed(error) from error

    async def _changed(self, error: OutsideError) -> HarvesterError:
        """Rows that were not asked for: the server may be another one since an upgrade."""
        before = self.mode
        if self._settings.mode == "auto":
            await self.probe()
        if self.mode == before:
            return error
        return TransientError(
            f"opencast: the server no longer honours what {before} mode asks for; it is read in {self.mode} mode from now on. "
            "Nothing of the window counts as read; a daemon reads it again by itself, else give the same command again."
        )

    async def _by_window(self, window: Interval, _: bytes) -> AsyncIterator[Page]:
        """By start and end."""
        reading = Reading(self._batch)
        async for sheet in sheets(self._endpoint, self._endpoint.of_window(window, counted=self._counted), reading):
            if page := page_of(sheet, window, reading, self._zone):
                yield page
        if reading.empty:
            await self._check_zone()

    async def _by_day(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """By day, and around midnights, which no request for a day is sure to show, from the whole table.

        What is not at rest is looked for at the table's end first: a live poll costs one call, however long the day is.
        """
        now = self._endpoint.now()
        live = self._is_live(window)
        if live and (page := await self._table.at_the_end(window, notes)):
            yield page
            return
        span = Interval(window.start, min(window.end, now))
        unsure = seams(span, self._zone)
        before = await self._table.total() if live and not unsure else None
        rows: dict[int, int] = {}
        for day in days(span, self._zone):
            async for page in self._day(day, window, rows):
                yield page
        if unsure:
            async for page in self._table.seams(unsure):
                yield page
        elif before is not None:
            # Counted first: a row that was added while the day was read can only make the next look fail.
            since = max(interior(span.start.astimezone(self._zone).date(), self._zone).start, now - self._settle)
            yield Page([], notes=Mark(before, seconds(since) + 1, rows).encoded())

    async def _day(self, day: date, window: Interval, rows: dict[int, int]) -> AsyncIterator[Page]:
        """What of a window lies in the interior of one day; `rows` gets to know all rows of the day."""
        reading, wanted = Reading(self._batch, whole=True), Intervals([interior(day, self._zone)]) & [window]
        async for sheet in sheets(self._endpoint, self._endpoint.of_day(day, counted=self._counted), reading):
            rows |= times(sheet.events)
            for event in sheet.events[:1]:
                self._endpoint.check_offset(event)
            if page := page_of(sheet, wanted, reading, self._zone):
                yield page

    async def _by_tail(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """From the table's end when that proves to be enough, which it never is for what is to be final; else from the whole."""
        if self._is_live(window) and (page := await self._table.at_the_end(window, notes)):
            yield page._replace(covered=window)
            return
        if window.start < self._endpoint.now():
            async for page in self._table.through(Intervals([window])):
                yield page
        yield Page([], covered=window)

    def _is_live(self, window: Interval) -> bool:
        """Whether nothing of it can become final by this reading."""
        return window.start > self._endpoint.now() - self._settle

    async def _check_zone(self) -> None:
        """An empty window may be that of a clock that runs behind: ask for any recent action, then for it by its time."""
        endpoint, now = self._endpoint, self._endpoint.now()
        if self._zone_checked is not None and now - self._zone_checked < _ZONE_CHECK:
            return
        self._zone_checked = now
        for record in (await endpoint.rows(endpoint.of_window(Interval(now - _DAY, now + _DAY)), 1, 0)).rows:
            event, offset = endpoint.event_or_broken(record, now), offset_of(record)
            if isinstance(event, Broken) or offset in (None, event.time.astimezone(self._zone).utcoffset()):
                continue
            asked = Interval(event.time, event.time)
            again = await endpoint.rows(endpoint.of_window(asked), 1, 0)
            if not again.rows:
                raise PermanentError(f"opencast: no action is found at {asked.start:%Y-%m-%dT%H:%M:%SZ}: {endpoint.wrong_zone}")
            found = endpoint.event_or_broken(again.rows[0], now)
            if isinstance(found, Event):
                endpoint.refuse_outside(found, asked)

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return useraction_event(checked(record), self._source, read_at, self._zone)
