"""Settings: command line > environment > `.env` > /run/secrets > `harvester.toml` > default; every fault told at once.

A family of settings is a pydantic model beside the part that uses it, and SETTINGS names them all. A field's first
`validation_alias` is its variable; further ones are names that predecessors used: they still work, and are told.
"""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from harvester import loading
from harvester.access import Access
from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.loading import Loaded
from harvester.setting import setting
from harvester.sources import SOURCES

SETTINGS: tuple[str, ...] = (
    "harvester.settings:CoreSettings",
    "harvester.privacy:PrivacySettings",
    "harvester.remotelogs:LogsSettings",
    "harvester.sources.opencast:OpencastSettings",
    "harvester.sources.zoom:ZoomSettings",
    "harvester.sources.github:GithubSettings",
    "consumers.enrichers.opencast:EpisodeSettings",
    "consumers.enrichers.places:GeoipSettings",
    "consumers.sinks.archive_settings:ArchiveSettings",
    "consumers.sinks.elasticsearch_settings:ElasticsearchSettings",
    "consumers.sinks.bigquery_settings:BigQuerySettings",
    "consumers.sinks.postgres_settings:PostgresSettings",
    "consumers.kibana_settings:KibanaSettings",
)
"""Every family, as "module:class". A module named here imports without any extra installed."""


