"""The archive as commands look at it: what is there already, and a place where nothing is told from an archive that is empty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from consumers.sinks.archive_settings import ArchiveSettings
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.objects import open_objects
from harvester.protocols import Objects
from harvester.settings import CoreSettings
from harvester.url import directory_path, parse


@asynccontextmanager
async def there(loaded: Loaded) -> AsyncIterator[Objects]:
    """Its objects; nothing is made. ConfigError: the folder or the bucket does not exist."""
    url = loaded.get(ArchiveSettings).url
    folder = _folder(url)
    if folder and not await asyncio.to_thread(folder.is_dir):
        raise ConfigError(
            f"there is no archive: the folder {folder.absolute()} does not exist (HARVESTER_ARCHIVE_URL={parse(url).text}). "
            f"Nothing was archived from here yet, or it is archived elsewhere; next: check the setting and the folder you are "
            f"in, or archive something: harvest github collect, or harvest consume archive"
        )
    async with open_objects(url, loaded.get(CoreSettings)) as objects:
        if not folder:
            await _asked(objects, url)
        yield objects


def _folder(url: str) -> Path | None:
    parsed = parse(url)
    return directory_path(parsed) if parsed.scheme == "file" else None


async def _asked(objects: Objects, url: str) -> None:
    """One name is enough to tell whether there is a bucket."""
    try:
        async for _ in objects.names(""):
            return
    except ConfigError as error:
        raise ConfigError(f"HARVESTER_ARCHIVE_URL={parse(url).text} (GCS_BUCKET_NAME): {error}") from error
