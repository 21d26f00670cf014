"""The fuse: a service that is away costs a few time-outs, not one for every batch."""

import time
from collections.abc import Callable
from datetime import timedelta


class Fuse:
    """Blows after `failures` in a row. Then one trial is let through a pause, and pauses double up to `longest`."""

    def __init__(
        self,
        *,
        failures: int = 3,
        pause: timedelta = timedelta(seconds=5),
        longest: timedelta = timedelta(minutes=1),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._first = pause.total_seconds()
        self._longest = longest.total_seconds()
        self._clock = clock
        self._failures = 0
        self._pause = self._first
        self._until = 0.0
        self._trial = False

    @property
    def blown(self) -> bool:
        """Whether the service counts as away."""
        return self._failures >= self._limit

    @property
    def resting(self) -> bool:
        """Whether a trial would be too early."""
        return self.blown and self._clock() < self._until

    def allows(self) -> bool:
        """Whether to try now. While blown, each True is that pause's only trial."""
        if not self.blown:
            return True
        now = self._clock()
        if now < self._until:
            return False
        self._until = now + self._pause
        self._trial = True
        return True

    def succeeded(self) -> None:
        """The service answered."""
        self._failures, self._pause, self._trial = 0, self._first, False

    def failed(self) -> None:
        """It did not. What was under way when the fuse blew fails too, and changes nothing more: only a trial counts."""
        if self.blown:
            if not self._trial:
                return
            self._pause = min(self._pause * 2, self._longest)
        self._failures += 1
        self._trial = False
        self._until = self._clock() + self._pause
