"""What Redis says no to: what passes is waited out, and no answer is ever taken for that of another question (F13, F36)."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from redis._parsers.base import BaseParser

from consumers.caches import open_cache
from harvester.access import Access
from harvester.coverage import Intervals
from harvester.coverages import open_coverages
from harvester.errors import PermanentError, TransientError
from harvester.redis import named, open_client
from harvester.url import parse
from tests import services
from tests.integration.test_redis import DAY, HOUR, facts, fresh
from tests.servers.own import Own
from tests.services import Server


class Late:
    """A way to a server on which answers wait until they are let through."""

    def __init__(self, target: int) -> None:
        self.let = asyncio.Event()
        self.let.set()
        self.held = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._copy(reader, to_server), self._copy(from_server, writer, late=True))
        finally:
            to_server.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, late: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if late and not self.let.is_set():
                    self.held += 1
                    await self.let.wait()
                writer.write(data)
                await writer.drain()
            writer.close()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def late_to(url: str) -> AsyncIterator[tuple[Late, str]]:
    """The way, and its URL."""
    late = Late(int(url.rpartition(":")[2]))
    server = await asyncio.start_server(late.serve, "127.0.0.1", 0)
    try:
        yield late, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await late.end()
        await server.wait_closed()


async def test_f36_an_answer_that_comes_too_late_is_never_taken_for_that_of_the_next_question(redis: Server) -> None:
    prefix = secrets.token_hex(8)
    async with open_cache(f"{redis.url}/0?prefix={prefix}&budget=30") as cache:
        await cache.set_many({f"k{n}": b"v%d" % n for n in range(6)}, HOUR)
    async with late_to(redis.url) as (late, url), open_cache(f"{url}/0?prefix={prefix}&budget=0.4") as cache:
        for n in (0, 2, 4):
            late.let.clear()
            while not late.held:  # the first ones may go by while it still connects
                assert await cache.get_many([f"k{n}"]) == [None]
                await asyncio.sleep(0.05)
            late.held = 0
            late.let.set()
            deadline = time.monotonic() + 60
            while (found := await cache.get_many([f"k{n + 1}"])) != [b"v%d" % (n + 1)]:
                assert found == [None]
                assert time.monotonic() < deadline, "it was never asked again"
                await asyncio.sleep(0.05)


async def _set(node: Own, name: str, value: str) -> None:
    async with open_client(parse(f"{node.url}/0"), Access(), seconds=5) as client:
        await client.config_set(name, value)


async def test_f13_a_full_redis_is_waited_for_and_takes_the_facts_once_there_is_room() -> None:
    with services.own("redis") as node:
        async with open_coverages(fresh(node.url)) as store:
            await store.add("s", facts("", 0, 1))
            epoch = (await store.load("s")).epoch
            await _set(node, "maxmemory", "1")
            with pytest.raises(TransientError, match="maxmemory"):
                await store.add("s", facts(epoch, 1, 2))
            assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + HOUR)])
            await _set(node, "maxmemory", "0")
            await store.add("s", facts(epoch, 1, 2))
            assert (await store.load("s")).streams["s"].read == Intervals([(DAY, DAY + 2 * HOUR)])


async def test_f13_a_replica_is_waited_for_since_it_may_become_the_first_again() -> None:
    with services.own("redis") as first, services.own("redis") as second:
        async with open_coverages(fresh(second.url)) as store:
            await store.add("s", facts("", 0, 1))
            epoch = (await store.load("s")).epoch
            host, _, port = first.url.removeprefix("redis://").rpartition(":")
            async with open_client(parse(f"{second.url}/0"), Access(), seconds=5) as client:
                await client.replicaof(host, port)
            with pytest.raises(TransientError):
                await store.add("s", facts(epoch, 1, 2))


def said(text: str) -> Exception:
    """What the client makes of an error of the server's."""
    error = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    assert isinstance(error, Exception)
    return error


_PASSES = ("OOM", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "READONLY", "BUSY", "MISCONF", "NOREPLICAS")
_STAYS = ("ERR unknown command 'EVAL'", "WRONGTYPE Operation", "MOVED 1 127.0.0.1:1", "NOPERM no", "NOAUTH no", "WRONGPASS no")


@pytest.mark.parametrize("word", _PASSES)
def test_what_will_be_otherwise_later_is_transient(word: str) -> None:
    assert isinstance(named(said(f"{word} for now"), "redis"), TransientError)


@pytest.mark.parametrize("text", _STAYS)
def test_what_stays_as_it_is_is_permanent(text: str) -> None:
    assert isinstance(named(said(text), "redis"), PermanentError)
