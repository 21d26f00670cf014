"""Turns: who works on what several processes could work on.

A turn is a lease that is taken when it is free, and given back when another is found to have it.

A lease ends without its holder where its term passes while he is frozen or cut off. Nobody is told (`CoverageStore.lease`), so he
looks from time to time; until he has looked two may do the same work, which costs double work and nothing else.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from harvester.errors import TransientError
from harvester.lock import me
from harvester.protocols import CoverageStore

LOOK_EVERY = 10.0
"""Seconds between two looks at who holds the leases of one source, for all its streams together."""

REPAIRS = "repairs"
"""The name that leases for the due letters of a group are kept under, as if it were a source and the group its stream."""


class Owners:
    """Who holds the leases of one source; five thousand streams that ask cost one look."""

    def __init__(self, store: CoverageStore, source: str, every: float | None = None) -> None:
        self.store = store
        self.source = source
        self._every = LOOK_EVERY if every is None else every
        self._known: Mapping[str, str] = {}
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def known(self) -> Mapping[str, str]:
        """Stream → its owner, as of the newest look."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= self._every:
                self._known = await self.store.owners(self.source)
                self._looked_at = time.monotonic()
        return self._known

    async def looked(self) -> Mapping[str, str]:
        """The same, looked up now."""
        self._looked_at = float("-inf")
        return await self.known()


class Turn:
    """One lease. `ours` while this process has it, as far as it knows."""

    def __init__(self, owners: Owners, name: str, on_change: Callable[[bool], None] = lambda _: None) -> None:
        self._owners = owners
        self._name = name
        self._on_change = on_change
        self._held = AsyncExitStack()
        self._since = 0.0
        self.ours = False

    async def take(self) -> None:
        """Take it. RefusedError: another has it."""
        store, source = self._owners.store, self._owners.source
        await self._held.enter_async_context(store.lease(source, self._name, me()))
        self._since = time.monotonic()
        self._be(ours=True)

    async def kept(self) -> bool:
        """Whether it is still ours; when another is found to have it, it is given back."""
        # What was seen before it was taken says who had it then.
        if time.monotonic() - self._since < LOOK_EVERY:
            return self.ours
        if self.ours and await self.owner() not in ("", me()):
            await self.give_back()
        return self.ours

    async def owner(self) -> str:
        """Who has it, as of the newest look; "" when nobody is known to, or the store is away."""
        try:
            return (await self._owners.known()).get(self._name, "")
        except TransientError:
            return ""

    async def give_back(self) -> None:
        """Nothing when it is not ours."""
        self._be(ours=False)
        await self._held.aclose()

    def _be(self, *, ours: bool) -> None:
        if ours != self.ours:
            self.ours = ours
            self._on_change(ours)
