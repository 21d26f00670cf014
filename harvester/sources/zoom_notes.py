"""What is noted of Zoom between live polls: whose participants are read already, and how much of the day's calls is spent.

Only what came back as notes may be believed: they are stored together with the coverage that they are true for.
"""

from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from harvester.limits import Spent
from harvester.sources.zoom_limits import Budget
from harvester.sources.zoom_rows import Meeting

_FORMAT = 2
_MOST = 10_000
"""Meetings that are noted: some hundred kilobytes in the book, and three days of an account with 3,300 meetings a day."""
_SOON = timedelta(minutes=5)
_EPOCH = date(1970, 1, 1)


class Seen(NamedTuple):
    """A meeting whose participants were read. `due`: when to ask again although it did not change (0: never)."""

    digest: bytes
    start: int
    due: int
    people: int | None


class _Notes(msgspec.Struct, array_like=True):
    format: int
    day: int
    calls: int
    account: int
    allowed: int
    most: int
    blocked_until: float
    meetings: list[tuple[bytes, bytes, int, int, int | None]]


class Memory:
    """What one live poll knows, which grows as it reads."""

    def __init__(self, seen: dict[bytes, Seen] | None = None) -> None:
        self._seen = seen or {}

    @classmethod
    def decoded(cls, notes: bytes, budget: Budget) -> "Memory":
        """Empty for what no notes of ours are. The budget gets to know what was spent."""
        found = _decoded(notes)
        if found is None:
            return cls()
        budget.remember(found.day, found.calls, found.blocked_until, found.account, found.allowed)
        return cls({entry[0]: Seen(*entry[1:]) for entry in found.meetings})

    def encoded(self, oldest: datetime, budget: Budget) -> bytes:
        """As notes. What began before `oldest` is not read again."""
        edge = int(oldest.timestamp())
        newest = sorted(((k, *s) for k, s in self._seen.items() if s.start >= edge), key=lambda entry: entry[2])[-_MOST:]
        spent = (budget.day, budget.calls, budget.account, budget.allowed, budget.most, budget.blocked_until)
        return msgspec.msgpack.encode(_Notes(_FORMAT, *spent, newest))

    def unchanged(self, meeting: Meeting, now: datetime) -> Seen | None:
        """What is known of a meeting whose participants need not be asked for again."""
        seen = self._seen.get(_key(meeting))
        if seen is None or seen.digest != meeting.digest or 0 < seen.due <= now.timestamp():
            return None
        return seen

    def read(self, meeting: Meeting, rows: int, people: int | None, now: datetime) -> None:
        """Its participants were read. Where fewer came than Zoom counted, they are due again after as long as it is over."""
        whole = meeting.expected is not None and rows >= meeting.expected
        age = max(now - (meeting.end or meeting.start), _SOON)
        due = 0 if whole else int((now + age).timestamp())
        self._seen[_key(meeting)] = Seen(meeting.digest, int(meeting.start.timestamp()), due, people)


def spent(notes: bytes) -> Spent | None:
    """What of a day's calls is spent, as notes tell it; None when they tell nothing."""
    found = _decoded(notes)
    if found is None or not found.day:
        return None
    midnight = (found.day + 1) * 86_400.0
    gone = found.calls >= found.most or found.account >= found.allowed > 0
    until = max(found.blocked_until, midnight if gone else 0.0)
    return Spent(
        day=_EPOCH + timedelta(days=found.day),
        calls=found.calls,
        most=found.most,
        account=found.account,
        until=datetime.fromtimestamp(until, UTC) if until else None,
    )


def _decoded(notes: bytes) -> _Notes | None:
    try:
        found = msgspec.msgpack.decode(notes, type=_Notes)
    except (ValueError, RecursionError):
        return None
    return found if found.format == _FORMAT else None


def _key(meeting: Meeting) -> bytes:
    return blake2b(meeting.uuid.encode(), digest_size=8).digest()
