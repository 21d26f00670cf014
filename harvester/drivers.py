"""How a driver is found: its module, and with it its library, is imported when a URL asks for it."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from harvester.access import Access
from harvester.errors import ConfigError
from harvester.faults import unknown
from harvester.url import parse

EXTRAS: Mapping[str, str] = {"gs": "gcs", "kafka": "kafka", "redis": "redis", "rediss": "redis", "s3": "aws", "sqs": "aws"}
"""Scheme → the extra of this package that brings its library. The others need none."""


def known(kind: str, url: str, drivers: Mapping[str, str]) -> str:
    """The scheme of `url`, which is imported only by `driver`. ConfigError: there is no such `kind` of thing."""
    scheme = parse(url).scheme
    if scheme not in drivers:
        raise ConfigError(unknown(kind, scheme, drivers))
    return scheme


def driver(kind: str, url: str, drivers: Mapping[str, str]) -> Callable[..., Any]:
    """The opener, written "module:function", that `url` asks for. ConfigError: none such, or its library is missing."""
    scheme = known(kind, url, drivers)
    opener: Callable[..., Any] = getattr(_module(scheme, drivers), drivers[scheme].partition(":")[2])
    return opener


async def prepare(kind: str, url: str, drivers: Mapping[str, str], access: Access) -> Sequence[str]:
    """Make what the server behind `url` lacks, a line for each; nothing where its driver offers no `prepare(url, access)`.

    May be repeated. Raises what the driver raises, and as `driver` does.
    """
    scheme = known(kind, url, drivers)
    preparing = getattr(_module(scheme, drivers), "prepare", None)
    made: Sequence[str] = () if preparing is None else await preparing(url, access)
    return made


def _module(scheme: str, drivers: Mapping[str, str]) -> ModuleType:
    try:
        return import_module(drivers[scheme].partition(":")[0])
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(scheme)
        if extra is None or (error.name or "").split(".")[0] in ("harvester", "consumers"):
            raise
        raise ConfigError(f"{scheme}:// needs {error.name}: install event-harvester[{extra}]") from error
