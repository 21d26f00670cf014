"""The Javas that are installed here."""

import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.servers.protocols import MissingServerError

VECTOR = "jdk.incubator.vector"
"""What Elasticsearch asks of a Java from 21 on; a JRE that was cut down lacks it."""


class Java(NamedTuple):
    home: Path
    version: int
    modules: frozenset[str]


@cache
def installed() -> tuple[Java, ...]:
    """Each once, by the `release` file that every build brings."""
    return tuple({java.home: java for home in _places() if (java := _java(home)) is not None}.values())


def fitting(least: int, tried: int) -> Java | None:
    """The version that was tried, else the lowest from `least` on."""
    fit = [java for java in installed() if java.version >= least and (java.version < 21 or VECTOR in java.modules)]
    return min(fit, key=lambda java: (java.version != tried, java.version), default=None)


def java_for(name: str, least: int, tried: int) -> Java:
    """The same for this server. MissingServerError where none is installed."""
    if (java := fitting(least, tried)) is None:
        there = ", ".join(str(java.version) for java in installed()) or "none"
        raise MissingServerError(
            name, f"no Java {least} or newer (from 21 on with jdk.incubator.vector) here; installed: {there}"
        )
    return java


def private(folder: Path) -> tuple[str, ...]:
    """Options that keep what a Java writes for itself in this folder, instead of the system's."""
    folder.mkdir(exist_ok=True)
    return f"-Djava.io.tmpdir={folder}", "-XX:-UsePerfData"


def _places() -> Iterator[Path]:
    yield from (
        Path(home) for name, home in sorted(os.environ.items()) if name.startswith(("JAVA_HOME", "ES_JAVA_HOME")) and home
    )
    yield from sorted(Path("/usr/lib/jvm").glob("*"))
    if command := shutil.which("java"):
        yield Path(command).resolve().parents[1]


def _java(home: Path) -> Java | None:
    release = home / "release"
    if not (home / "bin" / "java").exists() or not release.exists():
        return None
    told = dict(re.findall(r'^(\w+)="(.*)"$', release.read_text(), re.MULTILINE))
    version = re.match(r"\d+", told.get("JAVA_VERSION", ""))
    return Java(home.resolve(), int(version[0]), frozenset(told.get("MODULES", "").split())) if version else None
