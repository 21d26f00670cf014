"""What commands are put together from: settings in, open parts out. Here both sides of the queue meet."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click
from pydantic import BaseModel, create_model

from consumers.batch import Processing
from consumers.breaker import Breaker
from consumers.caches import open_cache
from consumers.consume import Flow
from consumers.deaths import Deaths
from consumers.enrichers.opencast import EpisodeSettings, open_episodes
from consumers.enrichers.places import GeoipSettings, open_places
from consumers.protocols import Enricher, Gathering, Sink
from consumers.records import gives_records, gives_vendor_records, is_vendors
from consumers.sinks import RAW, open_sink, settings_of
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester import logs, metrics, tally
from harvester.answers import Allowance
from harvester.budget import Backfill
from harvester.budgets import beside, open_budget
from harvester.cli import REDACTOR
from harvester.coverages import open_coverages
from harvester.errors import ConfigError
from harvester.harvest import Limits
from harvester.letters import open_letters
from harvester.loading import Loaded
from harvester.metrics import HttpMetrics
from harvester.options import options_of
from harvester.privacy import PrivacySettings
from harvester.protocols import CoverageStore, DeadLetters, Queue, Source
from harvester.queues import open_queue
from harvester.redact import know
from harvester.remotelogs import LogsSettings, collector
from harvester.retry import Retry, Wait
from harvester.settings import CoreSettings, inspect, load
from harvester.sources import BUDGETED, SOURCES
from harvester.sources.opencast import OpencastSettings, http_settings
from harvester.states import Component
from harvester.url import database_path, parse
from harvester.veiled import veiled

QUICK = Retry(attempts=1)
"""For look-ups that have a second chance: an event waits as a letter instead of holding up the stream."""


def settings(*families: type[BaseModel], reads: bool = True) -> Loaded:
    """The settings of these families and the core, with what the command line set. Starts the logs.

    To be asked for once a command, for it tells of old names. With a source's family goes what is hidden of its records,
    unless nothing of it is read.
    """
    context = click.get_current_context()
    if reads and any(family.__module__.startswith("harvester.sources.") for family in families):
        families = (*families, PrivacySettings)
    loaded = load(CoreSettings, LogsSettings, GeoipSettings, *families, overrides=context.find_root().obj or {})
    context.meta[REDACTOR] = loaded.redactor
    know(loaded.secrets)
    for warning in loaded.warnings:
        click.echo(warning, err=True)
    kept = loaded.get(LogsSettings)
    file = Path(kept.folder) / _log_file(context) if kept.folder else None
    logs.setup(loaded.get(CoreSettings).log_level, redact=loaded.secrets, remote=collector(kept), file=file)
    return loaded


def _log_file(context: click.Context) -> str:
    """`harvest github` keeps the name that its predecessor's had."""
    return "github_collector.log" if context.parent and context.parent.info_name == "github" else "harvester.log"


def index_prefix() -> str:
    """What the names of indexes begin with: of all settings the only one that is read, so no secret is, and nothing that is wrong
    with another one stops who asks. ConfigError: it is no prefix.
    """
    alone = create_model("IndexPrefix", index_prefix=(str, ElasticsearchSettings.model_fields["index_prefix"]))
    [option] = options_of(alone)
    given = {name: value for name, value in (click.get_current_context().find_root().obj or {}).items() if name == option.name}
    loaded = inspect(alone, overrides=given)
    if option.name in loaded.at_fault:
        raise ConfigError(*(str(fault) for fault in loaded.faults if fault.what == option.name))
    return loaded.get(alone).index_prefix  # type: ignore[attr-defined,no-any-return]


def configured_sources() -> tuple[str, ...]:
    """The sources that the settings name; what is wrong with other settings is told later, all at once."""
    overrides = click.get_current_context().find_root().obj or {}
    return inspect(CoreSettings, overrides=overrides).sound(CoreSettings).sources


def configured_sinks() -> tuple[str, ...]:
    """The sinks that the settings name, before all settings are read: what is wrong with others is told later, all at once."""
    overrides = click.get_current_context().find_root().obj or {}
    return inspect(CoreSettings, overrides=overrides).sound(CoreSettings).sinks


def default_node() -> None:
    """Where nothing names the index it is on this host, as for the predecessor; to be called before `settings`."""
    given = click.get_current_context().find_root().ensure_object(dict)
    name = "HARVESTER_ELASTICSEARCH_URL"
    if name not in given and not inspect(ElasticsearchSettings).sound(ElasticsearchSettings).url:
        given[name] = "localhost:9200"


def sink_settings(names: Iterable[str]) -> list[type[BaseModel]]:
    """The settings classes of sinks; most have none."""
    return [model for name in names if (model := settings_of(name)) is not None]


def source_settings(name: str) -> type[BaseModel]:
    """The settings class of a source. ConfigError for a name that is none."""
    if name not in SOURCES:
        raise ConfigError(f"there is no source {name!r}: known are {', '.join(SOURCES)}")
    return _named(SOURCES[name][0])  # type: ignore[no-any-return]


