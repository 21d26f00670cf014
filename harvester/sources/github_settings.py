"""GitHub's settings: whose repositories, as whom, and how fast they are read."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator
from yarl import URL

from harvester.coverage import Timing
from harvester.http import Basic, HttpSettings, base_url, guard_plain_http

PER_HOUR = 5_000
"""What GitHub allows a personal token in an hour, of requests and of GraphQL points each."""
SCOPES = (
    "a classic token needs the scopes repo and read:org; a fine-grained one, or an App, needs read access to "
    "metadata, pull requests, issues and contents"
)
_LAG = timedelta(minutes=5)
"""How long GitHub's replicas may be behind."""
_APP = ("HARVESTER_GITHUB_APP_ID", "app_id")
_TOKEN = ("HARVESTER_GITHUB_TOKEN", "GITHUB_TOKEN", "token")


def _words(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _setting(name: str, description: str, *old: str, **more: object) -> object:
    alias = AliasChoices(f"HARVESTER_GITHUB_{name}", *old)
    return Field(validation_alias=alias, description=description, **more)  # type: ignore[call-overload]


Names = Annotated[tuple[str, ...], BeforeValidator(_words)]


class GithubSettings(BaseModel):
    """Whose repositories, as whom, and how they are read."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    token: Annotated[
        SecretStr, _setting("TOKEN", f"token, or several of different users, a comma list: {SCOPES}", "GITHUB_TOKEN")
    ]
    org: Annotated[Names, _setting("ORG", "login of the organisation, or a comma list", "GITHUB_ORG", min_length=1)]
    repos: Annotated[Names, _setting("REPOS", "names of the repositories that are read, a comma list; unset: all")] = ()
    url: Annotated[str, _setting("URL", "address of the API; a GitHub Enterprise Server has it at https://HOST/api/v3")] = (
        "https://api.github.com"
    )
    mode: Annotated[
        Literal["auto", "graphql", "rest"],
        _setting("MODE", "how pull requests are read; auto: by GraphQL, and by REST where the token may not use that"),
    ] = "auto"
    max_workers: Annotated[
        int, _setting("MAX_WORKERS", "requests in flight at most, of all streams together", "MAX_WORKERS", ge=1, le=10)
    ] = 10
    hourly_limit: Annotated[
        int,
        _setting(
            "HOURLY_LIMIT",
            f"most requests, and most GraphQL points, that one token spends in an hour; GitHub allows {PER_HOUR:,}",
            ge=1,
        ),
    ] = 4_500
    reserve: Annotated[int, _setting("RESERVE", "requests that are left to others: with fewer it waits for the reset", ge=0)] = (
        100
    )
    live_share: Annotated[
        float,
        _setting(
            "LIVE_SHARE",
            "share of the hour, of the minute and of the requests in flight that backfills and collections leave to live reading",
            ge=0,
            le=0.9,
        ),
    ] = 0.1
    lookback_days: Annotated[
        int,
        _setting(
            "LOOKBACK_DAYS",
            "days that are read back when nothing is recorded and START is not set",
            "DEFAULT_LOOKBACK_DAYS",
            ge=1,
        ),
    ] = 180
    start: Annotated[str, _setting("START", "first time of change when nothing is recorded, ISO or YYYYMMDDHHmmss")] = ""
    poll: Annotated[float, _setting("POLL", "seconds between two polls, at least", ge=0)] = 300.0
    settle: Annotated[int, _setting("SETTLE", "seconds after which a change is final: what is older is read once more", ge=0)] = (
        86_400
    )
    sweep_days: Annotated[
        int,
        _setting(
            "SWEEP_DAYS",
            "pull requests closed since so many days are read again daily, as open ones are; 0: open ones alone",
            ge=0,
        ),
    ] = 14
    app_id: Annotated[str, _setting("APP_ID", "id of a GitHub App to log in as, in the place of a token")] = ""
    app_key_file: Annotated[str, _setting("APP_KEY_FILE", "private key of that App, PEM")] = ""
    installation_id: Annotated[str, _setting("INSTALLATION_ID", "id of its installation in the organisation")] = ""
    timeout: Annotated[float, _setting("TIMEOUT", "seconds one request may take", gt=0)] = 60.0
    max_body: Annotated[int, _setting("MAX_BODY", "bytes one answer may have, after decompression", ge=1024)] = 64 * 2**20
    allow_plain_http: Annotated[
        bool, _setting("ALLOW_PLAIN_HTTP", "send the token over http:// to a host that is not loopback")
    ] = False
    ca_file: Annotated[str, _setting("CA_FILE", "certificate authority on the way, PEM")] = ""
    proxy: Annotated[str, _setting("PROXY", "HTTP proxy, http://host:port")] = ""

    @model_validator(mode="before")
    @classmethod
    def _app_or_token(cls, given: Any) -> Any:
        keys = set(given) if isinstance(given, dict) else set()
        return {**given, "HARVESTER_GITHUB_TOKEN": ""} if keys & {*_APP} and not keys & {*_TOKEN} else given

    @field_validator("token")
    @classmethod
    def _one_line(cls, value: SecretStr) -> SecretStr:
        if not all(word.isascii() and word.isprintable() for word in tokens_of(value)):
            raise ValueError("no token: one is printable ASCII in one line, several stand behind commas")
        return value

    @model_validator(mode="after")
    def _whole_login(self) -> "GithubSettings":
        app = {"APP_ID": self.app_id, "APP_KEY_FILE": self.app_key_file, "INSTALLATION_ID": self.installation_id}
        missing = [f"HARVESTER_GITHUB_{name}" for name, value in app.items() if not value]
        if not tokens_of(self.token) and missing:
            raise ValueError(f"neither HARVESTER_GITHUB_TOKEN nor a whole login of an App: {', '.join(missing)} is missing")
        return self

    @property
    def timing(self) -> Timing:
        """By time of change. The overlap holds what may be looked up once a poll only, and what replicas show late."""
        pause, settle = timedelta(seconds=self.poll), timedelta(seconds=self.settle)
        reach = timedelta(days=self.lookback_days)
        return Timing(window=None, overlap=_LAG + pause, settle=settle, pause=pause, reach=reach)


def tokens_of(secret: SecretStr) -> tuple[str, ...]:
    """The tokens of a comma list."""
    return tuple(word.strip() for word in secret.get_secret_value().split(",") if word.strip())


def http_settings(settings: GithubSettings) -> HttpSettings:
    """How the API is reached. ConfigError: no address, or the token would go in the clear."""
    found = HttpSettings(
        name="github",
        url=base_url(settings.url),
        login=Basic("token", "is sent as a header"),
        login_hint=f"check HARVESTER_GITHUB_TOKEN: {SCOPES}",
        url_hint="check HARVESTER_GITHUB_URL",
        plain_hint="set HARVESTER_GITHUB_ALLOW_PLAIN_HTTP=true",
        headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
        timeout=timedelta(seconds=settings.timeout),
        max_body=settings.max_body,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        proxy=base_url(settings.proxy) if settings.proxy else None,
        allow_plain_http=settings.allow_plain_http,
    )
    guard_plain_http(found)
    return msgspec.structs.replace(found, login=None)


def graphql_url(api: URL) -> str:
    """Where GraphQL is: beside the API on GitHub, at /api/graphql on a GitHub Enterprise Server (/api/v3)."""
    path = api.raw_path.rstrip("/")
    return f"{api.origin()}{path.removesuffix('/v3') if path.endswith('/api/v3') else path}/graphql"


def host_of(api: URL) -> str:
    """The host whose ids are meant: github.com, or that of a GitHub Enterprise Server."""
    host = api.host or ""
    return "github.com" if host == "api.github.com" else host
