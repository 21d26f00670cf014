"""Writes files in MaxMind's format (MaxMind DB file format specification 2.0), for tests that need a few addresses in one."""

import ipaddress
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MARK = b"\xab\xcd\xefMaxMind.com"
BOSTON = {
    "city": {"names": {"de": "Boston (Massachusetts)", "en": "Boston"}},
    "continent": {"code": "NA", "names": {"en": "North America"}},
    "country": {"iso_code": "US", "names": {"de": "USA", "en": "United States"}},
    "location": {"latitude": 42.36, "longitude": -71.05, "time_zone": "America/New_York", "metro_code": 506},
    "subdivisions": [{"iso_code": "MA", "names": {"en": "Massachusetts"}}],
}
BUILT = datetime.fromtimestamp(1_700_000_000, UTC)
GERMANY = {"country": {"iso_code": "DE", "names": {"en": "Germany"}}}


class _Short(int):
    """Two bytes."""


class _Long(int):
    """Eight bytes."""


def write_mmdb(path: Path, networks: Mapping[str, Any], *, version: int = 6, built: datetime = BUILT) -> Path:
    """A file of that IP version, complete at once: what stood at `path` before is replaced, as geoipupdate does it."""
    nodes: list[list[int | None]] = [[None, None]]
    data, places = b"", dict[tuple[int, int], int]()
    for text, found in networks.items():
        network = ipaddress.ip_network(text)
        spare = 96 if version == 6 and network.version == 4 else 0
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
        at = 0
        bits = "0" * spare + bits
        for bit in bits[:-1]:
            step = nodes[at][int(bit)]
            if step is None:
                nodes.append([None, None])
                step = nodes[at][int(bit)] = len(nodes) - 1
            at = step
        places[at, int(bits[-1])] = len(data)
        data += _value(found)
    count, tree = len(nodes), b""
    for number, node in enumerate(nodes):
        for side, step in enumerate(node):
            place = places.get((number, side))
            to = step if step is not None else count if place is None else count + 16 + place
            tree += to.to_bytes(3, "big")
    told: dict[str, Any] = {
        "node_count": count,
        "database_type": "GeoLite2-City",
        "languages": ["en"],
        "description": {"en": "test"},
    }
    told |= {"record_size": _Short(24), "ip_version": _Short(version), "build_epoch": _Long(int(built.timestamp()))}
    told |= {"binary_format_major_version": _Short(2), "binary_format_minor_version": _Short(0)}
    fresh = path.with_suffix(".new")
    fresh.write_bytes(tree + bytes(16) + data + _MARK + _value(told))
    return fresh.replace(path)


def _value(value: Any) -> bytes:  # noqa: PLR0911 - one for each type of the format
    match value:
        case str():
            return _head(2, len(value.encode())) + value.encode()
        case float():
            return _head(3, 8) + struct.pack(">d", value)
        case _Short():
            return _head(5, 2) + value.to_bytes(2, "big")
        case _Long():
            return _head(9, 8) + value.to_bytes(8, "big")
        case int():
            return _head(6, 4) + value.to_bytes(4, "big")
        case dict():
            return _head(7, len(value)) + b"".join(_value(part) for pair in value.items() for part in pair)
        case list():
            return _head(11, len(value)) + b"".join(map(_value, value))
    raise TypeError(value)


def _head(kind: int, size: int) -> bytes:
    assert size < 285
    low, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return (bytes([kind << 5 | low]) if kind < 8 else bytes([low, kind - 7])) + more
