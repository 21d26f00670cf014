"""Stores of dead letters, picked by URL."""

from contextlib import AbstractAsyncContextManager

from harvester import drivers
from harvester.access import NOBODY, Access
from harvester.protocols import DeadLetters

DRIVERS = {
    "file": "harvester.letters.objects:open_letters",
    "gs": "harvester.letters.objects:open_letters",
    "s3": "harvester.letters.objects:open_letters",
    "sqlite": "harvester.letters.sqlite:open_letters",
}


def open_letters(url: str, access: Access = NOBODY) -> AbstractAsyncContextManager[DeadLetters]:
    """The letters at `url`: `sqlite:///var/letters.db`, `file:///srv/x`, `s3://bucket/prefix` or `gs://bucket/prefix`.

    `access` says who we are there.
    ConfigError: no such scheme or option, or the driver's library is not installed.
    """
    opened: AbstractAsyncContextManager[DeadLetters] = drivers.driver("store of letters", url, DRIVERS)(url, access)
    return opened


def known(url: str) -> str:
    """The driver that `url` asks for, which is not imported yet. ConfigError: there is none of that name."""
    return drivers.known("store of letters", url, DRIVERS)
