"""Sinks: one destination each, picked by name or URL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from consumers.protocols import Sink
from harvester.access import NOBODY, Access
from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.url import parse

Opener = Callable[..., AbstractAsyncContextManager[Sink]]
"""Takes the sink's URL, or its settings when it has a family of them."""

SINKS = {
    "archive": "consumers.sinks.archive:open_archive",
    "bigquery": "consumers.sinks.bigquery:open_bigquery",
    "duckdb": "consumers.sinks.duckdb:open_duckdb",
    "elasticsearch": "consumers.sinks.elasticsearch:open_elasticsearch",
    "postgres": "consumers.sinks.postgres:open_postgres",
    "stdout": "consumers.sinks.stdout:open_stdout",
}
_DEFAULTS = {
    "duckdb": "duckdb:///var/harvest.duckdb",
    "stdout": "stdout://",
    "-": "stdout://",
}
_SETTINGS = {
    "archive": "consumers.sinks.archive_settings:ArchiveSettings",
    "bigquery": "consumers.sinks.bigquery_settings:BigQuerySettings",
    "elasticsearch": "consumers.sinks.elasticsearch_settings:ElasticsearchSettings",
    "postgres": "consumers.sinks.postgres_settings:PostgresSettings",
}
"""Sinks with a family of settings of their own: no extra has to be installed to read them."""


_STORED = frozenset({"archive", "bigquery"})
"""Sinks whose login is of a service that others use, too: they are told who we are there."""
RAW = frozenset({"archive"})
"""Sinks that keep events as they came: nothing is looked up for them, and types that no record is made of come to them, too."""


def open_sink(address: str, settings: BaseModel | None = None, access: Access = NOBODY) -> AbstractAsyncContextManager[Sink]:
    """The sink `address` names: archive, bigquery, duckdb, elasticsearch, postgres, stdout, - or a URL like duckdb:////data/harvest.duckdb?memory_limit=512MiB&threads=2.

    `settings` are those of the class that `settings_of` names, `access` says who we are at servers that have none.
    Raises ConfigError for a sink that there is not, or whose library is not installed.
    """
    scheme = known(address)
    try:
        opener: Opener = _named(SINKS[scheme])
    except ModuleNotFoundError as error:
        raise ConfigError(f"the sink {scheme} needs {error.name}: install event-harvester[{scheme}]") from error
    if settings is None:
        return opener(parse(_DEFAULTS.get(address, address)))
    return opener(settings, access) if scheme in _STORED else opener(settings)


def settings_of(address: str) -> type[BaseModel] | None:
    """The class of the settings of the sink that `address` names, None when its URL says all."""
    place = _SETTINGS.get(known(address))
    return None if place is None else _named(place)


def known(address: str) -> str:
    """The driver that `address` asks for, which is not imported yet. ConfigError: there is none of that name."""
    asked = parse(_DEFAULTS.get(address, address)).scheme if address == "-" or ":" in address else address
    if asked not in SINKS:
        raise ConfigError(unknown("sink", asked, SINKS))
    if asked in _SETTINGS and asked != address:
        raise ConfigError(f"the sink {asked} takes no address here: say {asked}, and set HARVESTER_{asked.upper()}_URL")
    return asked


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
