"""Where an address is, as a file of MaxMind says: what records hold under `geoip`."""

from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from consumers.records.record import Ip, Point
from harvester.errors import InvalidEventError
from harvester.event import Event


class Place(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Where an address is; what the file does not tell is left out."""

    ip: Annotated[str, "the address that was looked up", Ip()]
    country_code2: Annotated[str | None, "country, two letters of ISO 3166"] = None
    country_name: Annotated[str | None, "English name of the country"] = None
    continent_code: Annotated[str | None, "continent: AF, AN, AS, EU, NA, OC or SA"] = None
    region_name: Annotated[str | None, "state or province, the largest that is known"] = None
    city_name: Annotated[str | None, "English name of the city"] = None
    timezone: Annotated[str | None, "time zone, like Europe/Berlin"] = None
    latitude: Annotated[float | None, "degrees north"] = None
    longitude: Annotated[float | None, "degrees east"] = None
    location: Annotated[list[float] | None, "longitude and latitude, for maps", Point()] = None


Geoip = Place | None | UnsetType
"""None: the file does not know the address, or there is none. UNSET: no file was asked."""


def geoip(event: Event) -> Geoip:
    """What an event's look-up found. Raises InvalidEventError when its context holds something else."""
    found = event.context.get("geoip")
    return UNSET if found is None else _place(bytes(found))


_found: msgspec.json.Decoder[Place | None] = msgspec.json.Decoder(Place | None)


@lru_cache(maxsize=4096)  # a viewer's address stands in hundreds of actions
def _place(found: bytes) -> Place | None:
    try:
        return _found.decode(found)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"context holds no place: {error}") from error
