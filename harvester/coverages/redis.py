"""Books in Redis: `redis://host:6379/0?prefix=harvester&lease=30&timeout=5&trust=false`; over TLS `rediss://`.

A write compares and sets in one script, and returns when the server has synced it to its disk. A server that can lose what it
acknowledged is refused: one without an append-only file, one that evicts keys when its memory is full, one that cannot tell;
`trust=true` takes it all the same, and then a crash of the server may cost what it forgot (read again, never passed over, for
a lost fact only means that time is read once more; but a lost *reset* comes back).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from hashlib import sha1
from typing import TYPE_CHECKING, Annotated

import msgspec
from redis.exceptions import RedisError, ResponseError

from harvester.access import NOBODY, Access
from harvester.coverages.objects import ObjectCoverages, utc_now
from harvester.errors import ConflictError, RefusedError, TransientError
from harvester.protocols import CoverageStore, Stored
from harvester.redis import named, open_client, place_of
from harvester.url import Url, parse

if TYPE_CHECKING:
    from redis.asyncio import Redis

_COMPARE_AND_SET = """
local held = redis.call('GET', KEYS[1])
local tag = held and redis.sha1hex(held) or ''
if ARGV[1] ~= '*' and ARGV[1] ~= tag then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
_ALL = "*"
_EVICTING = ("allkeys-",)
_SYNC = 2000
"""Milliseconds that a write waits for the server's disk; with `appendfsync everysec` it takes up to one second."""


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL can say."""

    prefix: str = "harvester"
    """Begins every key."""
    lease: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds until a lease ends that its holder does not renew."""
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """Seconds that one answer may take."""
    trust: bool = False
    """Take a server that may lose what it acknowledged."""


def open_coverages(
    url: str, access: Access = NOBODY, *, now: Callable[[], datetime] = utc_now
) -> AbstractAsyncContextManager[CoverageStore]:
    """The books under the prefix of that database."""
    parsed = parse(url)
    place_of(parsed, access)
    return _opened(parsed, parsed.options(RedisOptions), access, now)


@asynccontextmanager
async def _opened(url: Url, options: RedisOptions, access: Access, now: Callable[[], datetime]) -> AsyncIterator[ObjectCoverages]:
    """RefusedError: the server may lose what it acknowledged. TransientError: nobody answers."""
    async with open_client(url, access, seconds=options.timeout) as client:
        keys = RedisObjects(client, options.prefix, url.text)
        await keys.check(trust=options.trust)
        yield ObjectCoverages(keys, now=now, term=timedelta(seconds=options.lease))


class RedisObjects:
    """Keys as objects; the tag is the digest of what a key holds."""

    def __init__(self, client: "Redis", prefix: str, where: str) -> None:
        self._client = client
        self._prefix = f"{prefix}:"
        self._where = where
        self._syncs = False
        self._doubtful: set[str] = set()
        """What was written, for all that is known, and perhaps not synced."""

    async def check(self, *, trust: bool) -> None:
        """RefusedError: it may lose what it acknowledged."""
        faults = await self.faults()
        if faults and not trust:
            raise RefusedError(
                f"{self._where}: {'; '.join(faults)}: coverage that is lost is read again, a reset that is lost comes back. "
                f"Mend the server's configuration, or say that this may be with ?trust=true"
            )

    async def faults(self) -> Sequence[str]:
        """How the server may lose what it acknowledged, a line each."""
        try:
            told: dict[str, str] = {}
            for name in ("appendonly", "maxmemory-policy", "maxmemory"):
                told |= {_text(key): _text(value) for key, value in (await self._client.config_get(name)).items()}
        except ResponseError as error:
            return [f"it does not tell whether it keeps what it acknowledged ({error})"]
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error
        found = []
        if told.get("appendonly") != "yes":
            found.append("it has no append-only file (appendonly no)")
        if told.get("maxmemory-policy", "").startswith(_EVICTING) and told.get("maxmemory", "0") != "0":
            found.append(f"it evicts keys when its memory is full (maxmemory-policy {told['maxmemory-policy']})")
        if not found:
            self._syncs = await self._can_sync()
            if not self._syncs and _text((await self._client.config_get("appendfsync")).get("appendfsync", "")) != "always":
                found.append("it acknowledges before it has synced (no WAITAOF, and appendfsync is not always)")
        return found

    async def get(self, name: str) -> Stored | None:
        try:
            body: bytes | None = await self._client.get(self._prefix + name)  # type: ignore[assignment] # nothing is decoded
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error
        if body is None:
            return None
        stored = Stored(body, sha1(body, usedforsecurity=False).hexdigest())
        if name not in self._doubtful:
            return stored
        try:
            # Who finds there what he wanted to write goes on: so it is written once more, and synced this time.
            await self.put(name, body, replaces=stored.tag)
        except ConflictError:
            return await self.get(name)
        return stored

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        condition = _ALL if replaces is None else replaces
        self._doubtful.add(name)
        try:
            # On one connection: the sync is that of its own writes.
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.eval(_COMPARE_AND_SET, 1, self._prefix + name, condition, body)
                if self._syncs:
                    pipe.execute_command("WAITAOF", 1, 0, _SYNC)
                # Raised one by one, an error is the server's own word; by the pipeline it is a text about the command.
                for answer in (answers := await pipe.execute(raise_on_error=False)):
                    if isinstance(answer, Exception):
                        raise answer
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error
        done, *synced = answers
        if done and synced and not synced[0][0]:
            raise TransientError(f"{self._where}: the server has not synced a write in {_SYNC} ms")
        self._doubtful.discard(name)
        if not done:
            raise ConflictError(f"{self._where} {name}: another wrote it first")
        return sha1(body, usedforsecurity=False).hexdigest()

    async def delete(self, names: Sequence[str]) -> None:
        try:
            if names:
                await self._client.delete(*(self._prefix + name for name in names))
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        pattern = "".join(f"\\{c}" if c in "*?[]\\^-" else c for c in self._prefix + prefix) + "*"
        try:
            found = [_text(key) async for key in self._client.scan_iter(match=pattern, count=1000)]
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error
        for key in sorted(set(found)):
            name = key.removeprefix(self._prefix)
            if name > after:
                yield name

    async def _can_sync(self) -> bool:
        try:
            return bool((await self._client.execute_command("WAITAOF", 1, 0, _SYNC))[0])  # type: ignore[no-untyped-call]
        except ResponseError:
            return False
        except (RedisError, OSError) as error:
            raise named(error, self._where) from error


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
