"""What the reading of a window costs: the calls and waits that are made for it, wherever in a source they are made.

Whoever reads a window counts into a tally of his own; tasks that a source begins meanwhile count into the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Tally:
    """Calls to a vendor, seconds waited before them, and what the vendor last said of its limit (None: nothing)."""

    def __init__(self) -> None:
        self.calls = 0
        self.waited = 0.0
        self.limit: int | None = None
        self.left: int | None = None


_open: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counting(tally: Tally) -> Iterator[None]:
    """Count into this one until the block ends."""
    token = _open.set(tally)
    try:
        yield
    finally:
        _open.reset(token)


def called() -> None:
    """One request was sent."""
    if (tally := _open.get()) is not None:
        tally.calls += 1


def waited(seconds: float) -> None:
    """So long for a turn, or before another try."""
    if (tally := _open.get()) is not None:
        tally.waited += seconds


def allowed(limit: int | None, left: int | None) -> None:
    """What the vendor said: requests in a period, and how many are left of them. None: it did not say."""
    if (tally := _open.get()) is not None:
        tally.limit = tally.limit if limit is None else limit
        tally.left = tally.left if left is None else left
