"""Servers from Maven's public repository, each fetched once into `.cache/servers/`."""

import fcntl
import hashlib
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers.protocols import MissingServerError

CACHE = Path(__file__).parents[2] / ".cache" / "servers"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
PATIENCE = 1800  # seconds for one download, over a poor line too


class Archive(NamedTuple):
    """A zip with one folder in it, named as the server and its version."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def folder(self) -> Path:
        return CACHE / f"{self.artifact}-{self.version}"


def unpacked(name: str, archive: Archive) -> Path:
    """Its folder, fetched when it is not here. MissingServerError where it cannot be had."""

    def make(part: Path) -> Path:
        _unpack(_fetch(name, archive, part), part)
        return part / archive.folder.name

    return kept(name, archive.folder, make)


def check(name: str, folder: Path) -> None:
    """MissingServerError where the folder neither is here nor can be fetched; fetches nothing."""
    if not folder.exists() and shutil.which("mvn") is None:
        raise MissingServerError(name, "no Maven (mvn) here to fetch it with")


def kept(name: str, folder: Path, make: Callable[[Path], Path]) -> Path:
    """The folder, never seen half there: `make` is given a place when it is not here, and tells what of it is to be the folder.

    Raises as `check` and `make` do.
    """
    check(name, folder)
    with alone(folder):
        if not folder.exists():
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of a run that was cut; we hold the lock, so nobody is at it
            part.mkdir()
            make(part).rename(folder)
            shutil.rmtree(part, ignore_errors=True)
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While the block runs, no other run fetches the same; the kernel lets go of the lock of a process that died."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def maven(name: str, *arguments: str) -> None:
    """One run of it. MissingServerError when it fails or does not end."""
    command = ["mvn", "-B", "-q", "-C", *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingServerError(name, f"{' '.join(command)} did not end in {PATIENCE} s") from error
    if done.returncode:
        raise MissingServerError(name, f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[:500]}")


def _fetch(name: str, archive: Archive, to: Path) -> Path:
    artifact = f"{archive.group}:{archive.artifact}:{archive.version}:zip"
    maven(name, COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={to}")
    (found,) = to.glob("*.zip")
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        raise AssertionError(f"{found.name} is not the file that was tried: its SHA-256 is {digest}, not {archive.sha256}")
    return found


def _unpack(file: Path, to: Path) -> None:
    with zipfile.ZipFile(file) as packed:
        for entry in packed.infolist():
            made = Path(packed.extract(entry, to))
            if mode := entry.external_attr >> 16 & 0o777:  # zipfile drops it, and bin/* would not run
                made.chmod(mode | 0o200)
