"""The archive: whether it can be reached, and when something was written last."""

from consumers.segments import MANIFESTS
from consumers.sinks.archive_settings import ArchiveSettings
from harvester.commands.checks import Finding, Tell
from harvester.objects import open_objects
from harvester.settings import CoreSettings


async def look(settings: ArchiveSettings, core: CoreSettings, title: str, tell: Tell) -> None:
    """Lists it, and writes nothing."""
    first = ""
    async with open_objects(settings.url, core) as objects:
        async for name in objects.names(MANIFESTS):
            first = name.removeprefix(MANIFESTS).partition("/")[0]
            break
    told = f"since {first}" if first else "nothing is in it yet"
    tell(Finding(title, "ok", f"it can be listed; {told}"))
