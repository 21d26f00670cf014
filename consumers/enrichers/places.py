"""Places: where the address of a viewer or participant is, by a file of MaxMind (GeoLite2 City, GeoIP2 City or Country).

Nobody is asked over the network: addresses do not leave this host.
"""

import ipaddress
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from consumers.enrichers import with_context
from consumers.records.opencast import viewer_address
from consumers.records.places import Place
from consumers.records.zoom import participant_address
from harvester.errors import ConfigError
from harvester.event import Event
from harvester.logs import get_logger

LOOK = 60.0
"""Seconds between two looks at whether the file was replaced: MaxMind's are new twice a week."""
_NOTHING = msgspec.Raw(b"null")
_ADDRESSES: dict[str, Callable[[Event], str | None]] = {
    "opencast.useraction": viewer_address,
    "zoom.session": participant_address,
}


class GeoipSettings(BaseModel):
    """Where addresses are looked up."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    path: Annotated[
        str,
        Field(
            validation_alias=AliasChoices("HARVESTER_GEOIP_PATH", "GEOLITE_PATH"),
            description="a .mmdb file of MaxMind, such as GeoLite2-City.mmdb; empty: records have no geoip",
        ),
    ] = ""


class Places:
    """`context["geoip"]`: where the address is, null when the file does not know it, or there is none.

    A file that is replaced is opened anew within a minute; one that cannot be read is told, and the old one stays in use.
    """

    name = "geoip"
    away = False

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen, self._reader = _opened(path)
        self._looked = clock()
        self._find = lru_cache(maxsize=16384)(self._look_up)

    @property
    def built(self) -> datetime:
        """When the file was made, as it says itself."""
        return datetime.fromtimestamp(self._reader.metadata().build_epoch, UTC)

    @property
    def kind(self) -> str:
        """Which of MaxMind's files it is."""
        return str(self._reader.metadata().database_type)

    def concerns(self, event: Event) -> bool:
        """User actions and sessions."""
        return event.type in _ADDRESSES

    async def enrich(self, events: Sequence[Event], *, patient: bool = False) -> Sequence[Event]:  # noqa: ARG002 - never waits
        """The events with their places."""
        self._look_again()
        return [event if (address := _ADDRESSES.get(event.type)) is None else self._placed(event, address) for event in events]

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def _placed(self, event: Event, address: Callable[[Event], str | None]) -> Event:
        if self.name in event.context:
            return event
        found = address(event)
        return with_context(event, self.name, _NOTHING if found is None else self._find(found))

    def _look_up(self, text: str) -> msgspec.Raw:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:  # "unknown", a hash, or what a viewer forged
            return _NOTHING
        try:
            found = self._reader.get(address)
        except (ValueError, RuntimeError):  # IPv6 in a file that has none, or a damaged place in it
            return _NOTHING
        return msgspec.Raw(msgspec.json.encode(place(text, found))) if isinstance(found, dict) else _NOTHING

    def _look_again(self) -> None:
        if self._clock() < self._looked + LOOK:
            return
        self._looked = self._clock()
        try:
            if _state(self._path) == self._seen:
                return
            seen, reader = _opened(self._path)
        except (OSError, ConfigError) as error:
            get_logger("enrich").warning("the file of places cannot be read: the old one stays in use", error=str(error))
            return
        self._reader.close()
        self._seen, self._reader = seen, reader
        self._find.cache_clear()


@asynccontextmanager
async def open_places(settings: GeoipSettings) -> AsyncIterator[Places]:
    """ConfigError when the file cannot be read."""
    places = Places(Path(settings.path))
    try:
        yield places
    finally:
        places.close()


def place(address: str, found: dict[str, Any]) -> Place:
    """What a file says of an address; leaves of another type than they should have are left out."""
    latitude, longitude = (_number(found, "location", name) for name in ("latitude", "longitude"))
    return Place(
        ip=address,
        country_code2=_text(found, "country", "iso_code"),
        country_name=_text(found, "country", "names", "en"),
        continent_code=_text(found, "continent", "code"),
        region_name=_text(found, "subdivisions", 0, "names", "en"),
        city_name=_text(found, "city", "names", "en"),
        timezone=_text(found, "location", "time_zone"),
        latitude=latitude,
        longitude=longitude,
        location=None if latitude is None or longitude is None else [longitude, latitude],
    )


def _leaf(found: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            return None
    return found


def _text(found: Any, *path: str | int) -> str | None:
    value = _leaf(found, *path)
    return value if isinstance(value, str) and value else None


def _number(found: Any, *path: str | int) -> float | None:
    value = _leaf(found, *path)
    return float(value) if isinstance(value, int | float) else None


def _state(path: Path) -> tuple[int, int, int]:
    told = os.stat(path)  # noqa: PTH116 - one call for three facts
    return told.st_ino, told.st_mtime_ns, told.st_size


def _opened(path: Path) -> tuple[tuple[int, int, int], Any]:
    """A copy of the file as it is now: it costs as much memory as it has bytes (GeoLite2 City 60 MB, Country 10 MB).

    The file itself is not mapped: whoever copies a new one over it would kill this process.
    """
    try:
        import maxminddb  # noqa: PLC0415 - an extra, which only those need who have a file
    except ImportError as error:
        raise ConfigError(
            'HARVESTER_GEOIP_PATH is set, and the library that reads the file is missing: pip install "event-harvester[geoip]"'
        ) from error
    try:
        seen, content = _state(path), path.read_bytes()
        if not hasattr(os, "memfd_create"):
            return seen, maxminddb.open_database(BytesIO(content), maxminddb.MODE_FD)
        file = os.memfd_create("places")
        with os.fdopen(file, "wb") as held:
            held.write(content)
            held.flush()
            return seen, maxminddb.open_database(f"/proc/self/fd/{file}")
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise ConfigError(
            f"HARVESTER_GEOIP_PATH: {path} is no file of MaxMind that can be read ({error}): "
            "fetch GeoLite2-City.mmdb from your MaxMind account, or leave the setting out"
        ) from error
