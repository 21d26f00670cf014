"""Stores of objects, picked by URL: for letters, books, the archive and payloads that are too large for a queue."""

from contextlib import AbstractAsyncContextManager

from harvester import drivers
from harvester.access import NOBODY, Access
from harvester.protocols import Objects

DRIVERS = {
    "file": "harvester.objects.file:open_objects",
    "gs": "harvester.objects.gs:open_objects",
    "s3": "harvester.objects.s3:open_objects",
}


def open_objects(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[Objects]:
    """The objects at `url`: `s3://bucket/prefix`, `gs://bucket/prefix` or `file:///srv/objects`. `access` says who we are there.

    ConfigError: no such scheme or option, or the driver's library is not installed.
    """
    opened: AbstractAsyncContextManager[Objects] = drivers.driver("store of objects", url, DRIVERS)(url, access)
    return opened


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    return drivers.known("store of objects", url, DRIVERS)
