"""Stores of coverage, picked by URL."""

from contextlib import AbstractAsyncContextManager

from harvester import drivers
from harvester.access import NOBODY, Access
from harvester.protocols import CoverageStore
from harvester.url import parse

DRIVERS = {
    "file": "harvester.coverages.file:open_coverages",
    "redis": "harvester.coverages.redis:open_coverages",
    "rediss": "harvester.coverages.redis:open_coverages",
    "s3": "harvester.coverages.s3:open_coverages",
}


def open_coverages(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[CoverageStore]:
    """The books at `url`: `file://var/coverage`, `redis://host:6379/0` or `s3://bucket/prefix`. `access` says who we are there.

    ConfigError: no such scheme or option, or the driver's library is not installed.
    """
    opened: AbstractAsyncContextManager[CoverageStore] = drivers.driver("store of coverage", url, DRIVERS)(url, access)
    return opened


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    return drivers.known("store of coverage", url, DRIVERS)


def shared(url: str) -> bool:
    """Whether processes of several hosts can have their books there: not in a folder."""
    return parse(url).scheme != "file"
