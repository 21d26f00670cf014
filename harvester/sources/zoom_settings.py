"""Zoom's settings: whose meetings, and how they are read."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from harvester.coverage import Timing
from harvester.http import Basic, HttpSettings, base_url, guard_plain_http, reread

_LOGINS = ("CLIENT_ID", "CLIENT_SECRET")
_OLD = ("ZOOM_CLIENT_ID", "ZOOM_CLIENT_SECRET", "ZOOM_KEY", "ZOOM_API", "ZOOM_SECRET", "client_id", "client_secret")
_HORIZON = timedelta(days=180)
"""Reports and dashboard go back six months, of which the shortest have 181 days."""


class _KeyAlone(NamedTuple):
    """Stands where the account is missing beside a key, as those have it who come from JWT apps."""


def _account(value: object) -> object:
    if isinstance(value, _KeyAlone):
        raise PydanticCustomError("zoom_key_alone", "not named")
    return value


def _setting(name: str, *old: str, **more: object) -> object:
    return Field(validation_alias=AliasChoices(f"HARVESTER_ZOOM_{name}", *old), **more)  # type: ignore[call-overload]


class ZoomSettings(BaseModel):
    """Whose meetings, and how they are read."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    account_id: Annotated[
        str,
        BeforeValidator(_account),
        _setting("ACCOUNT_ID", "ZOOM_ACCOUNT_ID", min_length=1, description="account id of the server-to-server OAuth app"),
    ]
    client_id: Annotated[
        str, _setting("CLIENT_ID", "ZOOM_CLIENT_ID", "ZOOM_KEY", "ZOOM_API", min_length=1, description="client id of that app")
    ]
    client_secret: Annotated[
        SecretStr, _setting("CLIENT_SECRET", "ZOOM_CLIENT_SECRET", "ZOOM_SECRET", description="client secret of that app")
    ]
    url: Annotated[str, _setting("URL", description="address of the API; a region that Zoom names goes before it")] = (
        "https://api.zoom.us/v2"
    )
    oauth_url: Annotated[str, _setting("OAUTH_URL", description="address that gives tokens")] = "https://zoom.us/oauth/token"
    mode: Annotated[
        Literal["auto", "dashboard", "report"],
        _setting(
            "MODE",
            description="where meetings are read: dashboard (Business or higher), report (Pro); auto: the first where it may be",
        ),
    ] = "auto"
    daily_calls: Annotated[
        int,
        _setting(
            "DAILY_CALLS",
            ge=0,
            description="most heavy and resource-intensive calls a day (UTC); 0: what the plan allows to the whole account",
        ),
    ] = 0
    poll: Annotated[float, _setting("POLL", ge=0, description="seconds between two polls, at least")] = 900.0
    settle: Annotated[
        int,
        _setting(
            "SETTLE",
            ge=0,
            description="seconds after which late rows have arrived: younger days are read at every poll, and rows that come "
            "later are not found; below 86400 a meeting whose begin is not told gets that of its day sooner than after two days",
        ),
    ] = 259_200
    page_size: Annotated[int, _setting("PAGE_SIZE", ge=1, le=300, description="rows of one page")] = 300
    start: Annotated[str, _setting("START", description="first meeting time when nothing is recorded, ISO or YYYYMMDDHHmmss")] = (
        ""
    )
    webhook_secret: Annotated[
        SecretStr,
        _setting(
            "WEBHOOK_SECRET",
            description="secret token of the app's events: with it they are taken at /webhooks/zoom of HARVESTER_LISTEN",
        ),
    ] = SecretStr("")
    webhook_pause: Annotated[
        float,
        _setting(
            "WEBHOOK_PAUSE",
            gt=0,
            description="seconds from such an event to the poll that it calls for, and between two of these",
        ),
    ] = 300.0
    timeout: Annotated[float, _setting("TIMEOUT", gt=0, description="seconds one request may take")] = 60.0
    max_body: Annotated[int, _setting("MAX_BODY", ge=1024, description="bytes one answer may have, after decompression")] = (
        64 * 2**20
    )
    allow_plain_http: Annotated[
        bool, _setting("ALLOW_PLAIN_HTTP", description="send secrets over http:// to a host that is not loopback")
    ] = False
    ca_file: Annotated[str, _setting("CA_FILE", description="certificate authority on the way, PEM")] = ""
    proxy: Annotated[str, _setting("PROXY", description="HTTP proxy, http://host:port")] = ""

    @model_validator(mode="before")
    @classmethod
    def _told(cls, given: Any) -> Any:
        keys = set(given) if isinstance(given, dict) else set()
        account = {"HARVESTER_ZOOM_ACCOUNT_ID", "ZOOM_ACCOUNT_ID", "account_id"}
        if not keys & account and keys & {*_OLD, *(f"HARVESTER_ZOOM_{name}" for name in _LOGINS)}:
            return {**given, "HARVESTER_ZOOM_ACCOUNT_ID": _KeyAlone()}
        return given

    @property
    def timing(self) -> Timing:
        """A day at a time. What a poll reads again is all that is not final, so that nothing has to be read for that alone."""
        settle = timedelta(seconds=self.settle)
        pause = timedelta(seconds=self.poll)
        return Timing(window=timedelta(days=1), overlap=settle, settle=settle, horizon=_HORIZON, pause=pause, reach=settle)


def api_settings(settings: ZoomSettings, url: str = "") -> HttpSettings:
    """How the API is reached, at its usual address or at `url`. ConfigError: tokens would go in the clear."""
    guard_plain_http(_http(settings, settings.url, "HARVESTER_ZOOM_URL"))
    return msgspec.structs.replace(_http(settings, url or settings.url, "HARVESTER_ZOOM_URL"), login=None)


def oauth_settings(settings: ZoomSettings) -> HttpSettings:
    """How the address that gives tokens is reached."""

    def login_again() -> Basic | None:
        secret = reread(settings.client_secret)
        return None if secret is None else Basic(settings.client_id, secret)

    return msgspec.structs.replace(_http(settings, settings.oauth_url, "HARVESTER_ZOOM_OAUTH_URL"), login_again=login_again)


def _http(settings: ZoomSettings, url: str, name: str) -> HttpSettings:
    return HttpSettings(
        name="zoom",
        url=base_url(url),
        login=Basic(settings.client_id, settings.client_secret.get_secret_value()),
        login_hint="check HARVESTER_ZOOM_CLIENT_ID, HARVESTER_ZOOM_CLIENT_SECRET and HARVESTER_ZOOM_ACCOUNT_ID",
        url_hint=f"check {name}",
        plain_hint="set HARVESTER_ZOOM_ALLOW_PLAIN_HTTP=true",
        timeout=timedelta(seconds=settings.timeout),
        max_body=settings.max_body,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        proxy=base_url(settings.proxy) if settings.proxy else None,
        allow_plain_http=settings.allow_plain_http,
    )
