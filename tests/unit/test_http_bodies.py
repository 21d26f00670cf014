import asyncio
import gzip
import json
import re
import tracemalloc
import zlib
from datetime import timedelta

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from harvester.answers import Body
from harvester.errors import TransientError
from harvester.http import HttpSettings, TooLargeError, base_url, open_http
from harvester.retry import OutageError, UnusableError
from tests.unit.webserver import Waits, asking, sending, serving

MIB = 1024 * 1024


def packed(pieces: int, *, wbits: int = 31) -> bytes:
    """So many MiB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    zeros = bytes(MIB)
    return b"".join(packer.compress(zeros) for _ in range(pieces)) + packer.flush()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """300 MiB of zeros in 0.3 MB."""
    return packed(300)


def head(*lines: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: application/json", *lines, "", ""]).encode()


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate", "bare deflate", "identity", "several members"])
async def test_a_packed_body_arrives_as_it_was(coding: str) -> None:
    text = json.dumps([{"id": n, "text": "größe" * n} for n in range(300)]).encode()
    bare = zlib.compressobj(6, zlib.DEFLATED, -15)
    body, said = {
        "deflate": (zlib.compress(text), "deflate"),
        "bare deflate": (bare.compress(text) + bare.flush(), "deflate"),
        "identity": (text, "identity"),
        "several members": (gzip.compress(text[:1000]) + gzip.compress(text[1000:]), "gzip"),
    }.get(coding, (gzip.compress(text), coding))
    async with sending(head(f"Content-Encoding: {said}", f"Content-Length: {len(body)}") + body) as url, asking(url) as http:
        assert (await http.get("/x")).body == text


@given(st.binary(max_size=200_000), st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.sampled_from(["gzip", "deflate"]))
def test_a_packed_body_arrives_whole_in_whatever_pieces(text: bytes, cuts: list[int], coding: str) -> None:
    wire = gzip.compress(text * 7) if coding == "gzip" else zlib.compress(text * 7)
    body = Body("v", coding, max_size=64 * MIB, max_ratio=2000)
    at = turn = 0
    while at < len(wire):
        step = cuts[turn % len(cuts)]
        body.feed(wire[at : at + step])
        at, turn = at + step, turn + 1
    assert body.whole() == text * 7


async def test_s30_a_bomb_stops_early_with_flat_memory(bomb: bytes) -> None:
    assert len(bomb) < 0.4 * MIB
    async with sending(head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb) as url, asking(url) as http:
        await asyncio.sleep(0)
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError, match="more than 200 times"):
                await http.get("/x")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 6 * MIB


async def test_s30_many_small_bombs_in_one_body_stop_early() -> None:
    body = gzip.compress(bytes(MIB)) * 300
    async with sending(head("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body) as url, asking(url) as http:
        with pytest.raises(TooLargeError, match="more than 200 times"):
            await http.get("/x")


async def test_s30_the_limit_counts_what_comes_out_not_what_comes_in() -> None:
    text = json.dumps([f"{n:x}" * 8 for n in range(60_000)]).encode()
    body = gzip.compress(text)
    assert len(body) < 2 * MIB < len(text)
    async with sending(head("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body) as url:
        async with asking(url, max_body=2 * MIB) as http:
            with pytest.raises(TooLargeError, match=f"over {2 * MIB} bytes"):
                await http.get("/x")
        async with asking(url) as http:
            assert (await http.get("/x")).body == text


async def test_s30_a_length_over_the_limit_is_refused_before_the_first_byte() -> None:
    async with sending(head("Content-Length: 9000000000")) as url, asking(url) as http:
        with pytest.raises(TooLargeError, match="9000000000 bytes"):
            await http.get("/x")


async def test_s30_a_body_without_end_stops_at_the_limit() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"[" * 65536)
        except ConnectionError:
            return response

    async with serving(endless) as server, asking(server.url, max_body=MIB) as http:
        with pytest.raises(TooLargeError):
            await http.get("/x")


async def test_a_short_body_of_blanks_is_no_bomb() -> None:
    text = b"[" + b" " * 900_000 + b"]"
    body = gzip.compress(text)
    assert len(text) > 200 * len(body)
    async with sending(head("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body) as url, asking(url) as http:
        assert (await http.get("/x")).body == text


@pytest.mark.parametrize(
    "wire",
    [
        head("Content-Length: 100") + b'{"rows": [1, 2',
        head("Transfer-Encoding: chunked") + b'40\r\n{"rows": [1, 2, 3',
        head("Transfer-Encoding: chunked") + b"5\r\n[1,2]\r\n",
        b"HTTP/1.1 200 O",
        b"",
    ],
    ids=["length", "in a chunk", "no last chunk", "in the head", "nothing"],
)
async def test_a_cut_answer_is_an_outage_and_passes_nothing_on(wire: bytes) -> None:
    waits = Waits()
    async with sending(wire) as url, asking(url, waits=waits) as http:
        with pytest.raises(OutageError):
            await http.get("/x")
        assert [wait.reason for wait in waits.told] == ["outage"] * 3


async def test_a_packed_body_that_is_cut_is_unusable_even_when_the_connection_just_ends() -> None:
    body = gzip.compress(json.dumps(list(range(9999))).encode())[:-9]
    async with sending(head("Content-Encoding: gzip") + body) as url, asking(url) as http:
        with pytest.raises(UnusableError, match="cut off"):
            await http.get("/x")


async def test_json_that_ends_with_its_connection_too_early_is_unusable() -> None:
    async with sending(head() + b'{"rows": [{"id": 1}, {"id": ') as url, asking(url) as http:
        with pytest.raises(UnusableError, match="cut off"):
            await http.get("/x")


async def test_what_goes_wrong_never_quotes_the_answer() -> None:
    wires = [
        head("Transfer-Encoding: chunked") + b"2\r\ncanary\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: " + b"canary" * 9999,
        b"HTTP/1.1 200 OK\r\nSet-Cookie: canary\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: canary\r\nContent-Length: canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncanary canary\r\n\r\n",
        head("Content-Encoding: gzip", "Content-Length: 6") + b"canary",
        head("Content-Length: 6") + b"canary",
    ]
    for wire in wires:
        async with sending(wire) as url, asking(url) as http:
            with pytest.raises(TransientError) as caught:
                await http.get("/x")
            assert "canary" not in str(caught.value)


async def test_a_reset_in_the_body_is_an_outage() -> None:
    async with sending(head("Content-Length: 100") + b"{", reset=True) as url, asking(url) as http:
        with pytest.raises(OutageError):
            await http.get("/x")


async def test_nobody_listening_is_an_outage() -> None:
    async with sending() as url:
        pass
    async with asking(url) as http:
        with pytest.raises(OutageError, match=rf"^vendor: cannot reach {url}: refused; check the address$"):
            await http.get("/x")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
async def test_a_packing_nobody_asked_for_is_unusable(coding: str) -> None:
    async with sending(head(f"Content-Encoding: {coding}", "Content-Length: 2") + b"{}") as url, asking(url) as http:
        with pytest.raises(UnusableError):
            await http.get("/x")


async def test_what_is_called_gzip_and_is_not_is_unusable() -> None:
    async with sending(head("Content-Encoding: gzip", "Content-Length: 8") + b'{"a": 1}') as url, asking(url) as http:
        with pytest.raises(UnusableError, match="does not unpack"):
            await http.get("/x")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * MIB + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 5000 + b"Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 " + b"O" * MIB + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
    ids=["a header of a MiB", "five thousand headers", "a reason of a MiB", "not HTTP"],
)
async def test_s31_a_head_out_of_all_bounds_is_unusable(wire: bytes) -> None:
    async with sending(wire) as url, asking(url) as http:
        with pytest.raises(UnusableError, match="not HTTP as we take it") as caught:
            await http.get("/x")
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "timed out, no answer within 0.06 s; check the address"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1,", "no whole answer within 0.06 s for /x"),
    ],
    ids=["head", "body"],
)
async def test_an_answer_that_does_not_come_in_time_is_an_outage(said: bytes, told: str) -> None:
    released = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await released.wait()
        writer.close()

    counted: list[str] = []
    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    async with server:
        url = base_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        settings = HttpSettings(name="v", url=url, timeout=timedelta(milliseconds=60))
        async with open_http(settings, sleep=Waits().sleep, on_request=lambda e, s, t: counted.append(s)) as http:
            with pytest.raises(OutageError, match=re.escape(told)):
                await http.get("/x")
        released.set()
    assert counted == ["timeout"] * 4


async def test_a_request_under_way_ends_at_once_when_we_are_stopped() -> None:
    asked = asyncio.Event()

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as server, asking(server.url) as http:
        task = asyncio.create_task(http.get("/x"))
        await asked.wait()
        task.cancel()
        async with asyncio.timeout(30):
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_client_goes_on_after_every_fault() -> None:
    faults = iter([web.Response(status=500), web.Response(text="<html>", content_type="text/html"), web.Response(status=404)])

    async def reply(_: web.BaseRequest) -> web.StreamResponse:
        return next(faults, web.json_response([1]))

    async with serving(reply) as server, asking(server.url) as http:
        with pytest.raises(Exception, match="404"):
            await http.get("/x")
        assert (await http.get("/x")).body == b"[1]"
