"""What was signed too long ago, and what came before: a signature counts once, and for some minutes."""

from collections import OrderedDict
from datetime import datetime, timedelta

_REMEMBERED = 20_000
"""Signatures; 5 MB of them. When more come within the window, it is as much shorter."""


class Seen:
    """The signatures of a window. Times of signing are in whole seconds since 1970."""

    def __init__(self, window: timedelta, remembered: int = _REMEMBERED) -> None:
        self._window = window.total_seconds()
        self._remembered = remembered
        self._signatures: OrderedDict[bytes, int] = OrderedDict()
        self._forgotten = 0
        """What was signed at this time or before may have come already."""

    def timely(self, signed: int, now: datetime) -> bool:
        """Whether it was signed within the window, on either side of now."""
        return abs(now.timestamp() - signed) <= self._window and signed > self._forgotten

    def first(self, signature: bytes, signed: int, now: datetime) -> bool:
        """Whether this signature, which is timely, comes for the first time; it is remembered."""
        if signature in self._signatures:
            return False
        self._signatures[signature] = signed
        self._forget(now)
        return True

    def _forget(self, now: datetime) -> None:
        kept, oldest = self._signatures, now.timestamp() - self._window
        while kept and (len(kept) > self._remembered or next(iter(kept.values())) < oldest):
            _, signed = kept.popitem(last=False)
            if signed >= oldest:
                self._forgotten = max(self._forgotten, signed)