@asynccontextmanager
async def open_source(
    name: str,
    loaded: Loaded,
    retry: Retry,
    component: Component | None = None,
    *,
    on_wait: Callable[[Wait], None] = lambda _: None,
    backfill: Backfill | None = None,
) -> AsyncIterator[Source]:
    """The source of that name, with its requests measured and its waits logged. `component` is told how it goes, `on_wait` of
    each wait. `backfill`: history is read, and live reading goes before it.
    """
    log, http = logs.get_logger("harvest").bind(source=name), HttpMetrics(name)
    component = component or Component(name, "source")

    def requested(endpoint: str, outcome: str, seconds: float) -> None:
        http.request(endpoint, outcome, seconds)
        tally.called()
        if outcome in ("2xx", "3xx"):
            component.running()

    def waits(wait: Wait) -> None:
        http.waited(wait.reason, wait.seconds)
        tally.waited(wait.seconds)
        metrics.error("read", "TransientError")
        component.waiting(wait.text, seconds=wait.seconds)
        on_wait(wait)
        log.info("waiting", reason=wait.reason, attempt=wait.attempt, seconds=round(wait.seconds, 1), error=wait.text)

    def allowed(told: Allowance) -> None:
        http.allowance(*told)
        tally.allowed(told.limit, told.remaining)

    def found(mode: str, reason: str) -> None:
        # what has always been so is no news in every run of a cron job; by search or sparing, something is told late or never
        tell = log.debug if mode in ("window", "feed") else log.warning if mode in ("search", "sparing") else log.info
        tell("read mode", mode=mode, reason=reason)

    opener, core = _named(SOURCES[name][1]), loaded.get(CoreSettings)
    async with AsyncExitStack() as stack:
        shares: dict[str, object] = {}
        if name in BUDGETED:
            url = core.budget_url or beside(core.coverage_url)
            budget = await stack.enter_async_context(open_budget(url, core)) if url else None
            shares = {"budget": budget, "backfill": backfill}
        opening = opener(
            loaded.get(source_settings(name)),
            zone=core.timezone,
            retry=retry,
            on_request=requested,
            on_wait=waits,
            on_allowance=allowed,
            on_mode=found,
            **shares,
        )
        source = await stack.enter_async_context(opening)
        yield veiled(source, name, loaded.get(PrivacySettings))


class Stores(NamedTuple):
    """The durable parts of one set-up."""

    queue: Queue
    coverages: CoverageStore
    letters: DeadLetters


@asynccontextmanager
async def open_stores(core: CoreSettings) -> AsyncIterator[Stores]:
    """Queue, coverage store and letters as set."""
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(open_queue(core.queue_url, core))
        coverages = await stack.enter_async_context(open_coverages(core.coverage_url, core))
        letters = await stack.enter_async_context(open_letters(core.letters_url, core))
        yield Stores(queue, coverages, letters)


@asynccontextmanager
async def open_enrichers(loaded: Loaded, retry: Retry, *, wanted: bool = True) -> AsyncIterator[Sequence[Enricher]]:
    """All enrichers: places when a file of them is set, episodes when the settings of their Opencast were asked for.

    None at all for a sink that has not `wanted` any.
    """
    core, enrichers = loaded.get(CoreSettings), list[Enricher]()
    if not wanted:
        yield ()
        return
    async with AsyncExitStack() as stack:
        geoip = loaded.models.get(GeoipSettings)
        if isinstance(geoip, GeoipSettings) and geoip.path:
            enrichers.append(await stack.enter_async_context(open_places(geoip)))
        if OpencastSettings in loaded.models:
            cache = await stack.enter_async_context(open_cache(core.cache_url, core))
            engage, how = http_settings(loaded.get(OpencastSettings)), loaded.get(EpisodeSettings)
            opening = open_episodes(engage, how, cache, retry=retry, on_lookups=_looked_up)
            enrichers.append(await stack.enter_async_context(opening))
        yield enrichers


def _looked_up(result: str, amount: int) -> None:
    metrics.cache(result, amount)
    if result == "error":
        metrics.error("enrich", "TransientError", amount)


def processing(
    sink: Sink,
    letters: DeadLetters,
    stop: Any,
    enrichers: Sequence[Enricher],
    *,
    deaths: Deaths | None = None,
    accept_rejections: bool = False,
    on_wait: Callable[[Exception, float], None] = lambda *_: None,
) -> Processing:
    """One sink's way for a batch."""
    wants = {"stdout": gives_vendor_records, **dict.fromkeys(RAW, is_vendors)}.get(sink.name, gives_records)
    return Processing(
        sink,
        letters,
        stop,
        enrichers=enrichers,
        wants=wants,
        breaker=Breaker(accept=accept_rejections),
        deaths=deaths,
        on_wait=on_wait,
    )


def work_folder(core: CoreSettings) -> Path:
    """Where a consumer notes what it has in work: beside the embedded queue, else in the folder it runs in."""
    queue = parse(core.queue_url)
    return (database_path(queue).parent if queue.scheme == "sqlite" else Path("var")) / "work"


def flow(core: CoreSettings, sink: Sink) -> Flow:
    """How much a sink's loop works on at once; one to which each batch costs is given larger ones, later."""
    found = Flow(batch_events=core.batch_events, in_flight=core.in_flight, in_flight_bytes=core.in_flight_bytes)
    return found._replace(batch_events=sink.pace.events, gather=sink.pace.seconds) if isinstance(sink, Gathering) else found


def limits(core: CoreSettings) -> Limits:
    """How much a source's loop works on at once, and its span protection."""
    return Limits(
        batch_events=core.batch_events,
        batch_bytes=core.batch_bytes,
        in_flight=core.in_flight,
        in_flight_bytes=core.in_flight_bytes,
        max_span=timedelta(seconds=core.max_span) if core.max_span else None,
        span_policy=core.span_policy,
    )


def group_of(name: str) -> str:
    """The consumer group of a sink that is given by name or URL."""
    return "stdout" if name == "-" else name.partition(":")[0]


def sink_named(name: str, loaded: Loaded) -> AbstractAsyncContextManager[Sink]:
    """Opens the sink of that name as set; `sink_settings` names what has to be loaded for it."""
    if name == "duckdb":
        name = f"duckdb:///{quote(str(loaded.get(CoreSettings).duckdb_path))}"
    model = settings_of(name)
    return open_sink(name, None if model is None else loaded.get(model), loaded.get(CoreSettings))


def _named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
