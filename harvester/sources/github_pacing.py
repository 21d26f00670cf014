"""The seconds by which GitHub's calls are spaced and its waits are waited."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Pacing(NamedTuple):
    """A clock, and how to wait by it."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


REAL_TIME = Pacing()
