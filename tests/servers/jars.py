"""Servers in Java that Maven's public repository has in parts, gathered once into `.cache/servers/`."""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.servers.maven import CACHE, PATIENCE, alone
from tests.servers.protocols import MissingServerError

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


def check_jars(name: str, jars: Jars) -> None:
    """MissingServerError where they neither are here nor can be fetched; fetches nothing."""
    if not jars.folder.exists() and shutil.which("mvn") is None:
        raise MissingServerError(name, "no Maven (mvn) here to fetch it with")


def gathered(name: str, jars: Jars) -> Path:
    """Their folder, fetched when it is not here; it is never seen half there. MissingServerError where they cannot be had."""
    check_jars(name, jars)
    with alone(jars.folder):
        if not jars.folder.exists():
            part = jars.folder.with_name(f"{jars.folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of a run that was cut; we hold the lock, so nobody is at it
            _fetch(name, jars, part)
            part.rename(jars.folder)
    return jars.folder


def _fetch(name: str, jars: Jars, to: Path) -> None:
    to.mkdir(parents=True)
    pom = to / "pom.xml"
    pom.write_text(_POM.format("".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in jars.artifacts)))
    command = ["mvn", "-B", "-q", "-C", "-f", str(pom), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={to}"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingServerError(name, f"{' '.join(command)} did not end in {PATIENCE} s") from error
    if done.returncode:
        raise MissingServerError(name, f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[:500]}")
    pom.unlink()
    digest = digest_of(to)
    if digest != jars.sha256:
        raise AssertionError(f"the jars of {name} are not those that were tried: their SHA-256 is {digest}, not {jars.sha256}")


def digest_of(folder: Path) -> str:
    """Of the names and the bytes of all jars there."""
    whole = hashlib.sha256()
    for jar in sorted(folder.glob("*.jar")):
        with jar.open("rb") as file:
            whole.update(f"{jar.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
