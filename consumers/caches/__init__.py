"""Caches: one driver each, picked by URL."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from consumers.protocols import Cache
from harvester.errors import ConfigError
from harvester.url import Url, parse

_CACHES = {
    "memory": "consumers.caches.memory:open_memory",
}


def open_cache(url: str) -> AbstractAsyncContextManager[Cache]:
    """The cache at `url`, like memory://?max_items=100000&max_bytes=64MiB. Raises ConfigError for one that there is not."""
    parsed = parse(url)
    place = _CACHES.get(parsed.scheme)
    if place is None:
        raise ConfigError(f"{url}: no such cache; there are {', '.join(f'{name}://' for name in _CACHES)}")
    module, _, name = place.partition(":")
    opener: Callable[[Url], AbstractAsyncContextManager[Cache]] = getattr(import_module(module), name)
    return opener(parsed)
