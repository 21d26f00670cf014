"""Named places to die at: how the crash tests prove that a kill at any moment loses nothing.

`HARVESTER_CRASH_AT=queue.in_publish:3` ends the process by SIGKILL at its third pass of that place; `:1` when no number is
given. Read once, at import; without it a place costs one call that does nothing.
"""

import itertools
import os
import signal

_name, _, _pass = os.environ.get("HARVESTER_CRASH_AT", "").partition(":")

if _name:
    _passes = itertools.count(1)
    _fatal = int(_pass or "1")

    def point(name: str) -> None:
        """Die here when this is the place and the pass that the environment names."""
        if name == _name and next(_passes) == _fatal:
            os.kill(os.getpid(), signal.SIGKILL)

else:

    def point(name: str) -> None:
        """Die here when this is the place and the pass that the environment names."""
