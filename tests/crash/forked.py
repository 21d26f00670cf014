"""Many deaths of the archive's consumer in little time: a process that has everything imported makes a child for each.

    python -m tests.crash.forked '["sink.in_write:2", ""]' consume archive --until-empty

Runs in the folder of an installation; prints for each place whether the child died there and left whole what manifests name, for
"" how it ended.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from harvester import crash

_USED = ("consumers.consume", "consumers.sinks.archive", "harvester.commands.consume", "harvester.queues.sqlite")


class _Fuse:
    """In the place of `crash.point`, which reads its place but once, at import."""

    def __init__(self) -> None:
        self._name, self._left = "", 0

    def set(self, place: str) -> None:
        self._name, _, number = place.partition(":")
        self._left = int(number or "1")

    def __call__(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _ended(fuse: _Fuse, place: str, command: Sequence[str]) -> object:
    for note in Path("var").rglob("work/*"):
        note.unlink()  # of what was in work at a death: here we kill, and no event does
    child = os.fork()
    if child == 0:
        fuse.set(place)
        os._exit(importlib.import_module("harvester.cli").run(list(command)))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code == -signal.SIGKILL and asyncio.run(_named_is_there()) if place else code


async def _named_is_there() -> bool:
    verifying, archiving = (importlib.import_module(name) for name in ("consumers.verifying", "tests.archiving"))
    async with archiving.stored(os.environ["HARVESTER_ARCHIVE_URL"]) as objects:
        verdict = await verifying.verified(objects)
    return all("no manifest names it" in fault for fault in verdict.faults)


if __name__ == "__main__":
    fuse = _Fuse()
    crash.point = fuse  # before all that imports it by name
    for name in (*_USED, "harvester.cli"):
        importlib.import_module(name)
    sys.stdout.write(json.dumps([_ended(fuse, place, sys.argv[2:]) for place in json.loads(sys.argv[1])]))
