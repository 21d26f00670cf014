"""Login: how requests carry who we are."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import aiohttp
from aiohttp import hdrs

from harvester.origin import Basic, Digest


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
            return Carried(login, {"X-Requested-Auth": "Digest"}, [aiohttp.DigestAuthMiddleware(user, password)])
        case _:
            return Carried(None)
