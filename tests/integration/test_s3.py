"""S3 as a store of coverage: what is refused, what is read of the predecessor, and what is told (E54, F10, F12, Q8)."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from harvester.access import Access
from harvester.coverage import Book, Coverage, Intervals
from harvester.coverages import s3 as coverages_s3
from harvester.coverages.s3 import S3Coverages
from harvester.errors import ConfigError, PermanentError, RefusedError, TransientError
from harvester.inherited import last_time
from harvester.objects import open_objects
from harvester.protocols import Stored
from tests.services import Server
from tests.site import HOUR, NOON, Site, stamp, world

DAY = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = Access(aws_access_key_id="any", aws_secret_access_key=SecretStr("secret-canary"))


def facts(epoch: str, first: int, last: int) -> Book:
    read = Intervals([(DAY + first * HOUR, DAY + last * HOUR)])
    return Book(epoch=epoch, queue="q", streams={"s": Coverage(start=DAY, read=read)})


async def place(server: str, *, bucket: str = "books", **options: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in options.items())
    url = f"s3://{bucket}/{secrets.token_hex(8)}?endpoint={server}&region=eu-west-1{more}"
    await coverages_s3.prepare(url, KEYS)
    return url


@asynccontextmanager
async def opened(url: str, access: Access = KEYS) -> AsyncIterator[S3Coverages]:
    async with coverages_s3.open_coverages(url, access) as store:
        assert isinstance(store, S3Coverages)
        yield store


@asynccontextmanager
async def in_front(
    server: str, *, without: tuple[str, ...] = (), status: int = 0, code: str = "", methods: list[str] | None = None
) -> AsyncIterator[str]:
    """A way to the server that drops these headers, or answers by itself; `methods` gets to know what was asked."""

    async def pass_on(request: web.Request) -> web.Response:
        if methods is not None:
            methods.append(request.method)
        if status:
            return web.Response(status=status, text=f"<Error><Code>{code}</Code><Message>told</Message></Error>")
        headers = {name: value for name, value in request.headers.items() if name not in without}
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            asked = session.request(request.method, server + request.raw_path, headers=headers, data=await request.read())
            async with asked as answer:
                kept = {name: value for name, value in answer.headers.items() if name.lower() in ("etag", "content-type")}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_f12_a_store_that_ignores_conditions_is_refused_before_the_first_book(s3: Server, header: str) -> None:
    await place(s3.url)
    async with in_front(s3.url, without=(header,)) as way, opened(await place(way)) as store:
        with pytest.raises(RefusedError, match=f"{header}.*HARVESTER_COVERAGE_URL"):
            await store.add("opencast", facts("", 0, 1))
        assert await store.load("opencast") == Book()


async def test_f12_while_another_writes_the_same_object_it_is_tried_again(s3: Server) -> None:
    async with opened(await place(s3.url)) as store:
        await store.add("opencast", facts("", 0, 1))
        epoch = (await store.load("opencast")).epoch
        put, refusals = store._objects._client.put_object, iter(range(3))

        async def busy(**asked: Any) -> Any:
            if "IfMatch" in asked and next(refusals, None) is not None:
                error = {"Error": {"Code": "ConditionalRequestConflict"}, "ResponseMetadata": {"HTTPStatusCode": 409}}
                raise store._objects._client.exceptions.ClientError(error, "PutObject")
            return await put(**asked)

        store._objects._client.put_object = busy
        await store.add("opencast", facts(epoch, 1, 2))
        assert (await store.load("opencast")).streams["s"].read == Intervals([(DAY, DAY + 2 * HOUR)])


async def test_q8_no_access_and_no_bucket_are_never_nothing_stored(s3: Server) -> None:
    answers: list[tuple[int, str, type[Exception]]] = [
        (403, "AccessDenied", PermanentError),
        (404, "NotFound", PermanentError),  # a server that is none of S3
        (503, "SlowDown", TransientError),
    ]
    for status, code, error in answers:
        async with in_front(s3.url, status=status, code=code) as way, opened(f"s3://books/x?endpoint={way}&region=any") as store:
            with pytest.raises(error, match=f"{status} {code}"):
                await store.load("opencast")
    async with opened(f"s3://never-made/x?endpoint={s3.url}&region=eu-west-1") as store:
        with pytest.raises(ConfigError, match=r"no bucket never-made.*harvest setup"):
            await store.load("opencast")
    async with opened("s3://books/x?endpoint=http://127.0.0.1:1&region=eu-west-1") as store:
        with pytest.raises(TransientError, match="no answer"):
            await store.load("opencast")


async def test_opencast_3_14_without_the_right_to_look_nothing_counts_as_missing_and_nothing_is_made(s3: Server) -> None:
    asked: list[str] = []
    async with in_front(s3.url, status=403, code="AccessDenied", methods=asked) as way:
        with pytest.raises(PermanentError, match="403"):
            await coverages_s3.prepare(f"s3://books/x?endpoint={way}&region=eu-west-1", KEYS)
        access = KEYS.model_copy(update={"aws_endpoint_url": way, "aws_region": "eu-west-1"})
        with pytest.raises(PermanentError, match="403"):
            await last_time("books", "last", "UTC", access)
    assert set(asked) == {"HEAD", "GET"}


async def test_q8_an_answer_that_breaks_off_is_no_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 100\r\n\r\nhalf a bo')
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"s3://books/x?endpoint=http://127.0.0.1:{port}&region=any") as store:
            with pytest.raises(TransientError, match="no answer"):
                await store.load("opencast")


@pytest.mark.parametrize(("zone", "hour"), [("UTC", 11), ("Europe/Zurich", 10), ("America/New_York", 11)])
async def test_e54_of_what_the_last_time_of_the_predecessor_may_mean_the_earlier_counts(s3: Server, zone: str, hour: int) -> None:
    access = KEYS.model_copy(update={"aws_endpoint_url": s3.url, "aws_region": "eu-west-1"})
    await place(s3.url)
    key = secrets.token_hex(8)
    assert await last_time("books", key, zone, access) is None
    async with open_objects("s3://books", access) as objects:
        await objects.put(key, b"20260228113000\n")
        assert await last_time("books", key, zone, access) == datetime(2026, 2, 28, hour, 30, tzinfo=UTC)
        for odd in (b"yesterday", b"20261399000000", b""):
            await objects.put(key, odd)
            with pytest.raises(ConfigError, match=f"{key} holds no YYYYMMDDHHmmss.*HARVESTER_OPENCAST_START"):
                await last_time("books", key, zone, access)
    with pytest.raises(ConfigError, match="no bucket nowhere"):
        await last_time("nowhere", key, zone, access)


def test_e53_e54_the_first_harvest_goes_on_where_the_predecessor_stopped_and_leaves_its_object_alone(
    s3: Server, tmp_path: Path
) -> None:
    access = KEYS.model_copy(update={"aws_endpoint_url": s3.url, "aws_region": "eu-west-1"})
    key, last = f"old/{secrets.token_hex(8)}", stamp(NOON - 3 * HOUR)
    old = {"S3_HARVEST_TS_BUCKET": "books", "S3_LAST_ACTION_TS_KEY": key, "HARVESTER_AWS_ENDPOINT_URL": s3.url}
    old |= {"HARVESTER_AWS_REGION": "eu-west-1", "HARVESTER_AWS_ACCESS_KEY_ID": "any", "HARVESTER_AWS_SECRET_ACCESS_KEY": "any"}
    away = {"HARVESTER_AWS_ENDPOINT_URL": "http://127.0.0.1:1"}

    async def put() -> None:
        await place(s3.url)
        async with open_objects("s3://books", access) as objects:
            await objects.put(key, last.encode())

    async def kept() -> Stored | None:
        async with open_objects("s3://books", access) as objects:
            return await objects.get(key)

    asyncio.run(put())
    with world() as vendor:
        site = Site(tmp_path, vendor.url, **old)
        assert (site.harvest("useractions", **away).code, site.coverage()) == (1, None)
        done = site.harvest("useractions")
        assert done.code == 0, done
        assert "S3_HARVEST_TS_BUCKET is now called HARVESTER_OPENCAST_LAST_TS_BUCKET" in done.err
        assert site.coverage()["start"].startswith("2024-11-05T09:00:00")
        site.consume()
        assert site.held().keys() == vendor.truth(NOON - 3 * HOUR, NOON).keys()
        assert site.harvest("useractions", **away).code == 0, "what is recorded counts now, and nobody is asked"
        half = site.harvest("useractions", S3_LAST_ACTION_TS_KEY="")
    assert (half.code, "set both or neither" in half.err) == (3, True)
    found = asyncio.run(kept())
    assert found is not None
    assert found.body == last.encode()


async def test_f10_a_damaged_book_is_read_from_its_generation_kept_aside_and_healed_by_the_next_add(s3: Server) -> None:
    url = await place(s3.url)
    async with open_objects(url, KEYS) as objects, opened(url) as store:
        await store.add("opencast", facts("", 0, 1))
        epoch = (await store.load("opencast")).epoch
        await objects.put("books/opencast.json", b"half a bo")
        assert (await store.load("opencast")).streams["s"].read == Intervals([(DAY, DAY + HOUR)])
        await store.add("opencast", facts(epoch, 1, 2))
        damaged, healed = await objects.get("books/opencast.json.damaged"), await store.load("opencast")
        assert damaged is not None
        assert damaged.body == b"half a bo"
        assert (healed.epoch, healed.streams["s"].read) == (epoch, Intervals([(DAY, DAY + 2 * HOUR)]))
        for name in [name async for name in objects.names("books/")]:
            await objects.put(name, b"nothing")
        with pytest.raises(ConfigError, match=r"damaged in every generation.*harvest coverage reset"):
            await store.load("opencast")
        await store.reset("opencast", "s", Coverage(start=DAY))
        assert (await store.load("opencast")).streams == {"s": Coverage(start=DAY)}


async def test_f09_a_book_deleted_under_a_harvester_is_obeyed(s3: Server) -> None:
    url = await place(s3.url)
    async with open_objects(url, KEYS) as objects, opened(url) as store:
        await store.add("opencast", facts("", 0, 1))
        await objects.delete(["books/opencast.json"])
        assert await store.load("opencast") == Book()


async def test_the_bucket_is_made_once(s3: Server) -> None:
    url = f"s3://{secrets.token_hex(8)}/x?endpoint={s3.url}&region=eu-west-1"
    assert [line.partition(": ")[2] for line in await coverages_s3.prepare(url, KEYS)] == ["created"]
    assert await coverages_s3.prepare(url, KEYS) == []


@pytest.mark.parametrize(
    ("endpoint", "allowed", "refused"),
    [("http://store.example", False, "ALLOW_PLAIN"), ("http://u:p@127.0.0.1", False, "login"), ("ftp://x", False, "is none")],
)
async def test_s12_an_endpoint_that_would_get_our_keys_unencrypted_is_refused(endpoint: str, allowed: bool, refused: str) -> None:
    access = KEYS.model_copy(update={"allow_plain": allowed})
    with pytest.raises(ConfigError, match=refused) as told:
        await coverages_s3.open_coverages(f"s3://books/x?endpoint={endpoint}&region=eu-west-1", access).__aenter__()
    assert "secret-canary" not in str(told.value)
