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

_FORMAT = 3
_READABLE = (2, _FORMAT)
MOST = 60_000
"""Meetings that are noted: two megabytes in the book, and three days of an account with 20,000 meetings a day."""
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
    meetings: msgspec.Raw
    """Read apart: they are many, and most who read notes want the calls of the day alone."""
    edge: int = 0
    dropped: int = 0


_pack = msgspec.msgpack.Encoder().encode
_meetings = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, int, int, int | None]])


class Memory:
    """What one live poll knows, which grows as it reads."""

    def __init__(self, seen: dict[bytes, Seen] | None = None, *, edge: int = 0, dropped: int = 0) -> None:
        self._seen = seen or {}
        self._edge = edge
        self._dropped = dropped

    @property
    def edge(self) -> datetime | None:
        """Up to where had been read when this poll began."""
        return datetime.fromtimestamp(self._edge, UTC) if self._edge else None

    @property
    def dropped(self) -> datetime:
        """Of what began before, not all that was read is noted: there was more than room for."""
        return datetime.fromtimestamp(self._dropped, UTC)

    @classmethod
    def decoded(cls, notes: bytes, budget: Budget) -> "Memory":
        """Empty for what no notes of ours are. The budget gets to know what was spent."""
        found = _decoded(notes)
        if found is None:
            return cls()
        budget.remember(found.day, found.calls, found.blocked_until, found.account, found.allowed)
        try:
            seen = {entry[0]: Seen(*entry[1:]) for entry in _meetings.decode(found.meetings)}
        except ValueError:
            return cls()
        return cls(seen, edge=found.edge, dropped=found.dropped)

    def encoded(self, oldest: datetime, read_to: datetime, budget: Budget) -> bytes:
        """As notes of what is read up to there. What began before `oldest` is not read again."""
        first = int(oldest.timestamp())
        known = sorted(((k, *s) for k, s in self._seen.items() if s.start >= first), key=lambda entry: entry[2])
        dropped = max([self._dropped, *(entry[2] + 1 for entry in known[:-MOST][-1:])])
        spent = (budget.day, budget.calls, budget.account, budget.allowed, budget.most, budget.blocked_until)
        edge = max(self._edge, int(read_to.timestamp()))
        return msgspec.msgpack.encode(_Notes(_FORMAT, *spent, msgspec.Raw(_pack(known[-MOST:])), edge, dropped))

    def unchanged(self, meeting: Meeting, now: datetime) -> Seen | None:
        """What is known of a meeting whose participants need not be asked for again."""
        seen = self._seen.get(_key(meeting))
        if seen is None or seen.digest != meeting.digest or 0 < seen.due <= now.timestamp():
            return None
        return seen

    def forgotten(self, meeting: Meeting) -> bool:
        """Whether it may have been read without a note of it."""
        return meeting.start < self.dropped and _key(meeting) not in self._seen

    def read(self, meeting: Meeting, rows: int, people: int | None, now: datetime) -> None:
        """Its participants were read. Where fewer came than Zoom counted, they are due again after as long as it is over."""
        whole = meeting.expected is not None and rows >= meeting.expected
        age = max(now - (meeting.end or meeting.start), _SOON)
        due = 0 if whole else int((now + age).timestamp())
        self._seen[_key(meeting)] = Seen(meeting.digest, int(meeting.start.timestamp()), due, people)


def crowded(notes: bytes, overlap: timedelta) -> bool:
    """Whether not all is noted that began so long before where was read to."""
    found = _decoded(notes)
    return found is not None and found.dropped > found.edge - overlap.total_seconds()


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
    return found if found.format in _READABLE else None


def _key(meeting: Meeting) -> bytes:
    return blake2b(meeting.uuid.encode(), digest_size=8).digest()
