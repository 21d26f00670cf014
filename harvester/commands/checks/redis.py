"""Whether a Redis keeps what it acknowledges, for coverage, and whether the cache there answers in time."""

import time
from contextlib import AsyncExitStack

from redis.exceptions import RedisError

from harvester.commands.checks import Finding, State, Tell
from harvester.coverages.redis import RedisObjects, RedisOptions
from harvester.redis import named, open_client
from harvester.settings import CoreSettings
from harvester.url import Url, parse

_SECONDS = 5.0
_BUDGET = 0.05
"""Seconds that a look-up in the cache should take, at most."""


async def look(core: CoreSettings, tell: Tell) -> None:
    """Settings of the server for coverage, and the time of an answer for the cache. Nothing is written."""
    coverage, cache = parse(core.coverage_url), parse(core.cache_url)
    if coverage.scheme in ("redis", "rediss"):
        await _keeps(coverage, core, tell)
    if cache.scheme in ("redis", "rediss"):
        await _answers(cache, core, tell)


async def _keeps(url: Url, core: CoreSettings, tell: Tell) -> None:
    options = url.options(RedisOptions)
    async with open_client(url, core, seconds=options.timeout) as client:
        faults = await RedisObjects(client, options.prefix, url.text).faults()
    state: State = "warn" if options.trust else "fail"
    for fault in faults:
        tell(Finding("coverage: redis", state, fault, "mend the server's configuration; what it loses would be read again"))
    if not faults:
        tell(Finding("coverage: redis", "ok", "it syncs what it acknowledges, and evicts nothing"))


async def _answers(url: Url, core: CoreSettings, tell: Tell) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_client(url, core, seconds=_SECONDS))
        try:
            await client.ping()  # the first one connects
            began = time.monotonic()
            await client.ping()
        except (RedisError, OSError) as error:
            raise named(error, url.text) from error
        took = time.monotonic() - began
    text = f"it answers within {1000 * took:.1f} ms"
    if took <= _BUDGET:
        tell(Finding("cache: redis", "ok", text))
    else:
        fix = "put it nearer, or use memory://: a look-up that takes longer goes to the metadata service instead"
        tell(Finding("cache: redis", "warn", text, fix))
