"""Wipes of an archive: what was deleted on purpose, so that nobody takes it for damage.

    _wiped/20261128T120000Z-acme-widgets-5d0f1a2b.json

A wipe is written before the first object is deleted; the objects that it names are no part of the archive from then on, unless
a manifest that is younger names them again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from urllib.parse import quote

import msgspec

from harvester.errors import ConfigError, PermanentError
from harvester.protocols import Objects
from harvester.retry import ONE_SHOT, retrying

FORMAT = 1
FOLDER = "_wiped/"
_AT_ONCE = 500


class Wipe(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted, of which repository, and when."""

    format: int = FORMAT
    repository: str
    """Owner and name, joined by a slash."""
    written: datetime
    objects: Sequence[str]


class _Version(msgspec.Struct, frozen=True):
    format: int


class Wiped:
    """All wipes of an archive."""

    def __init__(self, wipes: Sequence[Wipe] = ()) -> None:
        self._when: dict[str, datetime] = {}
        for wipe in wipes:
            for name in wipe.objects:
                self._when[name] = max(wipe.written, self._when.get(name, wipe.written))

    def holds(self, name: str, named: datetime) -> bool:
        """Whether this object was wiped after the manifest that names it was written."""
        when = self._when.get(name)
        return when is not None and when >= named


async def wiped(objects: Objects) -> Wiped:
    """ConfigError: a newer version of ours wrote one. PermanentError: one is damaged."""
    found: list[Wipe] = []
    async for name in objects.names(FOLDER):
        stored = await retrying(lambda name=name: objects.get(name), ONE_SHOT)  # type: ignore[misc] # its default
        if stored is None:
            continue
        try:
            version = msgspec.json.decode(stored.body, type=_Version).format
            if version > FORMAT:
                raise ConfigError(f"{name}: a wipe of format {version}, this version reads up to {FORMAT}: upgrade this process")
            found.append(msgspec.json.decode(stored.body, type=Wipe))
        except msgspec.MsgspecError as error:
            raise PermanentError(f"{name}: damaged: {error}; next: bring it back from a copy") from error
    return Wiped(found)


async def wipe(objects: Objects, repository: str, names: Sequence[str]) -> None:
    """Delete these objects for good. Killed in the middle it is given again: what is left is deleted then."""
    now = datetime.now(UTC)
    note = Wipe(repository=repository, written=now, objects=names)
    place = f"{FOLDER}{now:%Y%m%dT%H%M%SZ}-{quote(repository.replace('/', '-'), safe='')}-{token_hex(4)}.json"
    await retrying(lambda: objects.put(place, msgspec.json.encode(note)), ONE_SHOT)
    for at in range(0, len(names), _AT_ONCE):
        await retrying(lambda at=at: objects.delete(names[at : at + _AT_ONCE]), ONE_SHOT)  # type: ignore[misc] # its default
