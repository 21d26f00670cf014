"""Login: how requests carry who we are."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
from aiohttp import hdrs

from harvester.origin import Basic, Digest

_STALE = re.compile(r"\bstale\s{0,9}=\s{0,9}\"?true\b", re.IGNORECASE)


class Answering:
    """Answers digest challenges, and once more the one that a server sends when the answer was right but came too late.

    So it is after a process stood still between challenge and answer: its login is not refused (RFC 7616, `stale`).
    """

    def __init__(self, user: str, password: str) -> None:
        self._answers = aiohttp.DigestAuthMiddleware(user, password)

    async def __call__(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await self._answers(request, handler)
        if response.status == HTTPStatus.UNAUTHORIZED and _STALE.search(response.headers.get(hdrs.WWW_AUTHENTICATE, "")):
            response.release()
            response = await self._answers(request, handler)
        return response


class Carried(NamedTuple):
    """A login, and what makes requests carry it."""

    login: Basic | Digest | None
    headers: Mapping[str, str] = {}
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()


def carried(login: Basic | Digest | None) -> Carried:
    """As headers, or as what answers challenges. The nonces of a digest login belong to its password and go with it."""
    match login:
        case Basic(user, password):
            return Carried(login, {hdrs.AUTHORIZATION: aiohttp.encode_basic_auth(user, password)})
        case Digest(user, password):
            return Carried(login, {"X-Requested-Auth": "Digest"}, [Answering(user, password)])
        case _:
            return Carried(None)
