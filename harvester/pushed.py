"""What is pushed to the listener: bounded here in number, size and time, before its webhook finds out who it is from."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from harvester.visitors import Visitors

if TYPE_CHECKING:
    from aiohttp.web import Request, Response

    from harvester.endpoints import Reply

PUSHED = "/webhooks/"
"""What begins so is a webhook, or nothing."""
PUSHES = 10_000
"""So many requests one webhook takes in ten seconds: lectures end at the same minute, with everybody in them."""
LARGEST = 64 * 2**10
"""Bytes that a request may have; those of vendors have one or two KiB."""
_PATIENCE = 2.0
"""Seconds that it may take to come: vendors wait three for an answer."""

Unread = Literal["too_large", "too_many", "incomplete"]
"""Why a request is refused before anybody looks at what it says."""
_STATUS: Mapping[Unread, int] = {"too_large": 413, "too_many": 429, "incomplete": 408}


class Post(Protocol):
    """What takes the requests to one webhook. Called on the listener's thread: it waits for nothing."""

    def take(self, headers: Mapping[str, str], body: bytes) -> "Reply":
        """The answer to a request, its body as it came."""
        ...

    def unread(self, why: Unread) -> None:
        """A request was refused."""
        ...


Posts = Mapping[str, Post]
"""Path, which begins with PUSHED → what takes requests there."""


def posting(post: Post) -> "Callable[[Request], Awaitable[Response]]":
    """Answers requests with what `post` says, at most PUSHES of them."""
    from aiohttp import web  # noqa: PLC0415 - one-shot commands do not serve

    pushers = Visitors(reads=PUSHES)

    def refused(why: Unread, **headers: str) -> web.Response:
        post.unread(why)
        return web.Response(status=_STATUS[why], headers={"Connection": "close", **headers})

    async def answer(request: web.Request) -> web.Response:
        if wait := pushers.wait(""):  # of all addresses together, since behind a proxy there is but one
            return refused("too_many", **{"Retry-After": str(wait)})
        body = await _body(request)
        if not isinstance(body, bytes):
            return refused(body)
        status, said, kind = post.take(request.headers, body)
        return web.Response(status=status, body=said, content_type=kind if said else None)

    return answer


async def _body(request: "Request") -> bytes | Unread:
    """What was sent, as it came, within the bounds of size and time."""
    from aiohttp import web  # noqa: PLC0415 - as above

    if (request.content_length or 0) > LARGEST:
        return "too_large"
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for part in request.content.iter_any():
                body += part
                if len(body) > LARGEST:
                    return "too_large"
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        return "incomplete"
    return bytes(body)
