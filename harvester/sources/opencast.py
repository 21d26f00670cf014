"""Opencast: what viewers do in the lecture player.

API: `/usertracking/actions.json`, opencast/opencast:modules/usertracking-impl/.../endpoint/UserTrackingRestService.java, with the
`start`/`end` parameters of the patched servers this source came from; a stock server ignores them, which the probe notices.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError, PermanentError, TransientError
from harvester.event import Event, event_id
from harvester.http import (
    Answer,
    Basic,
    Digest,
    HttpClient,
    HttpSettings,
    StatusError,
    TooLargeError,
    base_url,
    checked_json,
    open_http,
)
from harvester.limits import Pace
from harvester.protocols import Broken, Page
from harvester.raw import checked
from harvester.retry import DAEMON, Retry, UnusableError, Wait
from harvester.sources.opencast_paging import Reading, Row
from harvester.sources.opencast_rows import Rows, offset_of, rows, server_bounds, server_span, useraction_event

_ACTIONS = "/usertracking/actions.json"
_MAX_PASSES = 8
"""How often a window is paged anew because its rows shifted meanwhile."""
_DAY = timedelta(days=1)
_ROUNDING = timedelta(minutes=1)
"""A row further off than this was asked for by another clock: zones differ by a quarter of an hour or more."""
_ZONE_CHECK = timedelta(hours=1)
"""How often, at most, an empty window makes us ask whether it looks empty because of the zone alone."""


def _setting(name: str, *old: str, **more: object) -> object:
    return Field(validation_alias=AliasChoices(f"HARVESTER_OPENCAST_{name}", *old), **more)  # type: ignore[call-overload]


class OpencastSettings(BaseModel):
    """Where the lectures are, and how they are read."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[str, _setting("URL", "MATTERHORN_ENGAGE_HOST", description="engage node: host, host:port or full URL")]
    user: Annotated[str, _setting("USER", "MATTERHORN_REST_USER", description="account for the REST API")]
    password: Annotated[SecretStr, _setting("PASSWORD", "MATTERHORN_REST_PASS", description="password of that account")]
    login: Annotated[Literal["digest", "basic"], _setting("LOGIN", description="how the server asks for the password")] = "digest"
    timezone: Annotated[
        str, _setting("TIMEZONE", description="zone of the server's clock; empty: the zone of HARVESTER_TIMEZONE")
    ] = ""
    batch_size: Annotated[int, _setting("BATCH_SIZE", ge=1, le=1_000_000, description="actions per request")] = 1000
    wait: Annotated[float, _setting("WAIT", ge=0, description="seconds between two requests")] = 1.0
    window: Annotated[int, _setting("WINDOW", ge=1, description="seconds of action time that one pass reads and commits")] = 3600
    overlap: Annotated[int, _setting("OVERLAP", ge=0, description="seconds before the live edge that every poll reads again")] = (
        180
    )
    settle: Annotated[
        int,
        _setting(
            "SETTLE",
            ge=0,
            description="seconds after which late and growing rows have come to rest: each window is read again then",
        ),
    ] = 21600
    start: Annotated[str, _setting("START", description="first action time when nothing is recorded, YYYYMMDDHHmmss or ISO")] = ""
    timeout: Annotated[float, _setting("TIMEOUT", gt=0, description="seconds one request may take")] = 30.0
    max_body: Annotated[int, _setting("MAX_BODY", ge=1024, description="bytes one answer may have, after decompression")] = (
        64 * 2**20
    )
    allow_plain_http: Annotated[
        bool, _setting("ALLOW_PLAIN_HTTP", description="send the password over http:// to a host that is not loopback")
    ] = False
    ca_file: Annotated[str, _setting("CA_FILE", description="certificate authority of the server, PEM")] = ""
    proxy: Annotated[str, _setting("PROXY", description="HTTP proxy, http://host:port")] = ""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name and name not in available_timezones():
            raise ValueError("no time zone of that name")
        return name

    @property
    def timing(self) -> Timing:
        """How its streams want to be read."""
        return Timing(
            window=timedelta(seconds=self.window), overlap=timedelta(seconds=self.overlap), settle=timedelta(seconds=self.settle)
        )


