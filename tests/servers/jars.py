"""Servers in Java that Maven's public repository has in parts, gathered once into `.cache/servers/`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.servers.java import Java, java_for, private
from tests.servers.maven import CACHE, check, kept, maven

_JAVA = (17, 17)
_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>server</artifactId><version>1</version><dependencies>{}</dependencies></project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


class Jars(NamedTuple):
    """The artifacts as group:artifact:version, the first gives the folder its name; and the digest of all that comes."""

    artifacts: Sequence[str]
    sha256: str

    @property
    def version(self) -> str:
        return self.artifacts[0].rpartition(":")[2]

    @property
    def folder(self) -> Path:
        _, artifact, version = self.artifacts[0].split(":")
        return CACHE / f"{artifact}-{version}"

    def java(self, name: str) -> Java:
        """What runs them. MissingServerError where there is none, or they neither are here nor can be fetched."""
        found = java_for(name, *_JAVA)
        check(name, self.folder)
        return found

    def gathered(self, name: str) -> Path:
        """Their folder, fetched when it is not here. MissingServerError where they cannot be had."""
        return kept(name, self.folder, lambda part: _fetch(name, self, part))

    def command(self, name: str, folder: Path, *arguments: str | Path) -> list[str | Path]:
        """A command line that writes in this folder what Java writes for itself. MissingServerError where it cannot be had."""
        java = self.java(name).home / "bin" / "java"
        return [java, *_OPTIONS, *private(folder / "tmp"), "-cp", f"{self.gathered(name)}/*", *arguments]


def _fetch(name: str, jars: Jars, to: Path) -> Path:
    pom = to / "pom.xml"
    pom.write_text(_POM.format("".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in jars.artifacts)))
    maven(name, "-f", str(pom), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={to}")
    pom.unlink()
    digest = digest_of(to)
    if digest != jars.sha256:
        raise AssertionError(f"the jars of {name} are not those that were tried: their SHA-256 is {digest}, not {jars.sha256}")
    return to


def digest_of(folder: Path) -> str:
    """Of the names and the bytes of all jars there."""
    whole = hashlib.sha256()
    for jar in sorted(folder.glob("*.jar")):
        with jar.open("rb") as file:
            whole.update(f"{jar.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
