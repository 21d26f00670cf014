"""Canned user actions: what the servers serve and the queues hold. The same numbers give the same bytes."""

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from harvester.event import encode_event
from harvester.protocols import Message
from harvester.sources.opencast_rows import useraction_event

T = TypeVar("T")
FIRST_HOUR = datetime(2026, 3, 2, tzinfo=UTC)
"""A past that has come to rest: every window is final when it is read."""
RECORDINGS = 1000
_VARIANTS = 200
_TYPES = ("HEARTBEAT", "HEARTBEAT", "HEARTBEAT", "PLAY", "PAUSE", "SEEK", "FOOTPRINT", "RESIZE-TO-1280x720")
_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36 Edg/{}.0 "
)
_PLUGINS = (
    "captions",
    "slides",
    "transcript",
    "annotations",
    "quality",
    "speed",
    "chapters",
    "download",
    "notes",
    "search",
    "polls",
    "zoom",
    "share",
)
_ROW = (
    b'{"id":%%d,"mediapackageId":"%%b","sessionId":%b,"inpoint":%%d,"outpoint":%%d,"length":0,"type":%b,"isPlaying":%b,'
    b'"created":"%%b"%b}'
)


def mpid(number: int) -> str:
    """The id of a recording."""
    return f"74b6c02f-afbb-42bc-8145-{number:012x}"


def episode(number: int) -> dict[str, object]:
    """What the search service knows of a recording, as the enricher keeps it."""
    start = (FIRST_HOUR - timedelta(days=number % 100)).isoformat()
    title, series = f"Lecture {number}: eigenvalues and what they are good for", f"2026033{number % 10000:04d}"
    return {"title": title, "duration": 5_400_000, "start": start, "course": "Linear Algebra", "series": series, "type": "L10"}


def found_episode(id_: str) -> bytes:
    """What the search service of an Opencast 16 answers for the recording of that id."""
    found = episode(int(id_.rpartition("-")[2], 16))
    package = {"id": id_, "title": found["title"], "duration": found["duration"], "start": found["start"]}
    package |= {"series": found["series"], "seriestitle": found["course"]}
    return msgspec.json.encode({"total": 1, "result": [{"mediapackage": package, "dc": {"type": [found["type"]]}}]})


def row(number: int, created: datetime, *, large: bool = False) -> bytes:
    """One action as `actions.json` holds it, about 600 bytes; `large`: 1.4 KB, with fields that no record asks for."""
    template = _templates(large)[number % _VARIANTS]
    inpoint = number * 7 % 5400
    return template % (number, mpid(number * 31 % RECORDINGS).encode(), inpoint, inpoint, created.isoformat().encode())


def rows_of_hour(start: datetime, amount: int) -> list[bytes]:
    """The actions of the hour that begins at `start`; none before FIRST_HOUR."""
    hour = (start - FIRST_HOUR) // timedelta(hours=1)
    if hour < 0:
        return []
    # Never on the hour itself, which two windows of an API with an inclusive end share.
    return [row(hour * amount + n + 1, start + timedelta(seconds=1 + n * 3598 // amount)) for n in range(amount)]


def messages(amount: int, *, large: bool = False) -> Iterator[Message]:
    """What a queue holds after a harvest: about 800 bytes each, `large` 1.6 KB."""
    zone = ZoneInfo("UTC")
    for number in range(1, amount + 1):
        created = FIRST_HOUR + timedelta(seconds=number)
        event = useraction_event(row(number, created, large=large), "opencast", created, zone)
        yield Message(event.key, encode_event(event))


def batched(held: Iterable[T], size: int) -> Iterator[list[T]]:
    """As many at a time."""
    rest = iter(held)
    while some := list(islice(rest, size)):
        yield some


@cache
def _templates(large: bool) -> Sequence[bytes]:
    return [_template(random.Random(nth), large=large) for nth in range(_VARIANTS)]


def _template(rng: random.Random, *, large: bool) -> bytes:
    session = {
        "sessionId": f"node0{rng.getrandbits(80):020x}{rng.randrange(1000)}",
        "userId": rng.randrange(10_000_000, 100_000_000),
        "userIp": f"203.0.113.{rng.randrange(256)}, 198.51.100.{rng.randrange(256)}, 10.0.{rng.randrange(256)}.2",
        "userAgent": (_AGENT.format(rng.randrange(100, 140), rng.randrange(100, 140)) * 2)[:255],
    }
    encode = msgspec.json.encode
    extra = b',"plugins":' + encode([_plugin(rng, name) for name in _PLUGINS]) if large else b""
    return _ROW % (encode(session), encode(rng.choice(_TYPES)), encode(rng.random() < 0.9), extra)


def _plugin(rng: random.Random, name: str) -> dict[str, object]:
    return {"name": name, "enabled": rng.random() < 0.5, "clicks": rng.randrange(50), "volume": round(rng.random(), 3)}
