"""Stores of dead letters, picked by URL. A driver's module, and with it its library, is imported when a URL asks for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from harvester.errors import ConfigError
from harvester.protocols import DeadLetters
from harvester.url import parse

DRIVERS = {"sqlite": "harvester.letters.sqlite"}


def open_letters(url: str) -> AbstractAsyncContextManager[DeadLetters]:
    """The letters at `url`: `sqlite:///var/letters.db`. ConfigError: no such scheme or option."""
    scheme = parse(url).scheme
    if scheme not in DRIVERS:
        raise ConfigError(f"letters {url}: unknown scheme {scheme!r}; known are {', '.join(DRIVERS)}")
    driver: Callable[[str], AbstractAsyncContextManager[DeadLetters]] = import_module(DRIVERS[scheme]).open_letters
    return driver(url)
