"""`harvest` in a process that some events kill when they are written: those whose subjects `HARVESTER_TEST_POISON` lists."""

import os
import signal
import sys
from collections.abc import Sequence

from consumers import writing
from consumers.protocols import Rejection, Sink
from harvester.cli import run
from harvester.event import Event

_POISON = frozenset(os.environ.get("HARVESTER_TEST_POISON", "").split(","))
_write = writing.write_halving


async def _dying(sink: Sink, events: Sequence[Event]) -> list[Rejection]:
    if any(event.subject in _POISON for event in events):
        os.kill(os.getpid(), signal.SIGKILL)
    return await _write(sink, events)


if __name__ == "__main__":
    writing.write_halving = _dying
    sys.exit(run(sys.argv[1:]))
