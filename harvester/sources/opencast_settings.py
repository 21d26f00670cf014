"""Opencast's settings: where the lectures are, and how they are read."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from harvester.coverage import Timing
from harvester.http import Basic, Digest, HttpSettings, base_url, reread

Mode = Literal["window", "day", "tail"]
"""How actions are asked for: by start and end (patched servers), by day (stock), or by offset alone."""
_DAY = timedelta(days=1)


def _setting(name: str, *old: str, **more: object) -> object:
    return Field(validation_alias=AliasChoices(f"HARVESTER_OPENCAST_{name}", *old), **more)  # type: ignore[call-overload]


def _words(value: object) -> object:
    """A comma list, each word once."""
    return tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip())) if isinstance(value, str) else value


class OpencastSettings(BaseModel):
    """Where the lectures are, and how they are read."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    url: Annotated[str, _setting("URL", "MATTERHORN_ENGAGE_HOST", description="engage node: host, host:port or full URL")]
    user: Annotated[str, _setting("USER", "MATTERHORN_REST_USER", description="account for the REST API")]
    password: Annotated[SecretStr, _setting("PASSWORD", "MATTERHORN_REST_PASS", description="password of that account")]
    admin_url: Annotated[
        str, _setting("ADMIN_URL", "MATTERHORN_ADMIN_HOST", description="admin node, where workflows are: as the engage node")
    ] = ""
    workflow: Annotated[str, _setting("WORKFLOW", description="definition of the workflow that publishes a recording")] = (
        "DCE-archive-publish-external"
    )
    streams: Annotated[
        tuple[Literal["useractions", "episodes"], ...],
        BeforeValidator(_words),
        _setting(
            "STREAMS",
            min_length=1,
            description="what is harvested, a comma list: useractions, and episodes (recordings that change, or are deleted)",
        ),
    ] = ("useractions",)
    login: Annotated[Literal["digest", "basic"], _setting("LOGIN", description="how the server asks for the password")] = "digest"
    timezone: Annotated[
        str, _setting("TIMEZONE", description="zone of the server's clock; empty: the zone of HARVESTER_TIMEZONE")
    ] = ""
    mode: Annotated[
        Literal["auto", "window", "day", "tail"],
        _setting(
            "MODE",
            description="how actions are read: window (servers with the start/end patch), day (stock), tail (neither); auto asks",
        ),
    ] = "auto"
    batch_size: Annotated[
        int,
        _setting(
            "BATCH_SIZE",
            ge=1,
            le=1_000_000,
            description="actions per request; a whole day or table is read in pages ten times as large, up to 10000",
        ),
    ] = 1000
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
    last_ts_bucket: Annotated[
        str,
        _setting(
            "LAST_TS_BUCKET",
            "S3_HARVEST_TS_BUCKET",
            description="S3 bucket with a predecessor's last time: the first harvest goes on from there, and never writes it",
        ),
    ] = ""
    last_ts_key: Annotated[
        str, _setting("LAST_TS_KEY", "S3_LAST_ACTION_TS_KEY", description="object in that bucket that holds it, YYYYMMDDHHmmss")
    ] = ""
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

    @model_validator(mode="after")
    def _bucket_and_key(self) -> "OpencastSettings":
        if bool(self.last_ts_bucket) != bool(self.last_ts_key):
            raise ValueError("HARVESTER_OPENCAST_LAST_TS_BUCKET and HARVESTER_OPENCAST_LAST_TS_KEY: set both or neither")
        return self

    def timing(self, mode: Mode) -> Timing:
        """How its stream wants to be read."""
        window = timedelta(seconds=self.window)
        return Timing(
            # a day is the least that a server can be asked for by day; by offset any span costs the same
            window={"window": window, "day": max(window, _DAY), "tail": None}[mode],
            overlap=timedelta(seconds=self.overlap),
            settle=timedelta(seconds=self.settle),
        )


def http_settings(settings: OpencastSettings, *, admin: bool = False) -> HttpSettings:
    """How the engage node is reached, where search is, too; or the admin node."""

    def login(password: str) -> Basic | Digest:
        return Digest(settings.user, password) if settings.login == "digest" else Basic(settings.user, password)

    def login_again() -> Basic | Digest | None:
        password = reread(settings.password)
        return None if password is None else login(password)

    return HttpSettings(
        name="opencast",
        url=base_url(settings.admin_url if admin else settings.url),
        login=login(settings.password.get_secret_value()),
        login_again=login_again,
        login_hint="check HARVESTER_OPENCAST_USER, HARVESTER_OPENCAST_PASSWORD and HARVESTER_OPENCAST_LOGIN (digest or basic)",
        url_hint=f"check HARVESTER_OPENCAST_{'ADMIN_' if admin else ''}URL",
        plain_hint="set HARVESTER_OPENCAST_ALLOW_PLAIN_HTTP=true",
        timeout=timedelta(seconds=settings.timeout),
        max_body=settings.max_body,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        proxy=base_url(settings.proxy) if settings.proxy else None,
        allow_plain_http=settings.allow_plain_http,
    )
