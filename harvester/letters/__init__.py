"""Stores of dead letters, picked by URL. A driver's module, and with it its library, is imported when a URL asks for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.protocols import DeadLetters
from harvester.url import parse

DRIVERS = {"sqlite": "harvester.letters.sqlite"}


def open_letters(url: str) -> AbstractAsyncContextManager[DeadLetters]:
    """The letters at `url`: `sqlite:///var/letters.db`. ConfigError: no such scheme or option."""
    scheme = known(url)
    driver: Callable[[str], AbstractAsyncContextManager[DeadLetters]] = import_module(DRIVERS[scheme]).open_letters
    return driver(url)


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    scheme = parse(url).scheme
    if scheme not in DRIVERS:
        raise ConfigError(unknown("store of letters", scheme, DRIVERS))
    return scheme
