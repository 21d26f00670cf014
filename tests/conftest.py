"""What holds for every test."""

import os
import tempfile
from contextlib import suppress

from hypothesis import HealthCheck, settings

MEMORY = "/dev/shm"
"""Where files are memory. A killed process loses nothing that it wrote there either, and no test cuts the power."""
ROOM = 4 * 2**30
"""Bytes: several times what a run of all tests has at once."""


def in_memory() -> None:
    """Let all temporary files be there, of our processes and servers too: on a disk, tests wait for it more than they work."""
    with suppress(OSError):
        found = os.statvfs(MEMORY)
        runs = not found.f_flag & os.ST_NOEXEC  # tests write programs
        if runs and found.f_bavail * found.f_frsize >= ROOM and os.access(MEMORY, os.W_OK):
            os.environ["TMPDIR"] = MEMORY
            tempfile.tempdir = None  # it was found before


if "TMPDIR" not in os.environ:
    in_memory()

# A busy machine is slow, not wrong: a property is judged by its outcome alone.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

pytest_plugins = ["tests.servers.fixtures", "tests.servers.order"]
