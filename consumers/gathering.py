"""Few large batches instead of many small ones, for a sink to which each of them costs."""

import time
from collections.abc import Callable, Sequence

from harvester.protocols import Delivery


class Gathered:
    """Deliveries that are kept together until there are `events` of them, or `size` bytes, or for `seconds`.

    Nothing of it is committed meanwhile: whoever dies with it gets it again. With 0 seconds nothing is kept back.
    """

    def __init__(self, events: int, size: int, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = events
        self._most_bytes = size
        self._seconds = seconds
        self._clock = clock
        self._deliveries: list[Delivery] = []
        self._bytes = 0
        self._until = 0.0

    @property
    def room(self) -> int:
        """How many more deliveries make it full."""
        return max(1, self._most - len(self._deliveries))

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep these, too."""
        if deliveries and not self._deliveries:
            self._until = self._clock() + self._seconds
        self._deliveries += deliveries
        self._bytes += sum(len(d.message.body) for d in deliveries)

    def ripe(self, *, last: bool = False) -> bool:
        """Whether it is time to work on them. `last`: nothing more is coming."""
        if not self._deliveries:
            return False
        full = len(self._deliveries) >= self._most or self._bytes >= self._most_bytes
        return last or full or self._clock() >= self._until

    def take(self) -> Sequence[Delivery]:
        """All of them, in the order received; none are kept any more."""
        taken, self._deliveries, self._bytes = self._deliveries, [], 0
        return taken
