"""Books and leases in Redis: generations, and a lease that another took meanwhile (F10, F11, F12)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from structlog.testing import capture_logs

from harvester.coverage import Coverage, Intervals
from harvester.coverages import open_coverages
from harvester.coverages.objects import ObjectCoverages
from harvester.coverages.redis import RedisObjects
from harvester.errors import ConfigError
from tests.integration.test_redis import DAY, HOUR, facts, fresh
from tests.services import Server

LEASE = "leases/s/a"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[ObjectCoverages, RedisObjects]]:
    """The store, and the keys that it is kept in."""
    async with open_coverages(url) as store:
        assert isinstance(store, ObjectCoverages)
        assert isinstance(store._objects, RedisObjects)
        yield store, store._objects


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


async def test_f10_a_damaged_book_is_read_from_its_generation_and_healed_by_the_next_add(redis: Server) -> None:
    async with opened(fresh(redis.url)) as (store, keys):
        await store.add("s", facts("", 0, 1))
        epoch = (await store.load("s")).epoch
        await keys.put("books/s.json", b"half a bo")
        assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + HOUR)])
        await store.add("s", facts(epoch, 1, 2))
        damaged = await keys.get("books/s.json.damaged")
        assert damaged is not None
        assert damaged.body == b"half a bo"
        assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + 2 * HOUR)])
        for name in [name async for name in keys.names("books/")]:
            await keys.put(name, b"nothing")
        with pytest.raises(ConfigError, match=r"damaged in every generation.*harvest coverage reset"):
            await store.load("s")


async def test_f10_the_book_that_a_process_replaces_first_becomes_a_generation(redis: Server) -> None:
    url = fresh(redis.url)
    async with opened(url) as (store, _):
        await store.add("s", facts("", 0, 1))
        epoch = (await store.load("s")).epoch
        await store.add("s", facts(epoch, 1, 2))
    async with opened(url) as (store, keys):
        await store.add("s", facts(epoch, 2, 3))
        await keys.put("books/s.json", b"half a bo")
        assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + 2 * HOUR)])


async def test_f11_after_a_reset_no_generation_of_before_is_fallen_back_to(redis: Server) -> None:
    async with opened(fresh(redis.url)) as (store, keys):
        await store.add("s", facts("", 0, 1))
        before = await keys.get("books/s.json")
        assert before is not None
        for number in range(1, 6):
            await keys.put(f"books/s.json.{number}", before.body)
        await store.reset("s", "s", Coverage(start=DAY))
        await keys.put("books/s.json", b"half a bo")
        assert (await store.load("s")).streams == {"s": Coverage(start=DAY)}


async def test_f12_a_lease_is_lengthened_for_as_long_as_it_is_held(redis: Server) -> None:
    async with opened(fresh(redis.url, lease=0.6)) as (store, keys), store.lease("s", "a", "first"):
        first = await keys.get(LEASE)
        assert first is not None
        until_first = msgspec.json.decode(first.body)["until"]
        deadline = time.monotonic() + 30
        while datetime.now(UTC) <= datetime.fromisoformat(until_first):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        found = await keys.get(LEASE)
        assert found is not None
        assert msgspec.json.decode(found.body)["until"] > until_first


async def test_f12_a_lease_that_bears_anothers_token_is_not_renewed(redis: Server) -> None:
    with capture_logs() as logs:
        async with opened(fresh(redis.url, lease=0.6)) as (store, keys), store.lease("s", "a", "first"):
            theirs = msgspec.json.encode({"owner": "second", "token": "another", "until": DAY + 10_000 * HOUR})
            await keys.put(LEASE, theirs)
            await until(lambda: any("the lease went to another" in line["event"] for line in logs))
            assert await store.owners("s") == {"a": "second"}
            after = await keys.get(LEASE)
        assert after is not None
        assert after.body == theirs
