"""Sinks: one destination each, picked by name or URL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from consumers.protocols import Sink
from harvester.errors import ConfigError
from harvester.url import Url, parse

Opener = Callable[[Url], AbstractAsyncContextManager[Sink]]

_SINKS = {
    "duckdb": "consumers.sinks.duckdb:open_duckdb",
    "stdout": "consumers.sinks.stdout:open_stdout",
}
_DEFAULTS = {
    "duckdb": "duckdb:///var/events.duckdb",
    "stdout": "stdout://",
    "-": "stdout://",
}


def open_sink(address: str) -> AbstractAsyncContextManager[Sink]:
    """The sink `address` names: duckdb, stdout, - or a URL like duckdb:////data/events.duckdb?memory_limit=512MiB&threads=2.

    Raises ConfigError for a sink that there is not, or whose library is not installed.
    """
    url = parse(_DEFAULTS.get(address, address))
    place = _SINKS.get(url.scheme)
    if place is None:
        raise ConfigError(f"{address}: no such sink; there are {', '.join(_SINKS)}")
    module, _, name = place.partition(":")
    try:
        opener: Opener = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"the sink {url.scheme} needs {error.name}: install event-harvester[{url.scheme}]") from error
    return opener(url)
