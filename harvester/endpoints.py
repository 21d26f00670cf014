"""The listener: /metrics, /livez, /readyz, /startupz, /status and webhooks, served from a thread of its own.

So it answers while the event loop it tells of stands still, and asks nothing outside: what it says was gathered before. It only
reads; there is nothing here that changes anything. With a token set, what it tells is for those who bring it; the status alone of
a probe is for everybody. A browser on the same host is kept out: an unknown name in `Host` is
refused (DNS rebinding), no answer may be read across origins, and no request may have a body.

What is pushed to a webhook has a body, comes from anybody under whatever name, and proves by its signature who it is from.
"""

import asyncio
import errno
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from harvester import metrics
from harvester.errors import ConfigError
from harvester.pushed import PUSHED, Posts, posting
from harvester.visitors import Visitors

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware
    from aiohttp.web import Application, AppRunner, Request, StreamResponse

LOOPBACK = "127.0.0.1"
PROBES = frozenset({"/livez", "/readyz", "/startupz"})
_ANYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - only compared with
_HEADERS = {"Server": "event-harvester", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Reply(NamedTuple):
    """What a route answers."""

    status: int
    body: bytes
    kind: str = "application/json"


Routes = Mapping[str, Callable[[str], Reply]]
"""Path → what makes the answer, given the request's `Accept`. Called on the listener's thread: it may only
look at what is ready."""


def exposition(accept: str = "") -> Reply:
    """The metrics, in the form that the reader accepts."""
    return Reply(200, *metrics.exposition(accept))


@asynccontextmanager
async def serve(
    listen: str,
    routes: Routes,
    names: Collection[str] = (),
    visitors: Visitors | None = None,
    posts: Posts = MappingProxyType({}),
) -> AsyncIterator[str]:
    """Serve `routes` and `posts` on `listen` (HOST:PORT, or a port on loopback) while the block runs.

    `names`: further ones of this host. Yields the address as host:port, "" when `listen` is empty and nothing is served. Raises
    ConfigError when the address cannot be had.
    """
    if not listen:
        yield ""
        return
    host, port = address(listen)
    answers = _Answers(routes, posts, {*names, host, "localhost", socket.gethostname()}, visitors or Visitors())
    thread = _Listener(listen, (host, port), answers)
    await thread.begin()
    try:
        yield thread.bound
    finally:
        await thread.end()


def address(listen: str) -> tuple[str, int]:
    """Host and port of a setting. ConfigError when it is none."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"HARVESTER_LISTEN: {listen!r} is no address; write HOST:PORT, like 127.0.0.1:9464")
    return host.strip("[]") or LOOPBACK, int(port)


def reachable(listen: str) -> tuple[str, int]:
    """Where a process of this host finds who listens there."""
    host, port = address(listen)
    return _ANYWHERE.get(host, host), port


class _Answers(NamedTuple):
    """What is answered, and to whom."""

    routes: Routes
    posts: Posts
    names: Collection[str]
    visitors: Visitors


class _Listener:
    """The thread with its loop."""

    def __init__(self, listen: str, place: tuple[str, int], answers: "_Answers") -> None:
        self._listen = listen
        self._host, self._port = place
        self._answers = answers
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="listener", daemon=True)
        self._begun: asyncio.Future[str] | None = None
        self._home = asyncio.get_running_loop()
        self.bound = ""

    async def begin(self) -> None:
        """Returns = it listens. ConfigError: it cannot."""
        self._begun = self._home.create_future()
        self._thread.start()
        try:
            self.bound = await self._begun
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self._tell(ConfigError(f"HARVESTER_LISTEN={self._listen}: the listener ended before it began"))

    async def _serve(self) -> None:
        from aiohttp import web  # noqa: PLC0415 - one-shot commands do not serve

        # Not unpacked: a signature is of the bytes that came, and nobody sends packed ones here.
        runner = web.AppRunner(_application(self._answers), access_log=None, shutdown_timeout=1, auto_decompress=False)
        try:
            self._tell(await _bind(runner, self._host, self._port, self._listen))
        except ConfigError as error:
            self._tell(error)
        else:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    def _tell(self, result: "str | ConfigError") -> None:
        def set_() -> None:
            assert self._begun is not None
            if self._begun.done():
                return
            if isinstance(result, str):
                self._begun.set_result(result)
            else:
                self._begun.set_exception(result)

        self._home.call_soon_threadsafe(set_)


async def _bind(runner: "AppRunner", host: str, port: int, listen: str) -> str:
    from aiohttp import web  # noqa: PLC0415 - as above

    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(_unavailable(listen, host, port, error)) from error
    return f"[{host}]:{runner.addresses[0][1]}" if ":" in host else f"{host}:{runner.addresses[0][1]}"


def _guard(names: Collection[str], visitors: Visitors) -> "Middleware":
    """Stands before everything that is there to be read."""
    from aiohttp import web  # noqa: PLC0415 - as above

    async def guarded(request: "Request", handler: "Handler") -> "StreamResponse":
        if not known(request.host, names):
            return web.Response(status=421, text=f"{_REBOUND}\n")
        if request.can_read_body:
            return web.Response(status=413, text="no request here has a body\n", headers={"Connection": "close"})
        probe = request.path in PROBES  # what probes ask is cheap to say, and a flood must not make us look dead
        if not probe and (wait := visitors.wait(request.remote or "")):
            return web.Response(status=429, text="too many requests\n", headers={"Retry-After": str(wait)})
        if visitors.may_read(request.headers.get("Authorization", "")):
            return await handler(request)
        if probe:
            answer = await handler(request)
            return web.Response(status=answer.status)
        return web.Response(status=401, text=f"{_UNKNOWN}\n", headers={"WWW-Authenticate": "Bearer"})

    return guarded


def _application(answers: _Answers) -> "Application":
    from aiohttp import web  # noqa: PLC0415 - as above

    guarded = _guard({name.lower() for name in answers.names}, answers.visitors)

    @web.middleware
    async def standing(request: "Request", handler: "Handler") -> "StreamResponse":
        return await (handler(request) if request.path.startswith(PUSHED) else guarded(request, handler))

    def answering(make: Callable[[str], Reply]) -> "Handler":
        async def answer(request: "Request") -> "StreamResponse":
            status, body, kind = make(request.headers.get("Accept", ""))
            return web.Response(status=status, body=body, headers={"Content-Type": kind})

        return answer

    async def named(_: "Request", response: "StreamResponse") -> None:
        response.headers.update(_HEADERS)

    app = web.Application(middlewares=[standing], client_max_size=1024)
    app.on_response_prepare.append(named)
    app.add_routes([web.get(path, answering(make)) for path, make in answers.routes.items()])
    app.add_routes([web.post(path, posting(post)) for path, post in answers.posts.items()])
    return app


_UNKNOWN = "send Authorization: Bearer with the token of HARVESTER_LISTEN_TOKEN"
_REBOUND = "this is not a name of mine: ask by address, or add the name to HARVESTER_LISTEN_NAMES"


def known(host: str, names: Collection[str]) -> bool:
    """Whether a `Host` header means us: any address (no foreign page can have one for its own), or one of our names."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


def _unavailable(listen: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        why = "another process listens there"
        ways = (
            f"`harvest status` tells whether it is a daemon of ours, `ss -ltnp sport = :{port}` names it; "
            f"stop it, or choose another port"
        )
    elif error.errno == errno.EACCES:
        why, ways = "this user may not listen there", "choose a port above 1023"
    else:
        why, ways = (
            f"{host} is no address of this host ({error.strerror or error})",
            f"write {LOOPBACK}:{port}, or 0.0.0.0:{port} for all",
        )
    return f"HARVESTER_LISTEN={listen}: metrics cannot be served: {why}; {ways} (HARVESTER_LISTEN= switches this off)"
