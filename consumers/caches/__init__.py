"""Caches: one driver each, picked by URL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from consumers.protocols import Cache
from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.url import Url, parse

_CACHES = {
    "memory": "consumers.caches.memory:open_memory",
}


def open_cache(url: str) -> AbstractAsyncContextManager[Cache]:
    """The cache at `url`, like memory://?max_items=100000&max_bytes=64MiB. Raises ConfigError for one that there is not."""
    module, _, name = _CACHES[known(url)].partition(":")
    opener: Callable[[Url], AbstractAsyncContextManager[Cache]] = getattr(import_module(module), name)
    return opener(parse(url))


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    scheme = parse(url).scheme
    if scheme not in _CACHES:
        raise ConfigError(unknown("cache", scheme, _CACHES))
    return scheme
