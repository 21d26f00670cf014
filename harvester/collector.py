"""Python's collector of cycles, set for processes that move many small objects through a loop and make next to no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 50
"""Objects more than were freed until the youngest generation is looked through, and how often that until the older ones are.
As shipped it is 700: with thousands of events in flight, all alive, it would look through them again and again in vain."""


@contextmanager
def relaxed() -> Iterator[None]:
    """While the block runs, what was there before is out of its reach, and new objects are looked through less often."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()  # libraries look for what is left when the interpreter ends
