"""Real servers on loopback for the HTTP tests: one that speaks through aiohttp.web, one that sends bytes as they are given."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from yarl import URL

from harvester.http import HttpClient, HttpSettings, base_url, open_http
from harvester.origin import Basic, Digest
from harvester.retry import ONE_SHOT, Retry, Wait

TLS = Path(__file__).parent.parent / "fixtures" / "tls"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """A request as a server saw it."""

    target: str
    headers: dict[str, str]


class Server:
    """Answers with `reply`, and remembers what it was asked."""

    def __init__(self, reply: Handler) -> None:
        self.reply = reply
        self.seen: list[Seen] = []
        self.url = URL()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(Seen(request.raw_path, dict(request.headers)))
        return await self.reply(request)


@asynccontextmanager
async def serving(reply: Handler | web.Response, *, tls: str = "") -> AsyncIterator[Server]:
    """A server on a free port of loopback, with the certificate `tls`. A Response is given as it stands, each time."""

    async def same(_: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(reply, web.Response)
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    server = Server(same if isinstance(reply, web.Response) else reply)
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / f"{tls}.pem")
    runner = web.ServerRunner(web.Server(server), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        server.url = base_url(f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}")
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending(*pieces: bytes, reset: bool = False) -> AsyncIterator[URL]:
    """A server that sends `pieces` to whoever asks and hangs up, with a reset if told."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if reset:
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield base_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


class Waits:
    """Sleeps that only write down, and what was told of them."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.told: list[Wait] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@asynccontextmanager
async def asking(
    url: URL,
    *,
    login: Basic | Digest | None = None,
    waits: Waits | None = None,
    retry: Retry = ONE_SHOT,
    max_body: int = 64 * 1024 * 1024,
) -> AsyncIterator[HttpClient]:
    """A client that never really waits."""
    waits = waits or Waits()
    settings = HttpSettings(name="vendor", url=url, login=login, max_body=max_body)
    async with open_http(settings, retry=retry, sleep=waits.sleep, on_wait=waits.told.append) as http:
        yield http
