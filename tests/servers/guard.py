"""Run as a script: `guard.py FOLDER COMMAND…` runs the command until it ends, or until our own standard input does.

Whoever starts a server holds the other end of that pipe. When it lets go, or dies in whatever way, the command and all that it
started are killed, and the folder is removed: no server outlives its tests.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(folder: str, *command: str) -> int:
    # What the command started and left becomes our child, so that we can wait for its end too.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    ended = os.pidfd_open(child.pid)
    ready, _, _ = select.select([sys.stdin, ended], [], [])
    os.killpg(child.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
    code = child.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    with contextlib.suppress(FileNotFoundError):  # a Java that attaches to itself makes this socket, whatever its own folder is
        Path(f"/tmp/.java_pid{Path(folder, 'pid').read_text()}").unlink()
    if sys.stdin in ready:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
