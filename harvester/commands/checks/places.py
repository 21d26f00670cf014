"""The file of places: whether it can be opened, and how old it is."""

import asyncio
from datetime import UTC, datetime, timedelta

from consumers.enrichers.places import GeoipSettings, open_places
from harvester.commands.checks import Check, Finding, Tell

_OLD = timedelta(days=60)
"""MaxMind gives a new file twice a week, and its licence wants old ones deleted within thirty days."""


def places_check(settings: GeoipSettings) -> Check:
    """The check of a file that is set."""

    async def look(tell: Tell) -> None:
        built, kind = await asyncio.to_thread(asyncio.run, _opened(settings))
        days = (datetime.now(UTC) - built).days
        text = f"{settings.path}: {kind} of {built:%Y-%m-%d}, {days:,} days old"
        old = built < datetime.now(UTC) - _OLD
        fix = "fetch a new one with MaxMind's geoipupdate, once a week: places move" if old else ""
        tell(Finding("places", "warn" if old else "ok", text, fix))

    return Check("places", look)


async def _opened(settings: GeoipSettings) -> tuple[datetime, str]:
    """When it was made, and what it is. Raises ConfigError when it cannot be read."""
    async with open_places(settings) as places:
        return places.built, places.kind