def families() -> tuple[type[BaseModel], ...]:
    """The models that SETTINGS names."""
    return tuple(map(_imported, SETTINGS))


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def load(
    *models: type[BaseModel],
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """The settings of `models`. `overrides`: variable → value from the command line, None where it was not given.

    Raises ConfigError with every fault of every model and every place at once.
    """
    loaded = inspect(*models, overrides=overrides, environ=environ, cwd=cwd)
    if loaded.faults:
        raise ConfigError(*map(str, loaded.faults))
    return loaded


def inspect(
    *models: type[BaseModel],
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Loaded:
    """As `load`, but what is wrong stands in `faults` instead of being raised."""
    return loading.read(models, families, overrides or {}, environ, cwd or Path.cwd())


def known_source(name: str) -> None:
    """ConfigError: there is no source of that name."""
    if name not in SOURCES:
        raise ConfigError(unknown("source", name, SOURCES))


def _words(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class _NotNamed(NamedTuple):
    """Stands where a store of letters is needed and was not named, so that this is told with all other faults."""

    queue: str


def _named(value: object) -> object:
    if isinstance(value, _NotNamed):
        raise PydanticCustomError("letters_not_named", "not named", {"queue": value.queue})
    return value


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PydanticCustomError("zone", "no time zone", {"value": value}) from error


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if token and (len(token) < _SHORTEST_TOKEN or not token.isprintable()):
        raise PydanticCustomError(
            "token", "no token (not shown): one has {least} characters at least, in one line", {"least": _SHORTEST_TOKEN}
        )
    return value


def _known(part: str) -> AfterValidator:
    """Refuses a name or scheme that `part`, "package:function", does not know. No driver is imported for it."""

    def check(value: Any) -> Any:
        faults = []
        for one in (value,) if isinstance(value, str) else value:
            try:
                _imported(part)(one)
            except ConfigError as error:
                faults.append(str(error))
        if faults:
            raise PydanticCustomError("unknown", "{why}", {"why": "; ".join(faults)})
        return value

    return AfterValidator(check)


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""A comma list."""
Zone = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone that exists here."""
Url = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://")]
SHARED_QUEUES = {"kafka": "Kafka", "sqs": "SQS"}
"""Schemes of queues that hosts share: beside them the store of letters has to be named."""
Given = dict[str, Any]
_BUCKET = ("HARVESTER_OPENCAST_LAST_TS_BUCKET", "S3_HARVEST_TS_BUCKET")
_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""As AWS' own tools call it. It is no old name of ours: beside HARVESTER_AWS_REGION it may say something else, for others."""
_GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
"""As Google's own tools call it: likewise."""
_SHORTEST_TOKEN = 16
_ADDRESS = r"^((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):)?\d{1,5}$|^$"

_setting = partial(setting, "HARVESTER_")


class CoreSettings(Access):
    """What every part shares: where things are kept, how spans are read, how much is in flight, what is told.

    It inherits so that whoever has the URL of a server has the login there, too.
    """

    also_reads: ClassVar[frozenset[str]] = frozenset((*_BUCKET, *_REGION, _GOOGLE))

    queue_url: Annotated[
        Url,
        _known("harvester.queues:known"),
        _setting("QUEUE_URL", "queue between sources and sinks: sqlite:///PATH, kafka://HOST/PREFIX or sqs://REGION/NAME"),
    ] = "sqlite:///var/queue.db"
    sqs_queue_name: Annotated[
        str,
        _setting(
            "SQS_QUEUE_NAME",
            "SQS queue of the region of AWS, where HARVESTER_QUEUE_URL is not set; `-`: useractions prints",
            "SQS_QUEUE_NAME",
            pattern=r"^[A-Za-z0-9_-]{0,80}$",
        ),
    ] = ""
    coverage_url: Annotated[
        Url,
        _known("harvester.coverages:known"),
        _setting("COVERAGE_URL", "store of what was read already: file://FOLDER, redis://HOST/0 or s3://BUCKET/PREFIX"),
    ] = "file://var/coverage"
    letters_url: Annotated[
        Url,
        BeforeValidator(_named),
        _known("harvester.letters:known"),
        _setting(
            "LETTERS_URL",
            "store of dead letters: sqlite:///PATH, file://FOLDER, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX; has to be named "
            "beside Kafka and SQS, unless S3_HARVEST_TS_BUCKET is: then s3://THAT/letters",
        ),
    ] = "sqlite:///var/letters.db"
    cache_url: Annotated[
        Url,
        _known("consumers.caches:known"),
        _setting("CACHE_URL", "cache of looked-up metadata: memory:// or redis://HOST/1", "REDIS_URL"),
    ] = "memory://"
    budget_url: Annotated[
        str,
        _known("harvester.budgets:known"),
        _setting(
            "BUDGET_URL",
            "where processes that share a credential count what they spend of it: redis://HOST/0, or file://FOLDER on one host; "
            "unset: beside HARVESTER_COVERAGE_URL, in S3 nowhere",
        ),
    ] = ""
    sources: Annotated[
        Words, _known("harvester.settings:known_source"), _setting("SOURCES", "sources that `harvest run` harvests, a comma list")
    ] = ("opencast",)
    sinks: Annotated[Words, _known("consumers.sinks:known"), _setting("SINKS", "sinks that are fed, a comma list")] = ("duckdb",)
    duckdb_path: Annotated[Path, _setting("DUCKDB_PATH", "file of the duckdb sink")] = Path("var/harvest.duckdb")

    timezone: Annotated[Zone, _setting("TIMEZONE", "zone of times that are given without one")] = "UTC"
    poll_interval: Annotated[float, _setting("POLL_INTERVAL", "seconds between two live polls of a source", gt=0)] = 120.0
    default_interval: Annotated[
        int,
        _setting(
            "DEFAULT_INTERVAL",
            "minutes to look back when no start is given and nothing was read yet",
            "DEFAULT_INTERVAL",
            ge=1,
        ),
    ] = 2
    max_span: Annotated[
        int | None, _setting("MAX_SPAN", "longest span that is read in one go, seconds; unset: any", "MAX_START_END_SPAN", ge=1)
    ] = None
    span_policy: Annotated[
        Literal["windows", "abort", "gap"],
        BeforeValidator(_lower),
        _setting(
            "SPAN_POLICY",
            "a span over HARVESTER_MAX_SPAN: windows = read it piece by piece, abort = stop, gap = skip to its last piece",
        ),
    ] = "windows"
    coverage_pace: Annotated[
        float, _setting("COVERAGE_PACE", "seconds from one write of a source's coverage to the next, at least", ge=0)
    ] = 1.0

    leases: Annotated[
        bool,
        _setting(
            "LEASES",
            "whether a harvester holds each stream that it works on; false: several do the same work, and nothing is lost",
        ),
    ] = True

    own_events: Annotated[
        Literal["daemons", "always", "never"],
        BeforeValidator(_lower),
        _setting(
            "OWN_EVENTS",
            "who puts events of what it does itself into the queue, for the dashboard Harvester: daemons, always = one-shot "
            "harvests too, never",
        ),
    ] = "daemons"

    batch_events: Annotated[int, _setting("BATCH_EVENTS", "most events in one batch", "BATCH_SIZE", ge=1)] = 1000
    batch_bytes: Annotated[ByteSize, _setting("BATCH_BYTES", "most bytes in one batch", ge=1024)] = ByteSize(8 * 2**20)
    in_flight: Annotated[int, _setting("IN_FLIGHT", "batches that are on their way at the same time", ge=1, le=256)] = 8
    in_flight_bytes: Annotated[
        ByteSize, _setting("IN_FLIGHT_BYTES", "most bytes that are on their way at the same time", ge=1024)
    ] = ByteSize(64 * 2**20)
    drain_timeout: Annotated[float, _setting("DRAIN_TIMEOUT", "seconds that a stop waits for what is on its way", ge=0)] = 25.0

    traces_url: Annotated[
        str,
        _setting(
            "TRACES_URL",
            "collector of traces by OTLP over HTTP, like http://127.0.0.1:4318; unset: OTEL_EXPORTER_OTLP_ENDPOINT, or off",
            pattern=r"^https?://[^@/]+(/.*)?$|^$",
        ),
    ] = ""
    listen: Annotated[
        str,
        _setting(
            "LISTEN",
            "address of /metrics, /livez, /readyz, /startupz, /status and webhooks: HOST:PORT, or a port on loopback; unset: off",
            pattern=_ADDRESS,
        ),
    ] = ""
    listen_names: Annotated[
        Words,
        _setting(
            "LISTEN_NAMES", "names it may be asked by there, besides addresses, localhost and this host's name; a comma list"
        ),
    ] = ()
    listen_token: Annotated[
        SecretStr,
        AfterValidator(_token),
        _setting("LISTEN_TOKEN", "token without which nothing but the status of probes is told there; unset: everybody may read"),
    ] = SecretStr("")
    log_level: Annotated[
        Literal["debug", "info", "warn"], BeforeValidator(_lower), _setting("LOG_LEVEL", "least level that is logged")
    ] = "info"

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        bucket, region = (next((given[name] for name in names if name in given), "") for names in (_BUCKET, _REGION))
        own = {name: value for name, value in given.items() if name not in cls.also_reads}
        if region and not {"HARVESTER_AWS_REGION", "aws_region"} & own.keys():
            own["HARVESTER_AWS_REGION"] = region
        if (key_file := given.get(_GOOGLE)) and not {"HARVESTER_GOOGLE_CREDENTIALS", "google_credentials"} & own.keys():
            own["HARVESTER_GOOGLE_CREDENTIALS"] = key_file
        return _with_letters(_with_queue(own), str(bucket))


def _with_queue(given: Given) -> Given:
    """A name alone, as predecessors gave it, is the queue where no URL is."""
    if {"HARVESTER_QUEUE_URL", "queue_url"} & given.keys():
        return given
    name = next((value for key in ("HARVESTER_SQS_QUEUE_NAME", "SQS_QUEUE_NAME") if (value := given.get(key))), "-")
    return given if name == "-" else {**given, "HARVESTER_QUEUE_URL": f"sqs:///{name}"}


def _with_letters(given: Given, bucket: str) -> Given:
    """Beside a queue that hosts share the default store of letters does not hold: it would be a file of each host.

    A predecessor's bucket is a place where every host looks.
    """
    queue = str(given.get("HARVESTER_QUEUE_URL", given.get("queue_url", ""))).partition("://")[0]
    if queue not in SHARED_QUEUES or {"HARVESTER_LETTERS_URL", "letters_url"} & given.keys():
        return given
    store = f"s3://{bucket}/letters" if bucket else _NotNamed(SHARED_QUEUES[queue])
    return {**given, "HARVESTER_LETTERS_URL": store}
