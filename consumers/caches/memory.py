"""The cache of one process: least recently used goes first, by count and by bytes."""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

import msgspec

from harvester.access import NOBODY, Access
from harvester.errors import ConfigError
from harvester.url import parse

# What Python keeps for an entry beside key and value: two objects' heads, a tuple, a float and a place in the order.
OVERHEAD = 300
NEGATIVE = b"null"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The options of memory://."""

    max_items: int = 100_000
    max_bytes: int = 64 * 2**20


class _Entry(NamedTuple):
    value: bytes
    size: int
    expires: float


class MemoryCache:
    """`negative` counts hits on "nothing to find". `clock` gives monotonic seconds."""

    def __init__(
        self, *, max_items: int = 100_000, max_bytes: int = 64 * 2**20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0
        self.negative = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The values, None for what was never set, has expired or was displaced."""
        now = self._clock()
        return [self._get(key, now) for key in keys]

    async def set_many(self, items: Mapping[str, bytes], ttl: timedelta) -> None:
        """Keep the items for `ttl`; what does not fit displaces what was not used for longest."""
        expires = self._clock() + ttl.total_seconds()
        for key, value in items.items():
            self._drop(key)
            size = len(key) + len(value) + OVERHEAD
            if size <= self._max_bytes:
                self._entries[key] = _Entry(value, size, expires)
                self.size += size
        while self.size > self._max_bytes or len(self._entries) > self._max_items:
            self._drop(next(iter(self._entries)))

    def _get(self, key: str, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None or entry.expires <= now:
            self._drop(key)
            self.misses += 1
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        self.negative += entry.value == NEGATIVE
        return entry.value

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size


@asynccontextmanager
async def open_memory(text: str, _: Access = NOBODY) -> AsyncIterator[MemoryCache]:
    """memory://?max_items=…&max_bytes=…; ConfigError when a limit leaves no room."""
    url = parse(text)
    limits = url.options(Limits)
    if limits.max_items < 1 or limits.max_bytes < 1:
        raise ConfigError(f"{url.text}: max_items and max_bytes must be at least 1")
    yield MemoryCache(max_items=limits.max_items, max_bytes=limits.max_bytes)
