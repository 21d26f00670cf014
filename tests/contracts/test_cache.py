"""What every cache does. A driver is a row in DRIVERS: how to open it, and how time passes for it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from consumers.caches import open_cache
from consumers.caches.flight import SingleFlight
from consumers.caches.memory import OVERHEAD, MemoryCache
from consumers.caches.redis import RedisCache, RedisOptions
from consumers.protocols import Cache
from harvester.errors import ConfigError
from tests.servers.fixtures import Servers

MINUTE = timedelta(minutes=1)


class Driven(NamedTuple):
    cache: Cache
    pass_time: Callable[[timedelta], Awaitable[None]]


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at

    async def pass_time(self, time: timedelta) -> None:
        self.at += time.total_seconds()


@asynccontextmanager
async def memory(_: Servers) -> AsyncIterator[Driven]:
    clock = Clock()
    yield Driven(MemoryCache(clock=clock), clock.pass_time)


@asynccontextmanager
async def shared(servers: Servers) -> AsyncIterator[Driven]:
    """A cache in Redis, in which time passes by shortening what is left to each key."""
    clock, options = Clock(), RedisOptions(prefix=secrets.token_hex(8), budget=30)
    async with Redis.from_url(servers.get("redis").url) as client:

        async def pass_time(time: timedelta) -> None:
            await clock.pass_time(time)
            async for key in client.scan_iter(match=f"{options.prefix}:*"):
                await client.pexpire(key, max(0, await client.pttl(key) - int(time.total_seconds() * 1000)))

        yield Driven(RedisCache(client, options, "redis", clock=clock), pass_time)


DRIVERS = {"memory": memory, "redis": shared}


@pytest.fixture(params=DRIVERS)
async def driven(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator[Driven]:
    async with DRIVERS[request.param](servers) as driven:
        yield driven


async def test_what_was_set_comes_back_in_the_order_of_the_question(driven: Driven) -> None:
    await driven.cache.set_many({"a": b"1", "b": b"2"}, MINUTE)
    assert list(await driven.cache.get_many(["b", "x", "a", "b"])) == [b"2", None, b"1", b"2"]


async def test_nothing_asked_is_nothing_answered(driven: Driven) -> None:
    await driven.cache.set_many({}, MINUTE)
    assert list(await driven.cache.get_many([])) == []


async def test_bytes_and_keys_come_back_as_they_were(driven: Driven) -> None:
    items = {"key with spaces\n": bytes(range(256)), "schlüssel/ü/𝄞": b"", "null": b"null"}
    await driven.cache.set_many(items, MINUTE)
    assert list(await driven.cache.get_many(list(items))) == list(items.values())


async def test_an_item_is_gone_when_its_time_is_over_and_not_before(driven: Driven) -> None:
    await driven.cache.set_many({"short": b"1"}, timedelta(seconds=2))
    await driven.cache.set_many({"long": b"2"}, MINUTE)
    await driven.pass_time(timedelta(seconds=1))
    assert list(await driven.cache.get_many(["short", "long"])) == [b"1", b"2"]
    await driven.pass_time(timedelta(seconds=1))
    assert list(await driven.cache.get_many(["short", "long"])) == [None, b"2"]


async def test_setting_again_replaces_value_and_time(driven: Driven) -> None:
    await driven.cache.set_many({"a": b"1"}, timedelta(seconds=2))
    await driven.cache.set_many({"a": b"2"}, MINUTE)
    await driven.pass_time(timedelta(seconds=3))
    assert list(await driven.cache.get_many(["a"])) == [b"2"]


async def test_memory_the_least_recently_used_goes_first() -> None:
    cache = MemoryCache(max_items=2)
    await cache.set_many({"a": b"1", "b": b"2"}, MINUTE)
    await cache.get_many(["a"])
    await cache.set_many({"c": b"3"}, MINUTE)
    assert list(await cache.get_many(["a", "b", "c"])) == [b"1", None, b"3"]


async def test_memory_stays_within_its_bytes() -> None:
    cache = MemoryCache(max_bytes=10 * (OVERHEAD + 101))
    for number in range(100):
        await cache.set_many({str(number % 50)[-1]: bytes(100), f"{number}": bytes(100)}, MINUTE)
        assert cache.size <= 10 * (OVERHEAD + 101)
    assert 9 <= len(cache) <= 10
    await cache.set_many({"larger than all": bytes(10_000)}, MINUTE)
    assert list(await cache.get_many(["larger than all"])) == [None]
    assert len(cache) >= 9


async def test_memory_forgets_the_bytes_of_what_has_gone() -> None:
    clock = Clock()
    cache = MemoryCache(clock=clock)
    await cache.set_many({"a": b"1"}, MINUTE)
    await cache.set_many({"a": b"22"}, MINUTE)
    assert cache.size == 1 + 2 + OVERHEAD
    await clock.pass_time(MINUTE)
    await cache.get_many(["a"])
    assert (cache.size, len(cache)) == (0, 0)


async def test_memory_counts_hits_misses_and_negative_hits() -> None:
    cache = MemoryCache()
    await cache.set_many({"a": b"1", "none": b"null"}, MINUTE)
    await cache.get_many(["a", "none", "x"])
    assert (cache.hits, cache.misses, cache.negative) == (2, 1, 1)


async def test_a_cache_is_opened_by_its_url() -> None:
    async with open_cache("memory://?max_items=1&max_bytes=1MiB") as cache:
        await cache.set_many({"a": b"1", "b": b"2"}, MINUTE)
        assert list(await cache.get_many(["a", "b"])) == [None, b"2"]


@pytest.mark.parametrize(
    "url", ["memory", "carrier-pigeon://", "memory://?max_items=0", "memory://?max_items=many", "memory://?colour=red"]
)
async def test_a_wrong_url_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        async with open_cache(url):
            pytest.fail("opened")


async def test_f36_a_hundred_parallel_misses_are_one_fetch() -> None:
    flights: SingleFlight[bytes] = SingleFlight()
    fetched: list[str] = []
    gate = asyncio.Event()

    async def fetch(key: str) -> bytes:
        fetched.append(key)
        await gate.wait()
        return key.encode()

    asked = [asyncio.create_task(flights.run(f"k{n % 2}", fetch)) for n in range(100)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*asked) == [b"k0", b"k1"] * 50
    assert sorted(fetched) == ["k0", "k1"]
    assert len(flights) == 0
    await flights.run("k0", fetch)
    assert len(fetched) == 3


async def test_all_who_wait_for_a_flight_get_its_error_and_the_next_tries_again() -> None:
    flights: SingleFlight[bytes] = SingleFlight()

    async def broken(key: str) -> bytes:
        raise OSError(key)

    async def whole(key: str) -> bytes:
        return key.encode()

    results = await asyncio.gather(*(flights.run("k", broken) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError] * 3
    assert await flights.run("k", whole) == b"k"


async def test_a_flight_outlives_who_began_it_and_ends_with_the_last_that_waits() -> None:
    flights: SingleFlight[bytes] = SingleFlight()
    started, ended = asyncio.Event(), asyncio.Event()

    async def fetch(_: str) -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    first, second = (asyncio.create_task(flights.run("k", fetch)) for _ in range(2))
    await started.wait()
    first.cancel()
    await asyncio.wait([first])
    assert not ended.is_set()
    second.cancel()
    await asyncio.wait([second])
    assert ended.is_set()
    assert len(flights) == 0
