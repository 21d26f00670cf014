"""Queues, picked by URL. A driver's module, and with it its library, is imported when a URL asks for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.protocols import Queue
from harvester.url import parse

DRIVERS = {"sqlite": "harvester.queues.sqlite"}


def open_queue(url: str) -> AbstractAsyncContextManager[Queue]:
    """The queue at `url`: `sqlite:///var/queue.db`. ConfigError: no such scheme or option."""
    scheme = known(url)
    driver: Callable[[str], AbstractAsyncContextManager[Queue]] = import_module(DRIVERS[scheme]).open_queue
    return driver(url)


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    scheme = parse(url).scheme
    if scheme not in DRIVERS:
        raise ConfigError(unknown("queue", scheme, DRIVERS))
    return scheme
