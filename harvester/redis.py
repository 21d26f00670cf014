"""The one way to Redis, or to Valkey, which speaks like it: `redis://host:6379/0`, with TLS `rediss://`.

https://redis.io/docs/latest/develop/clients/redis-py/
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ResponseError,
)

from harvester.access import Access
from harvester.errors import ConfigError, HarvesterError, PermanentError, TransientError
from harvester.origin import is_loopback
from harvester.url import Url

PORT = 6379
_NO_RETRY = 0
_PASSING = ("OOM", "MISCONF", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS")
"""What a server says that will say something else later."""


@asynccontextmanager
async def open_client(url: Url, access: Access, *, seconds: float) -> AsyncIterator["Redis"]:
    """A client that tries nothing twice: whoever asks knows when. No server is asked before the first command.

    `seconds` that a connection and an answer may take; a command that blocks for longer than that cannot be used, for its
    answer would be taken for lost. ConfigError: a URL that is none, a login in it, or one that would go unencrypted to
    another host.
    """
    host, port, database = place_of(url, access)
    tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(access.redis_ca_file) if access.redis_ca_file else None}
    client: Redis = Redis(
        host=host,
        port=port,
        db=database,
        username=access.redis_user or None,
        password=access.redis_password.get_secret_value() or None,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), _NO_RETRY),
        retry_on_error=[],
        **(tls if url.scheme == "rediss" else {}),
    )
    try:
        yield client
    finally:
        await client.aclose()


def place_of(url: Url, access: Access) -> tuple[str, int, int]:
    """Host, port and number of the database. ConfigError as above."""
    if "@" in url.host:
        raise ConfigError(f"{url.text}: no login may stand here: set HARVESTER_REDIS_USER and HARVESTER_REDIS_PASSWORD")
    host, _, port = url.host.rpartition(":") if ":" in url.host.rpartition("]")[2] else (url.host, "", str(PORT))
    host, number = host.strip("[]"), url.path.strip("/") or "0"
    if not host or not port.isdigit() or not number.isdigit():
        raise ConfigError(f"{url.text}: write {url.scheme}://host:6379/0")
    secret = access.redis_password.get_secret_value()
    if secret and url.scheme != "rediss" and not is_loopback(host) and not access.allow_plain:
        raise ConfigError(
            f"{url.text}: the password would go to {host} without TLS: write rediss://, or set HARVESTER_ALLOW_PLAIN=true for a "
            f"network you trust"
        )
    return host, int(port), int(number)


def named(error: Exception, where: str) -> HarvesterError:
    """What the client raised, as an error that names the next action."""
    text = f"{where}: {error or type(error).__name__}"
    # The client takes the words that it knows off the text.
    word = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        return PermanentError(f"{text}: check HARVESTER_REDIS_USER and HARVESTER_REDIS_PASSWORD, and what they may do")
    if isinstance(error, ResponseError) and word not in _PASSING:
        return PermanentError(text)
    return TransientError(text)
