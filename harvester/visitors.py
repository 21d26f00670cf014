"""Visitors of the listener: who may read there, and how often."""

import hmac
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

READS, PER = 300, 10.0
"""So many answers an address may have in any so many seconds."""
_ADDRESSES = 1000
"""So many are remembered, those that came last."""


class Visitors:
    """With a token only who brings it may read; without one everybody may. Nobody may read all the time."""

    def __init__(self, token: str = "", *, reads: int = READS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._reads = reads
        self._expected = f"Bearer {token}".encode() if token else b""
        self._monotonic = monotonic
        self._came: OrderedDict[str, deque[float]] = OrderedDict()

    def may_read(self, authorization: str) -> bool:
        """Whether a request with this header may; takes as long for a token that is nearly right as for any other."""
        return not self._expected or hmac.compare_digest(authorization.encode(errors="surrogateescape"), self._expected)

    def wait(self, address: str) -> int:
        """Seconds after which it may come again; 0: it may come now, and this counts."""
        now = self._monotonic()
        came = self._came.setdefault(address, deque(maxlen=self._reads))
        self._came.move_to_end(address)
        if len(self._came) > _ADDRESSES:
            self._came.popitem(last=False)
        if len(came) == self._reads and came[0] + PER > now:
            return math.ceil(came[0] + PER - now)
        came.append(now)
        return 0
