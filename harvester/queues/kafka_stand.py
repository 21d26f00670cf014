"""Where a group stands in one partition, and what it counted there: the text that a commit carries beside its offset."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from harvester.errors import ConfigError

_FORMAT = 1
_FROM = "skipped_from"


class _Text(msgspec.Struct, frozen=True):
    """Short names: a broker takes 4,096 bytes at most (offset.metadata.max.bytes)."""

    f: int
    s: int
    c: dict[str, int] = {}


_decoder = msgspec.json.Decoder(_Text)


class Stand(NamedTuple):
    """`offset` is that of the first message not committed, `since` where its counts began."""

    offset: int
    since: int
    counts: Mapping[str, int]

    def text(self) -> str:
        return msgspec.json.encode(_Text(_FORMAT, self.since, dict(self.counts))).decode()


def read_stand(offset: int, text: str | None) -> Stand:
    """A position that something else committed has no counts: they begin there. ConfigError: of a newer format."""
    try:
        found = _decoder.decode(text or "")
    except msgspec.MsgspecError:
        return Stand(offset, offset, {})
    if found.f > _FORMAT:
        raise ConfigError(f"kafka: a group's counts have format {found.f}, this program reads {_FORMAT}: upgrade it")
    return Stand(offset, found.s, found.c)


def skipped(stood: Stand, target: int) -> dict[str, int]:
    """The counts of a group that an operator moved: only what it passed over unread, and from where on, until a move back."""
    since = stood.counts.get(_FROM, stood.offset)
    amount = stood.counts.get("skipped", 0) + max(0, target - stood.offset)
    amount = min(amount, target - since)
    return {"skipped": amount, _FROM: since} if amount > 0 else {}


def total(stands: Iterable[Stand]) -> dict[str, int]:
    """The counts of all partitions together."""
    found: dict[str, int] = {}
    for stand in stands:
        for name, amount in stand.counts.items():
            if name == _FROM:
                continue  # an offset of one partition
            found[name] = found.get(name, 0) + amount
    return found