@asynccontextmanager
async def open_opencast(
    settings: OpencastSettings,
    *,
    zone: str = "UTC",
    retry: Retry = DAEMON,
    on_request: Callable[[str, str, float], None] | None = None,
    on_wait: Callable[[Wait], None] | None = None,
) -> AsyncIterator["Opencast"]:
    """The source of one installation. `zone` holds where the settings name none. Raises ConfigError for a bad address."""
    pace = Pace(timedelta(seconds=settings.wait))
    async with open_http(http_settings(settings), retry=retry, limits=[pace], on_request=on_request, on_wait=on_wait) as client:
        yield Opencast(client, settings, ZoneInfo(settings.timezone or zone))


def http_settings(settings: OpencastSettings) -> HttpSettings:
    """How this installation is reached; its search service is reached the same way."""
    password = settings.password.get_secret_value()
    return HttpSettings(
        name="opencast",
        url=base_url(settings.url),
        login=Digest(settings.user, password) if settings.login == "digest" else Basic(settings.user, password),
        login_hint="check HARVESTER_OPENCAST_USER, HARVESTER_OPENCAST_PASSWORD and HARVESTER_OPENCAST_LOGIN (digest or basic)",
        url_hint="check HARVESTER_OPENCAST_URL",
        plain_hint="set HARVESTER_OPENCAST_ALLOW_PLAIN_HTTP=true",
        timeout=timedelta(seconds=settings.timeout),
        max_body=settings.max_body,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        proxy=base_url(settings.proxy) if settings.proxy else None,
        allow_plain_http=settings.allow_plain_http,
    )


class Opencast:
    """One Opencast installation; it has one stream."""

    name = "opencast"

    def __init__(self, http: HttpClient, settings: OpencastSettings, zone: ZoneInfo) -> None:
        self._http = http
        self._settings = settings
        self._zone = zone

    async def streams(self) -> Sequence["UserActions"]:
        """The user actions. Raises PermanentError, with what to do, when this server cannot serve them by time."""
        stream = UserActions(self._http, self._settings, self._zone, self.name)
        await stream.probe()
        return [stream]

    def now(self) -> datetime:
        """The server's clock, known since the probe."""
        return self._http.clock.now()


