"""Rotation: a secret that stands in a file of its own is read again when a server refuses it, so that no restart is needed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from pydantic import SecretStr

from harvester import redact
from harvester.layers import read_value

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class FileSecret(SecretStr):
    """A secret as it was at the start, and the file it stands in."""

    def __init__(self, value: str, path: Path) -> None:
        super().__init__(value)
        self.path = path


def with_file(value: object, path: Path) -> object:
    """A setting that stands in this file: a secret remembers it, anything else stays as it is."""
    return FileSecret(value.get_secret_value(), path) if isinstance(value, SecretStr) else value


def reread(secret: SecretStr) -> str | None:
    """What the secret's file holds now, hidden in logs from then on; None without a file, or when that cannot serve."""
    if not isinstance(secret, FileSecret):
        return None
    try:
        value = read_value(secret.path, secret=True)
    except ValueError as error:
        _log.warning("the file of a refused secret cannot be read again", error=str(error))
        return None
    redact.learn(value)
    return value


class Renewed(Generic[T]):
    """A login that many requests share. What a server refused is never sent again: only what its file has since."""

    def __init__(self, name: str, login: T, again: Callable[[], T | None]) -> None:
        self._name = name
        self._again = again
        self._reading = asyncio.Lock()
        self.login = login
        """The newest."""

    async def after(self, refused: T) -> T | None:
        """Another login than the refused one; None: there is none. The file is read once for all who wait here."""
        async with self._reading:
            if self.login == refused:
                found = await asyncio.to_thread(self._again)
                if found is None or found == refused:
                    return None
                self.login = found
                _log.info("login was refused; its file has another, which is used from now on", name=self._name)
            return self.login
