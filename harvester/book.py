"""Books as bytes, and the rules by which they change: the same for every store.

The bytes are one JSON object that begins with the checksum of all that follows it, so that a torn or flipped byte anywhere is
seen before any of it is believed:

    {"checksum":"<blake2b-128>","format":1,"epoch":"…","queue":"…","streams":{"useractions":{"start":"2026-01-01T00:00:00.000000Z",…}}}
"""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated

import msgspec

from harvester.coverage import Book, Coverage, Interval, Intervals, Mark, later
from harvester.errors import ConfigError, CoverageResetError, RefusedError

FORMAT = 1
TOLERANCE = timedelta(minutes=5)
"""How far in the future of this host the end of an interval may lie."""

_HEAD = b'{"checksum":"'
_DIGITS = 32
_BODY = len(_HEAD) + _DIGITS

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Stream(msgspec.Struct, frozen=True, kw_only=True):
    start: _Moment | None = None
    read: list[tuple[_Moment, _Moment]] = []
    settled: list[tuple[_Moment, _Moment]] = []
    notes: bytes = b""
    notes_at: _Moment | None = None


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    epoch: str
    queue: str
    streams: dict[str, _Stream]
    mark: Mark | None = None


class _Format(msgspec.Struct):
    format: int


def encode_book(book: Book) -> bytes:
    """The book as a store keeps it."""
    streams = {name: _plain(coverage) for name, coverage in sorted(book.streams.items())}
    mark = {"mark": book.mark} if book.mark else {}
    body = msgspec.json.encode({"format": FORMAT, "epoch": book.epoch, "queue": book.queue, "streams": streams, **mark})
    rest = b'",' + body[1:]
    return _HEAD + _digest(rest) + rest


def decode_book(body: bytes) -> Book:
    """Raises ValueError when the bytes are damaged, ConfigError when a newer version of ours wrote them."""
    rest = body[_BODY:]
    if body[: len(_HEAD)] != _HEAD or body[len(_HEAD) : _BODY] != _digest(rest):
        raise ValueError("the checksum does not match")
    found = msgspec.json.decode(body, type=_Format).format
    if found > FORMAT:
        raise ConfigError(f"the book is of format {found}, this version reads up to {FORMAT}: upgrade this process")
    stored = msgspec.json.decode(body, type=_Stored)
    streams = {name: _coverage(stream) for name, stream in stored.streams.items()}
    return Book(epoch=stored.epoch, queue=stored.queue, streams=streams, mark=stored.mark)


def merged(source: str, stored: Book, new: Book, now: datetime) -> Book:
    """What a store keeps after `new` was added to `stored` (epoch "": nothing is stored).

    CoverageResetError: `new` was loaded under another epoch. RefusedError: it is true for another queue, or lies in the future.
    """
    if new.epoch != stored.epoch:
        what = "deleted" if not stored.epoch else "reset" if new.epoch else "created"
        raise CoverageResetError(f"the book of {source} was {what} since it was loaded")
    if stored.queue and new.queue and stored.queue != new.queue:
        raise RefusedError(_other_queue(source, stored.queue, new.queue))
    check_clock(source, new, now)
    nothing = Coverage()
    # Not Book.__or__: of five thousand streams a few change, and only those are worth the arithmetic.
    changed = {name: stored.streams.get(name, nothing) | coverage for name, coverage in new.streams.items()}
    return Book(
        epoch=stored.epoch or fresh_epoch(),
        queue=stored.queue or new.queue,
        streams={**stored.streams, **changed},
        mark=later(stored.mark, new.mark),
    )


def replaced(stored: Book, stream: str, coverage: Coverage) -> Book:
    """The book after an operator's reset: a new epoch; without any fact left it is bound to no queue either.

    What the operator states he answers for: only facts that were read keep the mark of the queue they are in.
    """
    streams = {**stored.streams, stream: coverage}
    queue = stored.queue if any(c.read for c in streams.values()) else ""
    mark = stored.mark if any(c.read for name, c in streams.items() if name != stream) else None
    return Book(epoch=fresh_epoch(), queue=queue, streams=streams, mark=mark)


def check_clock(source: str, book: Book, now: datetime) -> None:
    """RefusedError when the book claims time more than TOLERANCE ahead of this host."""
    ends = {name: c.read[-1].end for name, c in book.streams.items() if c.read}
    newest = max(ends, key=lambda name: ends[name], default=None)
    if newest is not None and ends[newest] > now + TOLERANCE:
        raise RefusedError(
            f"the book of {source} claims that {newest} was read until {_text(ends[newest])}, but here it is {_text(now)}: "
            f"correct this host's clock, or `harvest coverage reset {source}/{newest} --yes`"
        )


def fresh_epoch() -> str:
    """16 hex digits that no other epoch has."""
    return secrets.token_hex(8)


def _other_queue(source: str, stored: str, new: str) -> str:
    return (
        f"the book of {source} is true for queue {stored}, not for {new}: name that queue again, "
        f"or `harvest coverage reset {source} --yes` and read its time into the new one"
    )


def _plain(coverage: Coverage) -> dict[str, object]:
    return {
        "start": None if coverage.start is None else _text(coverage.start),
        "read": _pairs(coverage.read),
        "settled": _pairs(coverage.settled),
        "notes": coverage.notes,
        "notes_at": None if coverage.notes_at is None else _text(coverage.notes_at),
    }


def _coverage(stream: _Stream) -> Coverage:
    read, settled = Intervals(stream.read), Intervals(stream.settled)
    return Coverage(start=stream.start, read=read, settled=settled, notes=stream.notes, notes_at=stream.notes_at)


def _pairs(intervals: Iterable[Interval]) -> list[tuple[str, str]]:
    return [(_text(start), _text(end)) for start, end in intervals]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _digest(rest: bytes) -> bytes:
    return blake2b(rest, digest_size=_DIGITS // 2).hexdigest().encode()