class UserActions:
    """Every action of every viewer, by the time it was made."""

    name = "useractions"

    def __init__(self, http: HttpClient, settings: OpencastSettings, zone: ZoneInfo, source: str) -> None:
        self._http = http
        self._batch = settings.batch_size
        self._zone = zone
        self._source = source
        self._counts_windows = True
        self._zone_checked: datetime | None = None
        self.timing = settings.timing

    async def probe(self) -> None:
        """Ask for a day on which nobody watched anything: rows mean that the server ignores `start` and `end`."""
        page = await self._page(Interval(datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC)), 1, 0)
        if page.rows or page.refused:
            raise PermanentError(
                "opencast: the server ignores start and end on /usertracking/actions.json (a stock Opencast does): this version "
                "reads by time window only. Nothing was read. Use a server with the start/end patch."
            )
        self._counts_windows = not page.total

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:  # noqa: ARG002 - this API has nothing to note
        """All actions created in the window; complete although rows have no order and shift while they are paged.

        Raises TransientError when they would not stop shifting, PermanentError when the server's clock is in another zone.
        """
        reading = Reading(self._batch)
        for _ in range(_MAX_PASSES):
            reading.begin()
            try:
                async for page in self._read_through(window, reading):
                    yield page
            except TooLargeError:
                if not reading.keep_small():
                    raise
                continue
            if reading.whole:
                if reading.empty:
                    await self._check_zone()
                return
        raise TransientError(f"opencast: the rows of {window.start} … {window.end} kept shifting while they were paged")

    async def _read_through(self, window: Interval, reading: Reading) -> AsyncIterator[Page]:
        asked, more = server_span(window, self._zone), True
        first, last = asked.start - _ROUNDING, asked.end + _ROUNDING
        while more:
            read_at = self._http.clock.now()
            page = await self._page(window, reading.limit, reading.offset)
            events: list[Event] = []
            refused = [(_broken_row(r.body), Broken(r.body, str(r.why), r.why.reason)) for r in page.refused]
            broken = [bad for row, bad in refused if reading.is_new(row)]
            seen: list[Row] = []
            for record in page.rows:
                event = self._event_or_broken(record, read_at)
                if isinstance(event, Broken):
                    row = _broken_row(event.body)
                    if reading.is_new(row):
                        broken.append(event)
                else:
                    if not first <= event.time <= last:  # a call for each row would cost as much as the decision
                        self._check_asked_for(event, asked)
                    row = event.subject, event.id
                    if reading.is_new(row) and window.start <= event.time < window.end:
                        events.append(event)
                seen.append(row)
            more = reading.add(seen, [row for row, _ in refused], page.total if self._counts_windows else None)
            if events or broken:
                yield Page(events, broken)

    async def _page(self, window: Interval, limit: int, offset: int) -> Rows:
        start, end = server_bounds(window, self._zone)
        found: list[Rows] = []

        def whole(answer: Answer, name: str) -> None:
            try:
                found.append(rows(checked_json(answer, name)))
            except TransientError as error:
                raise UnusableError(str(error)) from error

        try:
            answer = await self._http.get(_ACTIONS, check=whole, start=start, end=end, limit=str(limit), offset=str(offset))
        except StatusError as error:
            raise PermanentError(_explain(error)) from error
        return found[-1] if found else rows(answer.body)

    def _event_or_broken(self, record: bytes | msgspec.Raw, read_at: datetime) -> Event | Broken:
        try:
            return useraction_event(record, self._source, read_at, self._zone)
        except InvalidEventError as error:
            return Broken(bytes(record), str(error), error.reason)

    def _check_asked_for(self, event: Event, asked: Interval) -> None:
        """A row far from what was asked for would be dropped, and the one that was asked for not read: stop before that."""
        if not asked.start - _ROUNDING <= event.time <= asked.end + _ROUNDING:
            raise PermanentError(
                f"opencast: asked for {asked.start:%Y-%m-%dT%H:%M:%SZ} … {asked.end:%Y-%m-%dT%H:%M:%SZ}, and got an action of "
                f"{event.time:%Y-%m-%dT%H:%M:%SZ}: {self._wrong_zone}, or it ignores start and end. Nothing of it counts as read."
            )

    async def _check_zone(self) -> None:
        """An empty window may be that of a clock that runs behind: ask for any recent action, then for it by its time."""
        now = self._http.clock.now()
        if self._zone_checked is not None and now - self._zone_checked < _ZONE_CHECK:
            return
        self._zone_checked = now
        for record in (await self._page(Interval(now - _DAY, now + _DAY), 1, 0)).rows:
            event, offset = self._event_or_broken(record, now), offset_of(record)
            if isinstance(event, Broken) or offset in (None, event.time.astimezone(self._zone).utcoffset()):
                continue
            asked = Interval(event.time, event.time)
            again = await self._page(asked, 1, 0)
            if not again.rows:
                raise PermanentError(f"opencast: no action is found at {asked.start:%Y-%m-%dT%H:%M:%SZ}: {self._wrong_zone}")
            found = self._event_or_broken(again.rows[0], now)
            if isinstance(found, Event):
                self._check_asked_for(found, asked)

    @property
    def _wrong_zone(self) -> str:
        return f"the server's clock is not that of {self._zone.key} (set HARVESTER_OPENCAST_TIMEZONE)"

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return useraction_event(checked(record), self._source, read_at, self._zone)


def _broken_row(body: bytes) -> Row:
    return "", event_id("", "", "", body)


def _explain(error: StatusError) -> str:
    if error.status == 404:
        return (
            "opencast: 404 for /usertracking/actions.json: the plugin opencast-plugin-usertracking is switched off (as it is "
            "by default since Opencast 13) or removed, or this is not the presentation node. Ask the administrator to switch "
            "it on there; without it, episodes come from the harvest interface (/tobira/harvest), views from the statistics "
            "API or access logs."
        )
    return str(error)
