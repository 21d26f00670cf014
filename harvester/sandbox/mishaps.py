"""What goes wrong between a vendor and its clients."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from math import ceil
from typing import Protocol

from aiohttp import web

from harvester.sandbox.clock import SandboxClock
from harvester.sandbox.faults import Faults
from harvester.sandbox.stats import Stats

Endpoint = Callable[[web.Request], Awaitable[web.Response]]


class Pace(Protocol):
    """The settings that mishaps need."""

    @property
    def retry_after(self) -> float: ...
    @property
    def slow(self) -> float: ...


_HTML = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>"
_TOLERANCE = 0.01  # a client's timer may fire a little early
_NO_LINGER = struct.pack("ii", 1, 0)
_SKEW = timedelta(hours=1)

_LEFT = ("empty", "shifted", "dead-token", "dead-page")
FAULT = web.RequestKey("fault", str)
"""A fault that only the endpoint can make, and count."""
SKEW = web.RequestKey("skew", timedelta)
"""By how much the answer's Date is wrong."""


class Mishaps:
    """Answers in the place of an endpoint, or spoils its answer, as often as the faults' rates say."""

    def __init__(
        self,
        settings: Pace,
        clock: SandboxClock,
        faults: Faults,
        stats: Stats,
        *,
        too_many: bytes = b"",
        gateway: bool = True,
        ticker: Callable[[], float] = time.monotonic,
    ) -> None:
        """`too_many`: the JSON that a 429 has for a body; none: plain text. `gateway`: it tells of a gateway's limit beside it.
        `ticker`: the seconds that a client has to wait.
        """
        self._settings = settings
        self._too_many = (too_many, "application/json") if too_many else (b"Too Many Requests", "text/plain")
        self._gateway = gateway
        self._clock = clock
        self._faults = faults
        self._stats = stats
        self._ticker = ticker
        self._not_before: dict[str, float] = {}

    async def met(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        if self._not_before.pop(request.path_qs, 0) > self._ticker():
            self._stats.came_early()
        kind = self._faults.of_request(request.path_qs)
        if kind is not None and kind not in _LEFT:
            self._stats.fault(kind)
        match kind:
            case None | "empty" | "shifted" | "dead-token" | "dead-page" | "date-ahead" | "date-behind" | "slow":
                await self._prepare(request, kind)
                return await endpoint(request)
            case "truncated":
                return await _truncated(request, await endpoint(request))
            case "half-json":
                return _half(await endpoint(request))
            case _:
                if kind[3:] in {"-seconds", "-date", "-iso"}:
                    self._not_before[request.path_qs] = self._ticker() + self._settings.retry_after - _TOLERANCE
                return self._instead(request, kind)

    async def _prepare(self, request: web.Request, kind: str | None) -> None:
        """What the endpoint answers by itself, with a fault in it."""
        match kind:
            case "slow":
                await asyncio.sleep(self._settings.slow)
            case "empty" | "shifted" | "dead-token" | "dead-page":
                request[FAULT] = kind
            case "date-ahead" | "date-behind":
                request[SKEW] = _SKEW if kind == "date-ahead" else -_SKEW

    def _instead(self, request: web.Request, kind: str) -> web.Response:
        """The answer that takes the endpoint's place."""
        match kind:
            case "500" | "502" | "503" | "504":
                return web.Response(status=int(kind), text=f"<h1>HTTP Status {kind}</h1>", content_type="text/html")
            case "401" | "403" | "404":
                return web.Response(status=int(kind), text=f"<h1>HTTP Status {kind}</h1>", content_type="text/html")
            case "html":
                return web.Response(text=_HTML, content_type="text/html")
            case "reset":
                return _reset(request)
            case _:
                body, content_type = self._too_many
                headers, status = self._retry_after(kind), HTTPStatus(int(kind[:3]))
                return web.Response(status=status, body=body, content_type=content_type, charset="utf-8", headers=headers)

    def _retry_after(self, kind: str) -> dict[str, str]:
        wait = self._settings.retry_after
        headers = retry_after(kind[4:], wait, self._clock.now())
        if kind == "429-seconds" and self._gateway:
            # With what gateways tell of their limit beside it.
            headers |= {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{ceil(wait)}"}
        return headers


def retry_after(form: str, wait: float, now: datetime) -> dict[str, str]:
    """`wait` seconds in a form that vendors use (seconds, date, iso; bare: none); a moment is never earlier than asked for."""
    at = now + timedelta(seconds=wait)
    whole = at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)
    match form:
        case "seconds":
            return {"Retry-After": f"{wait:g}"}
        case "date":
            return {"Retry-After": format_datetime(whole, usegmt=True)}
        case "iso":
            return {"Retry-After": whole.isoformat().replace("+00:00", "Z")}
        case _:
            return {}


def was_reset(response: web.StreamResponse) -> bool:
    return isinstance(response, _Gone)


class _Gone(web.Response):
    """No answer: the connection is down."""

    async def prepare(self, _: web.BaseRequest) -> None:
        return None

    async def write_eof(self, _: bytes = b"") -> None:
        return None


def _reset(request: web.Request) -> web.Response:
    """Abort the connection, so that the client sees a reset and no orderly end."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    return _Gone()


async def _truncated(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """What has no body, as a 304, stays as it is."""
    if not whole.body:
        return whole
    body = _bytes(whole)
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": whole.headers["Content-Type"]})
    response.content_length = len(body)
    response.force_close()
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _half(whole: web.Response) -> web.Response:
    if not whole.body:
        return whole
    body = _bytes(whole)
    response = web.Response(
        status=whole.status, body=body[: len(body) // 2], headers={"Content-Type": whole.headers["Content-Type"]}
    )
    response.enable_chunked_encoding()
    return response


def _bytes(response: web.Response) -> bytes:
    assert isinstance(response.body, bytes)
    return response.body
