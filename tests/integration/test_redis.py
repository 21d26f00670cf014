"""Redis that is away, slow, or unsafe: what the cache and the coverage do then (F12, F13, F36)."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from pydantic import SecretStr
from redis.exceptions import TimeoutError as RedisTimeoutError

from consumers.caches import open_cache
from consumers.caches.redis import RedisCache
from harvester.access import Access
from harvester.coverage import Book, Coverage, Intervals
from harvester.coverages import open_coverages
from harvester.coverages.objects import ObjectCoverages
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.redis import open_client
from harvester.url import parse
from tests import services
from tests.services import Server

DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fresh(url: str, **options: object) -> str:
    """A place that no other test has."""
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return f"{url}/0?prefix={secrets.token_hex(8)}{more}"


def facts(epoch: str, first: int, last: int) -> Book:
    read = Intervals([(DAY + first * HOUR, DAY + last * HOUR)])
    return Book(epoch=epoch, queue="q", streams={"s": Coverage(start=DAY, read=read)})


@asynccontextmanager
async def cache_at(url: str) -> AsyncIterator[RedisCache]:
    async with open_cache(url) as cache:
        assert isinstance(cache, RedisCache)
        yield cache


async def test_two_processes_share_the_cache(redis: Server) -> None:
    url = fresh(redis.url, budget=30)
    async with cache_at(url) as one, cache_at(url) as two:
        await one.set_many({"a": b"1"}, HOUR)
        assert await two.get_many(["a", "b"]) == [b"1", None]


async def test_f36_a_cache_that_is_killed_knows_nothing_holds_nobody_up_and_is_asked_again_when_it_is_back() -> None:
    with services.own("redis") as node:
        async with cache_at(fresh(node.url, budget=2)) as cache:
            await cache.set_many({"a": b"1"}, HOUR)
            node.kill()
            assert await cache.get_many(["a", "b"]) == [b"1", None]  # what is near is known still
            for n in range(20):
                assert await cache.get_many([f"x{n}"]) == [None]
            assert cache.failures < 10  # the fuse: it is not asked for every batch
            node.start()
            deadline = time.monotonic() + 60
            while True:
                await cache.set_many({"c": b"3"}, HOUR)
                async with cache_at(f"{node.url}/0?prefix={cache._prefix.partition(':')[0]}&budget=2") as other:
                    if await other.get_many(["c"]) == [b"3"]:
                        break
                assert time.monotonic() < deadline, "it was never asked again"
                await asyncio.sleep(0.05)


async def test_f36_a_cache_that_stands_still_costs_a_batch_no_more_than_its_budget() -> None:
    with services.own("redis") as node:
        async with cache_at(fresh(node.url, budget=0.05)) as cache:
            node.pause()
            began = time.monotonic()
            for n in range(50):
                assert await cache.get_many([f"x{n}"]) == [None]
            assert time.monotonic() - began < 50 * 0.05  # all but the first few did not wait
            node.resume()


async def test_f36_a_blocking_read_longer_than_the_time_out_is_cut_once_and_not_tried_ten_times(redis: Server) -> None:
    url = parse(f"{redis.url}/0")
    async with open_client(url, Access(), seconds=0.2) as client:
        began = time.monotonic()
        with pytest.raises(RedisTimeoutError):
            await client.blpop(["nothing"], timeout=30)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"appendonly": "no"}, "no append-only file"),
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "evicts keys"),
        ({"rename-command": "CONFIG hidden"}, "does not tell"),
    ],
)
async def test_a_server_that_may_lose_what_it_acknowledged_is_refused_unless_it_is_trusted(
    settings: dict[str, object], why: str
) -> None:
    with services.own("redis", **settings) as node:
        url = fresh(node.url)
        with pytest.raises(RefusedError, match=f"{why}.*trust=true"):
            await open_coverages(url).__aenter__()
        async with open_coverages(f"{url}&trust=true") as store:
            await store.add("s", facts("", 0, 1))


async def test_what_was_added_outlives_a_kill_also_where_the_server_syncs_once_a_second() -> None:
    with services.own("redis", appendfsync="everysec") as node:
        url = fresh(node.url)
        async with open_coverages(url) as store:
            await store.add("s", facts("", 0, 1))
            await store.add("s", facts((await store.load("s")).epoch, 1, 2))
            node.kill()
        node.start()
        async with open_coverages(url) as store:
            assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + 2 * HOUR)])


async def test_f13_a_store_that_stands_still_is_transient_and_keeps_what_it_had() -> None:
    with services.own("redis") as node:
        url = fresh(node.url, timeout=0.3)
        async with open_coverages(url) as store:
            await store.add("s", facts("", 0, 1))
            epoch = (await store.load("s")).epoch
            node.pause()
            with pytest.raises(TransientError):
                await store.add("s", facts(epoch, 1, 2))
            with pytest.raises(TransientError):
                await store.load("s")
            node.resume()
            await store.add("s", facts(epoch, 1, 2))
            assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + 2 * HOUR)])


async def test_f12_a_holder_that_stood_still_past_its_lease_does_no_harm_and_gives_back_nobody_elses(redis: Server) -> None:
    url = fresh(redis.url, lease=0.6)
    async with open_coverages(url) as one, open_coverages(url) as two:
        held = one.lease("s", "a", "first")
        await held.__aenter__()
        with pytest.raises(RefusedError, match="first"):
            await two.lease("s", "a", "second").__aenter__()
        for task in asyncio.all_tasks():  # as if the process were frozen: nobody renews
            if "_renew" in repr(task):
                task.cancel()
        deadline = time.monotonic() + 30
        while await two.owners("s"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        async with two.lease("s", "a", "second"):
            await held.__aexit__(None, None, None)
            assert await one.owners("s") == {"a": "second"}


async def test_a_wrong_password_is_told_with_the_settings(redis: Server) -> None:
    access = Access(redis_user="nobody", redis_password=SecretStr("wrong-canary"))
    with pytest.raises(PermanentError, match="HARVESTER_REDIS_PASSWORD") as refused:
        await open_coverages(fresh(redis.url), access).__aenter__()
    assert "wrong-canary" not in str(refused.value)


def test_s12_a_password_goes_over_plain_text_only_to_loopback_or_where_allowed() -> None:
    access = Access(redis_password=SecretStr("any"))
    with pytest.raises(ConfigError, match="HARVESTER_ALLOW_PLAIN"):
        open_coverages("redis://cache.example/0", access)
    for url, allowed in (("rediss://cache.example/0", access), ("redis://127.0.0.1/0", access)):
        open_coverages(url, allowed)
    open_coverages("redis://cache.example/0", access.model_copy(update={"allow_plain": True}))


async def test_what_was_written_without_being_synced_is_synced_before_it_is_taken_for_durable(redis: Server) -> None:
    url = fresh(redis.url)
    async with open_coverages(url) as store:
        assert isinstance(store, ObjectCoverages)
        await store.add("s", facts("", 0, 1))
        epoch = (await store.load("s")).epoch
        keys: Any = store._objects
        client, sent = keys._client, []

        class Unsynced:
            """The client's pipeline, but for the first answer of the disk."""

            def __init__(self) -> None:
                self._pipe = client.pipeline(transaction=False)

            async def __aenter__(self) -> Self:
                return self

            async def __aexit__(self, *_: object) -> None:
                await self._pipe.reset()

            def eval(self, *given: object) -> None:
                self._pipe.eval(*given)

            def execute_command(self, *given: object) -> None:
                self._pipe.execute_command(*given)

            async def execute(self, **more: bool) -> list[Any]:
                answers = await self._pipe.execute(**more)
                sent.append(answers)
                return [answers[0], [0, 0]] if len(sent) == 1 else list(answers)

        keys._client = Wrapped(client, Unsynced)
        with pytest.raises(TransientError, match="not synced"):
            await store.add("s", facts(epoch, 1, 2))
        await store.add("s", facts(epoch, 1, 2))
        assert len(sent) == 2  # once more, though it stood there already


class Wrapped:
    """A client whose pipelines are others."""

    def __init__(self, client: Any, pipeline: Any) -> None:
        self._client = client
        self._pipeline = pipeline

    def pipeline(self, **_: bool) -> Any:
        return self._pipeline()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
