"""Single flight: who asks for what is being fetched waits for that fetch instead of starting another."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


class _Flight(Generic[_T]):
    def __init__(self, task: asyncio.Task[_T]) -> None:
        self.task = task
        self.waiting = 0


class SingleFlight(Generic[_T]):
    """At most one fetch a key at a time. It outlives the caller that began it, and ends with the last one that waits."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[_T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: str, fetch: Callable[[str], Coroutine[Any, Any, _T]]) -> _T:
        """What `fetch(key)` gives; everyone who waits gets the same value or the same error."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(fetch(key)))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                await self._cancelled(key, flight)

    def _landed(self, key: str, task: asyncio.Task[_T]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]

    async def _cancelled(self, key: str, flight: _Flight[_T]) -> None:
        """Nobody waits any more. Whoever asks now begins anew, and nothing is left running behind us."""
        self._flights.pop(key, None)
        flight.task.cancel()
        await asyncio.wait([flight.task])
