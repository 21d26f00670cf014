"""Accounts in Redis: `redis://host:6379/0?prefix=harvester&timeout=2`; over TLS `rediss://`. The server's clock counts.

One script a question: it does what `Account.ask` does, and a contract holds both to the same answers.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

import msgspec
from redis.exceptions import RedisError

from harvester.access import NOBODY, Access
from harvester.budget import HOUR, Account, Budget, Message, Verdict, Why
from harvester.redis import named, open_client, place_of
from harvester.url import Url, parse

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SCRIPT = files("harvester.budgets").joinpath("ask.lua").read_text()
_account = msgspec.json.Decoder(Account)


class _Answer(msgspec.Struct):
    seconds: float
    why: Why
    used: int = 0
    left: int | None = None
    limit: int | None = None


_answer = msgspec.json.Decoder(_Answer)


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    prefix: str = "harvester"
    """Begins every key."""
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """Seconds that one answer may take; after that reading goes on without it, slowly."""


def open_budget(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Budget]:
    """The accounts under the prefix of that database."""
    parsed = parse(url)
    place_of(parsed, access)
    return _opened(parsed, parsed.options(RedisOptions), access)


@asynccontextmanager
async def _opened(url: Url, options: RedisOptions, access: Access) -> AsyncIterator["RedisBudget"]:
    async with open_client(url, access, seconds=options.timeout) as client:
        yield RedisBudget(client, f"{options.prefix}:budget:", url.text)


class RedisBudget:
    """Made by `open_budget`."""

    def __init__(self, client: "Redis", prefix: str, where: str) -> None:
        self._client = client
        self._prefix = prefix
        self._where = where
        self._script = client.register_script(_SCRIPT)

    async def ask(self, key: str, message: Message) -> Verdict:
        try:
            told = await self._script(keys=[self._prefix + key], args=[msgspec.json.encode(message)])
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error
        found = _answer.decode(told)
        return Verdict(found.seconds, found.why, found.used, found.left, found.limit)

    async def accounts(self) -> Mapping[str, Account]:
        try:
            pattern = "".join(f"\\{c}" if c in "*?[]\\^-" else c for c in self._prefix) + "*"
            keys = sorted([key async for key in self._client.scan_iter(match=pattern, count=1000)])
            bodies = await self._client.mget(keys) if keys else []
            seconds, micros = await self._client.time()
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error
        now, found = seconds + micros / 1e6, dict[str, Account]()
        for key, body in zip(keys, bodies, strict=True):
            if body is not None and (account := _account.decode(body)).seen > now - 2 * HOUR:
                account.forget(now)
                found[key.decode().removeprefix(self._prefix)] = account
        return found
