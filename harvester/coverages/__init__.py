"""Stores of coverage, picked by URL. A driver's module, and with it its library, is imported when a URL asks for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.protocols import CoverageStore
from harvester.url import parse

DRIVERS = {"file": "harvester.coverages.file"}


def open_coverages(url: str) -> AbstractAsyncContextManager[CoverageStore]:
    """The books at `url`: `file://var/coverage` or `file:///srv/coverage`. ConfigError: no such scheme or option."""
    scheme = known(url)
    driver: Callable[[str], AbstractAsyncContextManager[CoverageStore]] = import_module(DRIVERS[scheme]).open_coverages
    return driver(url)


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    scheme = parse(url).scheme
    if scheme not in DRIVERS:
        raise ConfigError(unknown("store of coverage", scheme, DRIVERS))
    return scheme
