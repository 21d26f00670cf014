"""What of a Redis server's settings is refused, and what of ours reaches it: place, keys, repeats, syncs."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from harvester.access import NOBODY, Access
from harvester.coverage import Book
from harvester.coverages import open_coverages
from harvester.coverages.objects import ObjectCoverages
from harvester.coverages.redis import RedisObjects
from harvester.errors import RefusedError, TransientError
from harvester.redis import open_client, place_of
from harvester.url import parse
from tests import services
from tests.integration.test_redis import facts, fresh
from tests.services import Server


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(url) as client:
        yield client


async def calls(url: str, command: str) -> int:
    """How often the server was given this command."""
    async with client_of(url) as client:
        found = (await client.info("commandstats")).get(f"cmdstat_{command}", {})
    return int(found.get("calls", 0))


async def connections(url: str) -> int:
    """How many the server has had."""
    async with client_of(url) as client:
        return int((await client.info("stats"))["total_connections_received"])


async def refused(settings: dict[str, object], why: str) -> None:
    with services.own("redis", **settings) as node, pytest.raises(RefusedError, match=why):
        await open_coverages(fresh(node.url)).__aenter__()


@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-random"])
async def test_each_policy_that_evicts_any_key_is_refused(policy: str) -> None:
    await refused({"maxmemory": "100mb", "maxmemory-policy": policy}, f"evicts keys.*{policy}")


@pytest.mark.parametrize(
    "settings",
    [
        {"maxmemory": "0", "maxmemory-policy": "allkeys-lru"},
        {"maxmemory": "100mb", "maxmemory-policy": "volatile-lru"},
        {"maxmemory": "100mb", "maxmemory-policy": "noeviction"},
        {"rename-command": 'WAITAOF ""', "appendfsync": "always"},
    ],
    ids=str,
)
async def test_what_never_evicts_a_book_and_syncs_it_is_taken(settings: dict[str, object]) -> None:
    with services.own("redis", **settings) as node:
        async with open_coverages(fresh(node.url)) as store:
            await store.add("s", facts("", 0, 1))
            assert (await store.load("s")).streams


async def test_a_server_that_cannot_wait_for_its_disk_and_syncs_later_is_refused() -> None:
    await refused({"rename-command": 'WAITAOF ""', "appendfsync": "everysec"}, "acknowledges before it has synced")


async def test_each_write_of_a_book_waits_for_the_disk() -> None:
    with services.own("redis", appendfsync="everysec") as node:
        async with open_coverages(fresh(node.url)) as store:
            await store.add("s", facts("", 0, 1))
            before = await calls(node.url, "waitaof"), await calls(node.url, "eval")
            await store.add("s", facts((await store.load("s")).epoch, 1, 2))
            after = await calls(node.url, "waitaof"), await calls(node.url, "eval")
    assert after[0] - before[0] == after[1] - before[1] > 0


async def test_f36_a_command_that_was_cut_is_not_tried_again() -> None:
    with services.own("redis") as node:
        before = await connections(node.url)
        async with open_client(parse(f"{node.url}/0"), Access(), seconds=0.2) as client:
            with pytest.raises(RedisTimeoutError):
                await client.blpop(["nothing"], timeout=30)
        assert await connections(node.url) == before + 2  # its own, and that of who asks; each repeat makes one more


async def test_an_answer_is_waited_for_as_long_as_the_url_says() -> None:
    with services.own("redis") as node:
        async with open_coverages(fresh(node.url, timeout=0.3)) as store:
            node.pause()
            began = time.monotonic()
            with pytest.raises(TransientError):
                await store.load("s")
            assert time.monotonic() - began < 4  # five seconds is what counts without it
            node.resume()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("redis://127.0.0.1", ("127.0.0.1", 6379, 0)),
        ("redis://localhost:7000/3", ("localhost", 7000, 3)),
        ("redis://[::1]/2", ("::1", 6379, 2)),
        ("rediss://[::1]:7000/", ("::1", 7000, 0)),
    ],
)
def test_a_url_names_host_port_and_database(text: str, place: tuple[str, int, int]) -> None:
    assert place_of(parse(text), NOBODY) == place


async def test_databases_are_apart(redis: Server) -> None:
    prefix = secrets.token_hex(8)
    async with open_coverages(f"{redis.url}/3?prefix={prefix}") as store:
        await store.add("s", facts("", 0, 1))
    async with open_coverages(f"{redis.url}/0?prefix={prefix}") as store:
        assert await store.load("s") == Book()


async def test_a_login_is_used() -> None:
    with services.own("redis", user="ann on >canary-word ~* +@all", requirepass="another") as node:
        access = Access(redis_user="ann", redis_password=SecretStr("canary-word"))
        async with open_coverages(fresh(node.url), access) as store:
            await store.add("s", facts("", 0, 1))


@pytest.mark.parametrize(("ours", "theirs"), [("*", "x"), ("%3F", "x"), ("%5Bx%5D", "x"), ("%5C*", "*"), ("%5Ex", "x")])
async def test_signs_of_a_pattern_in_a_prefix_are_what_they_are(redis: Server, ours: str, theirs: str) -> None:
    base = secrets.token_hex(8)
    mine, other = (f"{redis.url}/0?prefix={base}{end}" for end in (ours, theirs))
    async with open_coverages(mine) as one, open_coverages(other) as two, two.lease("s", "theirs", "b"):
        assert await one.owners("s") == {}
        async with one.lease("s", "ours", "a"):
            assert await one.owners("s") == {"ours": "a"}
            assert await two.owners("s") == {"theirs": "b"}


async def test_names_come_in_order_behind_any_of_them_and_deleting_none_is_nothing(redis: Server) -> None:
    async with open_coverages(fresh(redis.url)) as store:
        assert isinstance(store, ObjectCoverages)
        keys = store._objects
        assert isinstance(keys, RedisObjects)
        for name in ("b/2", "a", "b/10", "b0"):
            await keys.put(name, b"x")
        assert [name async for name in keys.names("b/")] == ["b/10", "b/2"]
        assert [name async for name in keys.names("", "b/10")] == ["b/2", "b0"]
        await keys.delete([])
        await keys.delete(["a", "b0", "never"])
        assert [name async for name in keys.names("")] == ["b/10", "b/2"]
