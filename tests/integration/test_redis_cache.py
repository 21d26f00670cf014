"""The cache in Redis: its keys, what is kept near, and when it is asked again (F36)."""

import asyncio
import secrets
from datetime import timedelta

from redis.asyncio import Redis
from structlog.testing import capture_logs

from consumers.caches.redis import NEAR, RedisCache, RedisOptions
from tests import services
from tests.contracts.test_cache import Clock
from tests.services import Server

HOUR = timedelta(hours=1)


async def test_what_another_process_changed_is_seen_after_a_minute_whoever_kept_it(redis: Server) -> None:
    options, clock = RedisOptions(prefix=secrets.token_hex(8), budget=30), Clock()
    async with Redis.from_url(redis.url) as client:
        one, two = (RedisCache(client, options, "redis", clock=clock) for _ in range(2))
        await one.set_many({"set": b"old", "got": b"old"}, HOUR)
        await two.get_many(["got"])
        other = RedisCache(client, options, "redis")
        await other.set_many({"set": b"new", "got": b"new"}, HOUR)
        assert [*await one.get_many(["set"]), *await two.get_many(["got"])] == [b"old", b"old"]
        await clock.pass_time(NEAR)
        assert [*await one.get_many(["set"]), *await two.get_many(["got"])] == [b"new", b"new"]


async def test_its_keys_lie_apart_from_those_of_books_with_the_same_prefix(redis: Server) -> None:
    options = RedisOptions(prefix=secrets.token_hex(8), budget=30)
    async with Redis.from_url(redis.url) as client:
        await RedisCache(client, options, "redis").set_many({"books/s.json": b"1"}, HOUR)
        found = [key.decode() async for key in client.scan_iter(match=f"{options.prefix}*")]
    assert found == [f"{options.prefix}:cache:books/s.json"]


async def test_a_time_to_live_of_nothing_is_no_failure(redis: Server) -> None:
    async with Redis.from_url(redis.url) as client:
        cache = RedisCache(client, RedisOptions(prefix=secrets.token_hex(8), budget=30), "redis")
        await cache.set_many({"a": b"1"}, timedelta(0))
        assert cache.failures == 0


async def test_f36_failures_count_in_a_row_and_an_outage_is_told_once() -> None:
    with services.own("redis") as node, capture_logs() as logs:
        async with Redis.from_url(node.url) as client:
            cache = RedisCache(client, RedisOptions(budget=0.3), "redis")
            await cache.get_many(["a"])
            for _ in range(2):
                node.pause()
                for _ in range(2):
                    assert await cache.get_many(["a"]) == [None]
                node.resume()
                cache._budget = 30
                await cache.set_many({"b": b"1"}, HOUR)  # it is asked: never three in a row
                cache._budget = 0.3
            assert (cache.failures, [line for line in logs if "the cache is away" in line["event"]]) == (4, [])
            node.pause()
            await asyncio.gather(*(cache.get_many([f"{n}"]) for n in range(6)))  # all are under way when the fuse blows
            await cache.get_many(["a"])
            node.resume()
            assert cache.failures == 10
            assert len([line for line in logs if "the cache is away" in line["event"]]) == 1
