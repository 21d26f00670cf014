"""Sinks: one destination each, picked by name or URL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from consumers.protocols import Sink
from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.url import Url, parse

Opener = Callable[[Url], AbstractAsyncContextManager[Sink]]

_SINKS = {
    "duckdb": "consumers.sinks.duckdb:open_duckdb",
    "stdout": "consumers.sinks.stdout:open_stdout",
}
_DEFAULTS = {
    "duckdb": "duckdb:///var/harvest.duckdb",
    "stdout": "stdout://",
    "-": "stdout://",
}


def open_sink(address: str) -> AbstractAsyncContextManager[Sink]:
    """The sink `address` names: duckdb, stdout, - or a URL like duckdb:////data/harvest.duckdb?memory_limit=512MiB&threads=2.

    Raises ConfigError for a sink that there is not, or whose library is not installed.
    """
    scheme = known(address)
    url = parse(_DEFAULTS.get(address, address))
    module, _, name = _SINKS[scheme].partition(":")
    try:
        opener: Opener = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"the sink {scheme} needs {error.name}: install event-harvester[{scheme}]") from error
    return opener(url)


def known(address: str) -> str:
    """The driver that `address` asks for, which is not imported yet. ConfigError: there is none of that name."""
    asked = parse(_DEFAULTS.get(address, address)).scheme if address == "-" or ":" in address else address
    if asked not in _SINKS:
        raise ConfigError(unknown("sink", asked, _SINKS))
    return asked
