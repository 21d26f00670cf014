"""Where a site of the crash proof keeps its queue, its coverage and its letters: in its own folder, or on real servers.

Servers are shared: each site has a prefix, a queue or a bucket of its own there.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from harvester import coverages, drivers, letters, queues
from harvester.access import Access
from tests import services
from tests.services import Own

QUEUES = ("sqlite", "kafka", "sqs")
COVERAGES = ("file", "redis", "s3")
KEYS = {
    "HARVESTER_AWS_ACCESS_KEY_ID": "any",
    "HARVESTER_AWS_SECRET_ACCESS_KEY": "any",
    "HARVESTER_AWS_REGION": "eu-west-1",
}
TERM = 1
"""Seconds until a member, a lease or a message that somebody took is given to another, when he was killed."""


class Cell(NamedTuple):
    """One of the matrix: which queue, and which store of coverage."""

    queue: str = "sqlite"
    coverage: str = "file"

    def __str__(self) -> str:
        return f"{self.queue} × {self.coverage}"

    @property
    def servers(self) -> Sequence[str]:
        """The rows of tests.services that it needs."""
        return [name for name in self if name in services.OWN]

    @property
    def counted(self) -> bool:
        """Whether the counts lie where the positions do, so that every event is accounted for by equations."""
        return self.queue != "sqs"


def place(cell: Cell, folder: Path, name: str, url_of: Callable[[str], str]) -> Mapping[str, str]:
    """The settings of a site in that folder. `url_of` a server; `name` is the site's own there: lower case and hyphens."""
    return {
        **KEYS,
        "HARVESTER_QUEUE_URL": _queue(cell.queue, folder, name, url_of),
        "HARVESTER_COVERAGE_URL": _coverage(cell.coverage, folder, name, url_of),
        "HARVESTER_LETTERS_URL": _letters(cell, folder, name, url_of),
    }


def _queue(kind: str, folder: Path, name: str, url_of: Callable[[str], str]) -> str:
    if kind == "kafka":
        return f"kafka://{url_of('kafka')}/{name}?partitions=3&session_timeout={TERM}"
    if kind == "sqs":
        return f"sqs://eu-west-1/{name}?groups=elasticsearch&endpoint={url_of('sqs')}&visibility={TERM}"
    return f"sqlite:///{folder / 'var' / 'queue.db'}"


def _coverage(kind: str, folder: Path, name: str, url_of: Callable[[str], str]) -> str:
    if kind == "redis":
        return f"{url_of('redis')}/0?prefix={name}&lease={TERM}"
    if kind == "s3":
        return f"s3://{name}/coverage?endpoint={url_of('s3')}&lease={TERM}"
    return f"file://{folder / 'var' / 'coverage'}"


def _letters(cell: Cell, folder: Path, name: str, url_of: Callable[[str], str]) -> str:
    if cell.queue == "sqlite":
        return f"sqlite:///{folder / 'var' / 'letters.db'}"
    if cell.coverage == "s3":
        return f"s3://{name}/letters?endpoint={url_of('s3')}"
    return f"file://{folder / 'var' / 'letters'}"


def access_of(settings: Mapping[str, str]) -> Access:
    """The logins among these settings."""
    return Access.model_validate(settings)


def prepare(settings: Mapping[str, str]) -> None:
    """What the drivers make at their servers before the first event. ConfigError: there is no such driver."""
    families = (("QUEUE", queues), ("COVERAGE", coverages), ("LETTERS", letters))
    for family, package in families:
        url, known = settings[f"HARVESTER_{family}_URL"], package.DRIVERS
        module = import_module(known[drivers.known(f"{family.lower()} driver", url, known)].partition(":")[0])
        if making := getattr(module, "prepare", None):
            asyncio.run(making(url, access_of(settings)))


class Nodes:
    """The servers of a whole run, each started when it is asked for the first time, to be killed at will."""

    def __init__(self, ends: ExitStack) -> None:
        self._ends = ends
        self._running: dict[str, Own] = {}

    def get(self, name: str) -> Own:
        """MissingServerError where it cannot be had."""
        if name not in self._running:
            self._running[name] = self._ends.enter_context(services.own(name))
        return self._running[name]

    def url(self, name: str) -> str:
        return self.get(name).url

    def mortal(self, names: Iterable[str]) -> list[Own]:
        """Those that keep what they acknowledged when they are killed."""
        return [self.get(name) for name in names if name in ("kafka", "redis")]
