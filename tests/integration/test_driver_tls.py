"""S10, S20: every driver judges the certificate of its server, and gives a login to nobody whom it does not trust."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from consumers.caches import open_cache
from harvester.access import Access
from harvester.coverages import open_coverages
from harvester.errors import HarvesterError
from harvester.letters import open_letters
from harvester.objects import open_objects
from harvester.objects.s3 import prepare as prepare_bucket
from harvester.queues import open_queue
from harvester.queues.kafka import prepare as prepare_topics
from tests import services
from tests.servers.process import free_port
from tests.services import Server
from tests.unit.webserver import TLS

KEYS: dict[str, Any] = {"aws_access_key_id": "any", "aws_secret_access_key": SecretStr("s3cret")}


class Front:
    """A way to a server that speaks TLS to us: it counts the bytes that were sent through it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.passed = 0


@asynccontextmanager
async def tls_in_front(host: str, port: int, *, at: int = 0) -> AsyncIterator[Front]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "loopback.pem")
    front = Front(at)
    running: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        try:
            while block := await reader.read(65536):
                front.passed += len(block) if counted else 0
                writer.write(block)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        for task in (pump(reader, back, counted=True), pump(there, writer, counted=False)):
            made = asyncio.create_task(task)
            running.add(made)
            made.add_done_callback(running.discard)

    server = await asyncio.start_server(pass_on, "127.0.0.1", at, ssl=context)
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)


def place(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("://")[2].rpartition(":")
    return host, int(port)


Use = Callable[[Access], AbstractAsyncContextManager[Any]]


async def trusted_alone(front: Front, use: Callable[[Access], Any], ca: str, **login: Any) -> None:
    """Works with the authority that signed the certificate, and with no other; then nothing was sent."""
    for other in (None, TLS / "elsewhere.crt"):
        with pytest.raises(HarvesterError):
            await use(Access(**login, **{ca: other}))
        assert front.passed == 0
    await use(Access(**login, **{ca: TLS / "loopback.crt"}))
    assert front.passed > 0


async def test_s10_redis_as_store_of_coverage_is_trusted_by_its_certificate_alone(redis: Server) -> None:
    async with tls_in_front(*place(redis.url)) as front:

        async def use(access: Access) -> None:
            url = f"rediss://127.0.0.1:{front.port}/0?prefix={secrets.token_hex(8)}"
            async with open_coverages(url, access) as store:
                await store.load("opencast")

        await trusted_alone(front, use, "redis_ca_file")


async def test_s10_redis_as_cache_is_trusted_by_its_certificate_alone(redis: Server) -> None:
    async with tls_in_front(*place(redis.url)) as front:
        url = f"rediss://127.0.0.1:{front.port}/0?prefix={secrets.token_hex(8)}&budget=10"
        async with open_cache(url, Access(redis_ca_file=TLS / "elsewhere.crt")) as cache:
            assert await cache.get_many(["a"]) == [None]
        assert front.passed == 0
        async with open_cache(url, Access(redis_ca_file=TLS / "loopback.crt")) as cache:
            assert await cache.get_many(["a"]) == [None]
        assert front.passed > 0


async def test_s10_s3_is_trusted_by_its_certificate_alone(s3: Server) -> None:
    async with tls_in_front(*place(s3.url)) as front:
        url = f"s3://tls/{secrets.token_hex(8)}?endpoint=https://127.0.0.1:{front.port}&region=eu-west-1"
        await prepare_bucket(url.replace("https", "http").replace(str(front.port), str(place(s3.url)[1])), Access(**KEYS))

        async def use(access: Access) -> None:
            async with (
                open_coverages(url, access) as store,
                open_letters(url, access) as letters,
                open_objects(url, access) as objects,
            ):
                await store.load("opencast")
                await letters.counts()
                await objects.get("none")

        await trusted_alone(front, use, "aws_ca_file", **KEYS)


async def test_s10_sqs_is_trusted_by_its_certificate_alone(sqs: Server) -> None:
    async with tls_in_front(*place(sqs.url)) as front:

        async def use(access: Access) -> None:
            async with open_queue(f"sqs://eu-west-1/tls?endpoint=https://127.0.0.1:{front.port}", access) as queue:
                assert queue.id

        await trusted_alone(front, use, "aws_ca_file", **KEYS)


async def test_s10_kafka_is_trusted_by_its_certificate_alone() -> None:
    way = free_port()
    with services.own("kafka", **{"advertised.listeners": f"PLAINTEXT://127.0.0.1:{way}"}) as node:
        async with tls_in_front("127.0.0.1", node.port, at=way) as front:

            async def use(access: Access) -> None:
                await prepare_topics(f"kafka://127.0.0.1:{way}/tls?partitions=1&replication=1", access)
                async with open_queue(f"kafka://127.0.0.1:{way}/tls", access) as queue:
                    assert queue.id

            await trusted_alone(front, use, "kafka_ca_file", kafka_tls=True)


@pytest.mark.parametrize(
    ("url", "opener"),
    [
        ("redis://cache.example/0", open_coverages),
        ("redis://cache.example/0", open_cache),
        ("kafka://broker.example/x", open_queue),
        ("sqs://eu-west-1/x?endpoint=http://queue.example", open_queue),
        ("s3://b/x?endpoint=http://store.example&region=eu-west-1", open_coverages),
        ("s3://b/x?endpoint=http://store.example&region=eu-west-1", open_letters),
        ("s3://b/x?endpoint=http://store.example&region=eu-west-1", open_objects),
    ],
)
async def test_s12_a_login_is_not_sent_without_tls_to_another_host(url: str, opener: Callable[..., Any]) -> None:
    access = Access(
        **KEYS, redis_password=SecretStr("s3cret"), kafka_user="u", kafka_password=SecretStr("s3cret"), kafka_mechanism="PLAIN"
    )
    with pytest.raises(HarvesterError, match="HARVESTER_ALLOW_PLAIN") as refused:
        async with opener(url, access):
            pass
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "opener"),
    [
        ("redis://u:s3cret@127.0.0.1/0", open_coverages),
        ("redis://:s3cret@127.0.0.1/0", open_cache),
        ("kafka://u:s3cret@127.0.0.1/x", open_queue),
        ("sqs://k:s3cret@eu-west-1/x", open_queue),
        ("s3://k:s3cret@b/x", open_coverages),
        ("s3://k:s3cret@b/x", open_letters),
    ],
)
async def test_s05_a_login_in_a_url_is_refused_and_not_repeated(url: str, opener: Callable[..., Any]) -> None:
    with pytest.raises(HarvesterError, match=r"no login may stand|HARVESTER_") as refused:
        async with opener(url, Access()):
            pass
    assert "s3cret" not in str(refused.value)
