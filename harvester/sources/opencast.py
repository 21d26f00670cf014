"""Opencast: what viewers do in the lecture player.

API: `/usertracking/actions.json`, opencast/opencast:modules/usertracking-impl/.../endpoint/UserTrackingRestService.java, with the
`start`/`end` parameters of the patched servers this source came from; a stock server ignores them, which the probe notices.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator

from harvester.coverage import Interval, Timing
from harvester.errors import InvalidEventError, PermanentError, TransientError
from harvester.event import Event, event_id
from harvester.http import Basic, Digest, HttpClient, HttpSettings, StatusError, base_url, open_http
from harvester.limits import Pace
from harvester.protocols import Broken, Page
from harvester.raw import MAX_DEPTH, Refused, depth, split
from harvester.retry import DAEMON, Retry, Wait

USERACTION = "opencast.useraction"
_ACTIONS = "/usertracking/actions.json"
_MAX_PASSES = 8
"""How often a window is paged anew because its rows shifted meanwhile."""
_LARGEST_VERSION = 2**61
"""Twice this plus one still fits the 64 bits that sinks compare."""


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
        self.timing = settings.timing

    async def probe(self) -> None:
        """Ask for a day on which nobody watched anything: rows mean that the server ignores `start` and `end`."""
        try:
            page = await self._page(Interval(datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC)), 1, 0)
        except StatusError as error:
            raise PermanentError(_explain(error)) from error
        if page.rows:
            raise PermanentError(
                "opencast: the server ignores start and end on /usertracking/actions.json (a stock Opencast does): this version "
                "reads by time window only. Nothing was read. Use a server with the start/end patch."
            )

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:  # noqa: ARG002 - this API has nothing to note
        """All actions created in the window; complete although rows have no order and shift while they are paged.

        Raises TransientError when they would not stop shifting.
        """
        seen: dict[str, str] = {}
        for number in range(_MAX_PASSES):
            known, reading = len(seen), _Pass()
            async for page in self._read_through(window, reading, seen):
                yield page
            if reading.whole or (number and known == len(seen) and len(seen) + reading.refused >= reading.total):
                return
        raise TransientError(f"opencast: the rows of {window.start} … {window.end} kept shifting while they were paged")

    async def _read_through(self, window: Interval, reading: "_Pass", seen: dict[str, str]) -> AsyncIterator[Page]:
        more = True
        while more:
            read_at = self._http.clock.now()
            page = await self._page(window, reading.limit(self._batch), reading.offset)
            events, broken = [], [Broken(r.body, str(r.why), r.why.reason) for r in page.refused]
            subjects = []
            for row in page.rows:
                try:
                    event = self.event(row, read_at)
                    subject, state = event.subject, event.id
                except InvalidEventError as error:
                    event, subject, state = None, event_id("", "", "", row), "broken"
                    if subject not in seen:
                        broken.append(Broken(bytes(row), str(error), error.reason))
                subjects.append(subject)
                if seen.get(subject) != state:
                    seen[subject] = state
                    if event is not None and window.start <= event.time < window.end:
                        events.append(event)
            more = reading.add(subjects, len(page.refused), page.total)
            if events or broken:
                yield Page(events, broken)

    async def _page(self, window: Interval, limit: int, offset: int) -> "_Rows":
        start, end = server_bounds(window, self._zone)
        answer = await self._http.get(_ACTIONS, start=start, end=end, limit=str(limit), offset=str(offset))
        return rows(answer.body)

    def event(self, record: bytes | msgspec.Raw, read_at: datetime) -> Event:
        """One record as an event. Raises InvalidEventError."""
        return useraction_event(record, self._source, read_at, self._zone)


class _Pass:
    """One reading of a window from offset 0 to the first page that brings nothing new.

    Pages after the first begin with the row that the last one ended with. If another row stands there, the rows shifted (one was
    inserted, deleted or, as PostgreSQL does when a row grows, moved to the end), and something may have been jumped over.
    """

    def __init__(self) -> None:
        self.total = 0
        self.refused = 0
        self._received = 0
        self._anchor: str | None = None
        self._steady = True
        self._subjects: set[str] = set()

    @property
    def offset(self) -> int:
        return self._received - (self._anchor is not None)

    def limit(self, batch: int) -> int:
        return batch + (self._anchor is not None)

    def add(self, subjects: list[str], refused: int, total: int | None) -> bool:
        """Take a page into account; False when it was the last."""
        known, received = len(self._subjects), self._received
        if self._anchor is not None and subjects[:1] != [self._anchor]:
            self._steady = False
        self._received = self.offset + len(subjects) + refused
        self._subjects.update(subjects)
        self.refused += refused
        self.total = len(self._subjects) if total is None else total
        self._anchor = subjects[-1] if subjects and not refused else None
        return self._received > received and (len(self._subjects) > known or refused > 0)

    @property
    def whole(self) -> bool:
        """Whether no row can have been jumped over."""
        return self._steady and len(self._subjects) + self.refused >= self.total


class _Rows(NamedTuple):
    total: int | None
    rows: Sequence[bytes | msgspec.Raw]
    refused: Sequence[Refused]


class _Actions(msgspec.Struct):
    total: int | str | None = None
    action: msgspec.Raw = msgspec.Raw(b"[]")


class _ActionsPage(msgspec.Struct):
    actions: _Actions


class _Action(msgspec.Struct):
    """The fields that make an event of a record, in every type that Jettison gives them."""

    id: int | str | float
    created: str
    inpoint: int | float | str | None = None
    outpoint: int | float | str | None = None


_page_decoder = msgspec.json.Decoder(_ActionsPage)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_action_decoder = msgspec.json.Decoder(_Action)


def rows(body: bytes) -> _Rows:
    """The rows of a page: none (no `action` key), one (an object) or many (a list), as Jettison writes them.

    From a page that is not strict JSON only the bad rows are refused. Raises TransientError when it is no page at all.
    """
    try:
        body.decode()
        page = _page_decoder.decode(body).actions
        found = page.action
        records = _list_decoder.decode(found) if memoryview(found)[0] == ord("[") else [found]
    except (ValueError, RecursionError):
        return _rows_of_a_broken_page(body)
    if b"\n" in body or b"\r" in body or any(depth(bytes(record)) > MAX_DEPTH for record in records):
        return _rows_of_a_broken_page(body)
    return _Rows(_whole_number(page.total), records, ())


def _rows_of_a_broken_page(body: bytes) -> _Rows:
    parts = split(body, "actions", "action")
    try:
        page = _page_decoder.decode(parts.envelope).actions
    except ValueError as error:
        raise TransientError(f"opencast: the answer is no page of actions: {error}") from error
    return _Rows(_whole_number(page.total), parts.records, parts.refused)


def useraction_event(record: bytes | msgspec.Raw, source: str, read_at: datetime, zone: ZoneInfo) -> Event:
    """An action as an event: its id is the subject, its outpoint the version, since only FOOTPRINT rows change and they grow.

    A `created` without offset is the server's local time. Raises InvalidEventError.
    """
    try:
        action = _action_decoder.decode(record)
        created = datetime.fromisoformat(action.created)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no user action: {error}") from error
    if created.tzinfo is None:
        created = created.replace(tzinfo=zone)
    subject = _whole_number(action.id)
    outpoint = max(_whole_number(action.inpoint if action.outpoint is None else action.outpoint) or 0, 0)
    if subject is None or outpoint >= _LARGEST_VERSION:
        raise InvalidEventError(f"no user action: id {action.id!r:.100}, outpoint {action.outpoint!r:.100}")
    key = str(subject)
    return Event(
        id=event_id(source, USERACTION, key, record),
        source=source,
        type=USERACTION,
        subject=key,
        version=outpoint,
        time=created.astimezone(UTC),
        read_at=read_at,
        data=record if isinstance(record, msgspec.Raw) else msgspec.Raw(record),
    )


def _whole_number(value: int | str | float | None) -> int | None:
    """Jettison writes numbers as text and text as numbers; None for what is no whole number."""
    if isinstance(value, int) or value is None:
        return value
    try:
        return int(value) if isinstance(value, str) or value.is_integer() else None
    except ValueError:
        return None


def server_bounds(window: Interval, zone: ZoneInfo) -> tuple[str, str]:
    """The window as `start` and `end`: whole seconds of the server's wall clock, which carry no zone.

    An hour that the clock shows twice is asked for as a whole, from before it to behind it: read twice rather than lost.
    """
    start = window.start.replace(microsecond=0)
    end = window.end.replace(microsecond=0) + timedelta(seconds=1 if window.end.microsecond else 0)
    while fold := _fold(start, zone):
        start -= fold
    while fold := _fold(end, zone):
        end += fold
    return start.astimezone(zone).strftime("%Y%m%d%H%M%S"), end.astimezone(zone).strftime("%Y%m%d%H%M%S")


def _fold(moment: datetime, zone: ZoneInfo) -> timedelta:
    """How long the wall clock repeats itself around `moment`; zero when its time is shown once only."""
    local = moment.astimezone(zone)
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    return max((first or timedelta()) - (second or timedelta()), timedelta())


def _explain(error: StatusError) -> str:
    if error.status == 404:
        return (
            "opencast: 404 for /usertracking/actions.json: the plugin opencast-plugin-usertracking is switched off (as it is "
            "by default since Opencast 13) or removed, or this is not the presentation node. Ask the administrator to switch "
            "it on there; without it, episodes come from the harvest interface (/tobira/harvest), views from the statistics "
            "API or access logs."
        )
    return f"opencast: {error}"
