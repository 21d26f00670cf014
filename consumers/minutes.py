"""What one member of a group did in a minute, as an own event; nothing of a minute in which nothing but own events came.

So an idle installation falls silent: what tells of a minute makes no other one tell. A sink that stands still before what waits
for it is told of, too.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from harvester.ownevents import CONSUMER, Tell, is_own, own_event, silent
from harvester.protocols import Delivery

COUNTS = {
    "received": "consumed",
    "delivered": "delivered",
    "filtered": "filtered",
    "dead_lettered": "dead_lettered",
    "pending": "pending",
    "repaired": "repaired",
}
"""As an event has them, and as the loop counts them."""


class Minutes:
    """One member's. `tell` says where its events go; `every` is the length of a minute, in seconds."""

    def __init__(
        self, group: str, tell: Tell = silent, *, every: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._group = group
        self._tell = tell
        self._every = every
        self._clock = clock
        self._member = os.urandom(4).hex()
        self._lag = self._letters = 0
        self._waited = False
        """Whether anything waited for the group when the last minute ended."""
        self._begin()

    def _begin(self) -> None:
        self._began = self._clock()
        self._busy = False
        self._counts = Counter[str]()
        self._batches = 0
        self._seconds = 0.0

    def worked(self, seconds: float) -> None:
        """A batch was written, that long after it was received."""
        self._batches += 1
        self._seconds += seconds

    def committed(self, counts: Mapping[str, int], batches: Iterable[Sequence[Delivery]]) -> None:
        """Batches were committed, with these counts; the first message that is not our own makes the minute worth telling."""
        self._counts.update(counts)
        self._busy = self._busy or not all(all(map(is_own, batch)) for batch in batches)

    def repaired(self, letters: int) -> None:
        """So many letters are done with."""
        self._counts["repaired"] += letters
        self._busy = True

    def look(self, lag: int, letters: int) -> None:
        """To be called every few seconds: messages that the whole group has not committed, and letters that it has."""
        self._lag, self._letters = lag, letters
        if self._clock() - self._began < self._every:
            return
        stands = self._waited and lag > 0 and not self._counts["consumed"]
        if self._busy or stands:
            self._say()
        self._waited = lag > 0
        self._begin()

    def end(self) -> None:
        """The membership ends: what came since the last minute is told."""
        if self._busy:
            self._say()
        self._begin()

    def _say(self) -> None:
        seconds = self._clock() - self._began
        parts = (self._group, self._member, time.time_ns())
        counts = {name: self._counts[counted] for name, counted in COUNTS.items()}
        data: dict[str, object] = {
            "sink": self._group,
            "member": self._member,
            "seconds": round(seconds, 3),
            **counts,
            "batches": self._batches,
            "batch_seconds": round(self._seconds, 3),
            "lag": self._lag,
            "letters": self._letters,
            "memory_bytes": memory(),
        }
        self._tell(own_event(CONSUMER, parts, data))


def memory() -> int | None:
    """Bytes that this process has in memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
