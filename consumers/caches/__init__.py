"""Caches, picked by URL."""

from contextlib import AbstractAsyncContextManager

from consumers.protocols import Cache
from harvester import drivers
from harvester.access import NOBODY, Access

DRIVERS = {
    "memory": "consumers.caches.memory:open_memory",
    "redis": "consumers.caches.redis:open_redis",
    "rediss": "consumers.caches.redis:open_redis",
}


def open_cache(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Cache]:
    """The cache at `url`, memory://?max_items=100000 or redis://host:6379/0. `access` says who we are there.

    ConfigError: no such scheme or option, or the driver's library is not installed.
    """
    opened: AbstractAsyncContextManager[Cache] = drivers.driver("cache", url, DRIVERS)(url, access)
    return opened


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    return drivers.known("cache", url, DRIVERS)
