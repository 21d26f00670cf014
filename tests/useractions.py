"""User actions as events, for tests that need some."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from harvester.event import Event, event_id

TYPE = "opencast.useraction"
FIRST = datetime(2017, 10, 6, 13, 3, 2, tzinfo=UTC)
FOUND = {"title": "Lecture 10", "duration": 11520000, "start": "2015-07-22T15:59:00Z", "series": "20150333383", "type": "L10"}


def action(number: int = 101, **fields: Any) -> dict[str, Any]:
    """A record as the API gives it, in the nested shape."""
    session = {"sessionId": "node01abc", "userId": 81234567, "userIp": "203.0.113.7, 198.51.100.2", "userAgent": "Mozilla/5.0"}
    record: dict[str, Any] = {"id": number, "mediapackageId": "74b6c02f-afbb-42bc-8145-344153a1792e", "sessionId": session}
    record |= {"inpoint": 12, "outpoint": 12, "length": 0, "type": "HEARTBEAT", "isPlaying": True}
    record |= {"created": "2017-10-06T09:03:02-04:00"}
    return record | fields


def event_of(data: bytes, *, subject: str = "101", version: int = 12, source: str = "opencast", context: Any = None) -> Event:
    """The event around the bytes of one record. `context`: None for none, else the episode (... for null)."""
    number = int(subject) if subject.isdecimal() else 0
    return Event(
        id=event_id(source, TYPE, subject, data),
        source=source,
        type=TYPE,
        subject=subject,
        version=version,
        time=FIRST + timedelta(seconds=number % 86400),
        read_at=FIRST + timedelta(days=1),
        data=msgspec.Raw(data),
        context={} if context is None else {"episode": msgspec.Raw(msgspec.json.encode(None if context is ... else context))},
    )


def useraction_event(
    number: int = 101, *, version: int = 12, source: str = "opencast", context: Any = None, **fields: Any
) -> Event:
    """A user action whose outpoint is its version."""
    record = action(number, **{"outpoint": version, **fields})
    return event_of(msgspec.json.encode(record), subject=str(number), version=version, source=source, context=context)
