"""The cache that processes share: `redis://host:6379/0?prefix=harvester&budget=0.05`, over TLS `rediss://`; or Valkey.

What was asked for lately is kept in this process, too, for at most a minute: a busy event loop then does not count against the
budget, and a batch costs one round trip for what is new in it. A Redis that is away or slow is a cache that knows nothing: no
batch waits for longer than the budget, and after three failures nobody asks it until it is time for a trial.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from consumers.caches.memory import MemoryCache
from consumers.fuse import Fuse
from harvester.access import NOBODY, Access
from harvester.redis import open_client, place_of
from harvester.url import parse

NEAR = timedelta(seconds=60)
_log = structlog.get_logger(__name__)


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    prefix: str = "harvester"
    """Begins every key."""
    budget: Annotated[float, msgspec.Meta(gt=0)] = 0.05
    """Seconds that one batch waits for Redis."""


class RedisCache:
    """Made by `open_redis`."""

    def __init__(self, client: Redis, options: RedisOptions, where: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._prefix = f"{options.prefix}:cache:"
        self._budget = options.budget
        self._where = where
        self._near = MemoryCache(max_items=20_000, max_bytes=16 * 2**20, clock=clock)
        self._fuse = Fuse(longest=timedelta(seconds=15))
        self.failures = 0
        """Questions and orders that Redis did not answer in time."""

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The values, None for what was never set, has expired, or cannot be asked for now."""
        found = dict(zip(keys, await self._near.get_many(keys), strict=True))
        missing = [key for key, value in found.items() if value is None]
        if missing:
            asked = await self._within_budget(lambda: self._client.mget([self._prefix + key for key in missing]))
            known = {key: value for key, value in zip(missing, asked or (), strict=False) if value is not None}
            await self._near.set_many(known, NEAR)
            found.update(known)
        return [found[key] for key in keys]

    async def set_many(self, items: Mapping[str, bytes], ttl: timedelta) -> None:
        """Keep the items for `ttl`, here for at most a minute; a Redis that is away forgets them."""
        await self._near.set_many(items, min(ttl, NEAR))
        if items:
            await self._within_budget(lambda: self._set(items, max(1, int(ttl.total_seconds() * 1000))))

    async def _set(self, items: Mapping[str, bytes], millis: int) -> Sequence[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for key, value in items.items():
                pipe.set(self._prefix + key, value, px=millis)
            return await pipe.execute()

    async def _within_budget(self, ask: Callable[[], Awaitable[Sequence[Any]]]) -> Sequence[Any] | None:
        if not self._fuse.allows():
            return None
        try:
            async with asyncio.timeout(self._budget):
                answer = await ask()
        except (RedisError, OSError) as error:  # a TimeoutError is one
            self.failures += 1
            blown = self._fuse.blown
            self._fuse.failed()
            if self._fuse.blown and not blown:
                _log.warning("the cache is away: metadata is looked up without it", cache=self._where, error=str(error))
            return None
        self._fuse.succeeded()
        return answer


@asynccontextmanager
async def open_redis(text: str, access: Access = NOBODY) -> AsyncIterator[RedisCache]:
    """No server is asked before the first batch. ConfigError: the URL is none, or a login would go unencrypted."""
    url = parse(text)
    options = url.options(RedisOptions)
    place_of(url, access)
    async with open_client(url, access, seconds=max(1.0, options.budget)) as client:
        yield RedisCache(client, options, url.text)
