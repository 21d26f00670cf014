"""Where a group stands in one partition, and what it counted there: the text that a commit carries beside its offset."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
from aiokafka import TopicPartition

from harvester.errors import ConfigError, RefusedError

_FORMAT = 1
_FROM = "skipped_from"
_ENDS = ("delivered", "filtered", "dead_lettered")
"""One of them for each message that was consumed."""
P = TypeVar("P")


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

    def moved(self, offset: int, more: Mapping[str, int]) -> "Stand":
        """At another offset, with more counted."""
        return self._replace(offset=offset, counts={**self.counts, **{k: self.counts.get(k, 0) + v for k, v in more.items()}})

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


def shares(counts: Mapping[str, int], amounts: Mapping[P, int]) -> dict[P, dict[str, int]]:
    """What each partition carries of the counts of one commit, in which it moves by so many messages.

    Each is in balance by itself: it consumed what it moved by, and that has ended. A partition that another member takes over
    from an older stand then has that stand's counts, and those of the others stay true. Which message ended how is not known
    here, only how many: they are told off in order. What is no message's end goes to the first.
    """
    if sum(amounts.values()) != counts.get("consumed"):
        return {p: dict(counts) if n == 0 else {} for n, p in enumerate(amounts)}
    left = {name: counts[name] for name in _ENDS if name in counts}
    rest = {name: amount for name, amount in counts.items() if name not in left and name != "consumed"}
    found: dict[P, dict[str, int]] = {}
    for p, amount in amounts.items():
        found[p], rest, room = {"consumed": amount, **rest}, {}, amount
        for name, amount_left in left.items():
            found[p][name] = taken = min(room, amount_left)
            left[name], room = amount_left - taken, room - taken
    return found


def total(stands: Iterable[Stand]) -> dict[str, int]:
    """The counts of all partitions together."""
    found: dict[str, int] = {}
    for stand in stands:
        for name, amount in stand.counts.items():
            if name == _FROM:
                continue  # an offset of one partition
            found[name] = found.get(name, 0) + amount
    return found


def check_kept(group: str, wanted: Mapping[TopicPartition, int], bounds: Mapping[TopicPartition, tuple[int, int]]) -> None:
    """RefusedError naming every range that is gone: neither its end nor what follows is taken instead (F28)."""
    lost, amount = [], 0
    for p, offset in wanted.items():
        first, end = bounds[p]
        if offset < first:
            lost.append(f"partition {p.partition}: {offset} to {first - 1}")
            amount += first - offset
        elif offset > end:
            lost.append(f"partition {p.partition}: {end} to {offset - 1}")
            amount += offset - end
    if lost:
        raise RefusedError(
            f"messages are gone before group {group} read them: {'; '.join(sorted(lost))}. "
            f"`harvest queue seek {group} --to beginning` goes on without them",
            lost=amount,
        )
