"""Whether the store that coverage is kept on enforces conditional writes."""

from secrets import token_hex

from harvester.commands.checks import Finding, Tell
from harvester.coverages.s3 import PROBE, prove
from harvester.objects import open_objects
from harvester.objects.s3 import S3Options
from harvester.settings import CoreSettings
from harvester.url import parse


async def look(core: CoreSettings, tell: Tell) -> None:
    """Writes an object of its own and tries to overwrite it on conditions that do not hold; it is removed in the end."""
    url = parse(core.coverage_url)
    if url.scheme != "s3":
        return
    known = "&".join(f"{name}={value}" for name, value in url.query.items() if name in S3Options.__struct_fields__)
    place = f"s3://{url.host}{url.path}" + (f"?{known}" if known else "")
    async with open_objects(place, core) as objects:
        # Its own name: a daemon that begins just now proves the same with an object that must stay.
        name = f"{PROBE}-{token_hex(8)}"
        try:
            await prove(objects, url.text, name)
        finally:
            await objects.delete([name])
    tell(Finding("coverage: s3", "ok", "it enforces conditions on writes; the object that told so is removed"))
