"""The contracts. Drivers satisfy them without inheriting; mypy proves it where `open_*` returns them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from harvester.coverage import Book, Coverage, Interval, Mark, Timing
from harvester.event import Event

NO_HEADERS: Mapping[str, str] = {}
NO_COUNTS: Mapping[str, int] = {}


class Broken(NamedTuple):
    """A record that could not become an event: its bytes as the vendor sent them, and why."""

    body: bytes
    error: str
    reason: str


class Page(NamedTuple):
    """A part of what a window holds."""

    events: Sequence[Event]
    broken: Sequence[Broken] = ()
    covered: Interval | None = None
    """The part of the window that is complete with this page; None: only the whole window is, at its end."""
    notes: bytes | None = None
    """What the stream wants back at its next live poll: losing it costs calls, never truth."""


class Stream(Protocol):
    """One instance = one coverage record = one task: a repository's reviews, a Slack channel."""

    @property
    def name(self) -> str:
        """Made of ids, not of names that people change."""
        ...

    @property
    def timing(self) -> Timing: ...

    def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        """Every record that changed in `window.start <= t < window.end`; any order, repeats allowed, none left out."""
        ...

    def event(self, record: bytes, read_at: datetime) -> Event:
        """One record as an event: what `fetch` does with each. Raises InvalidEventError."""
        ...


class Source(Protocol):
    """One vendor account. Opened by `async with`, which also checks what can be checked before the first record."""

    @property
    def name(self) -> str: ...

    async def streams(self) -> Sequence[Stream]:
        """All there are now."""
        ...

    def now(self) -> datetime:
        """The vendor's clock, learnt from its answers: never ahead of it."""
        ...


class CoverageStore(Protocol):
    """Books, kept as facts that are true for ever: writers merge by union, so none can undo another."""

    async def load(self, source: str) -> Book:
        """What is stored; a Book with epoch "" when nothing is. "No access" raises, it is never "nothing"."""
        ...

    async def add(self, source: str, new: Book) -> None:
        """Union `new` into what is stored, by compare-and-swap; returns = durable.

        `new.epoch` is that of the book it was loaded as: "" creates the book under a fresh epoch. CoverageResetError: the
        stored epoch is another one, or the book is gone, or (with "") another writer created it meanwhile: load again.
        """
        ...

    async def reset(self, source: str, stream: str, coverage: Coverage) -> None:
        """The operator's act: put `coverage` in place of what is known of `stream`, under a new epoch."""
        ...

    def lease(self, source: str, stream: str, owner: str) -> AbstractAsyncContextManager[None]:
        """Hold a stream while working on it: spares double work, safety does not need it.

        Raises RefusedError naming the owner when another holds it. Ends with the process, however it ends: at once where the
        store notices (a file's lock), else when its term is over without being renewed. Nobody is told that he lost it.
        """
        ...

    async def owners(self, source: str) -> Mapping[str, str]:
        """Stream → who holds its lease now; what nobody holds is left out."""
        ...


class Stored(NamedTuple):
    """An object as it is stored now. `tag` names this very state of it."""

    body: bytes
    tag: str


class Keys(Protocol):
    """Bytes by name, in a bucket, a folder or a server's memory. Names are relative paths of [A-Za-z0-9._=%-] and "/".

    No name is the folder of another.
    """

    async def get(self, name: str) -> Stored | None:
        """None: it does not exist, and nothing else; no access raises."""
        ...

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        """Returns = durable; the tag of what is stored now. `replaces`: the tag it must have, "" when it must not exist yet.

        ConflictError: it has another one, or none, now; nothing was written. TransientError: it may have been written.
        """
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """What does not exist is deleted already."""
        ...

    def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """The names that begin with `prefix` and stand behind `after`, in the order of their bytes."""
        ...


class Objects(Keys, Protocol):
    """Keys that are deleted on condition, too: a bucket, a folder."""

    async def delete_as(self, name: str, tag: str) -> bool:
        """Delete it if `tag` is the tag it has; whether it was so."""
        ...


class Message(NamedTuple):
    """What a queue carries. `key`: messages of one key stay in order."""

    key: str
    body: bytes
    headers: Mapping[str, str] = NO_HEADERS


class Delivery(NamedTuple):
    """A message as one group received it."""

    message: Message
    position: int | str


class Group(NamedTuple):
    """A consumer group as `harvest queue groups` shows it."""

    name: str
    position: int
    lag: int
    owner: str
    """Who reads now, "" when nobody does."""
    counts: Mapping[str, int]
    since: int = 0
    """Where it stood when its counts began."""


class Size(NamedTuple):
    """What a queue keeps. None: this queue cannot tell."""

    messages: int | None
    bytes: int | None
    """What they take, with everything that belongs to them."""
    oldest: datetime | None
    """When the oldest message came that some group has not committed, to a minute; None also when there is none."""


class Subscription(Protocol):
    """One group's membership. Several batches may be received before the first is committed."""

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        """Up to `limit` messages in order, [] after `wait` seconds without any; limit 0 only keeps the membership alive."""
        ...

    async def commit(self, deliveries: Sequence[Delivery], counts: Mapping[str, int] = NO_COUNTS) -> None:
        """Move the group's position behind `deliveries` and add `counts` to its counts, in one durable act.

        Called in the order received, with the next unbroken run each time; what was lost to another member is ignored.
        """
        ...


class Outlet(Protocol):
    """Where a source's events go: a queue, or straight to a printer."""

    @property
    def id(self) -> str:
        """This very one: the coverage of a source is true for one only."""
        ...

    async def publish(self, messages: Sequence[Message], counts: Mapping[str, int] = NO_COUNTS, owner: str = "") -> None:
        """Returns = durable, all of them, for every group; `counts` are added to those of `owner` in the same act.

        PayloadTooLargeError(indexes): nothing was published. TransientError: full, busy or away.
        """
        ...


@runtime_checkable
class Marked(Protocol):
    """A queue that can tell an older copy of itself, so that no book claims what a restored queue does not hold."""

    async def mark(self) -> Mark:
        """How far it has come: all that was acknowledged until now lies before it."""
        ...

    async def holds(self, mark: Mark) -> bool:
        """Whether everything before `mark` was published to this very queue. As far as it still keeps the message to tell by."""
        ...


class Grouped(Protocol):
    """What consumer groups read."""

    def subscribe(self, group: str) -> AbstractAsyncContextManager[Subscription]:
        """A new group begins at the oldest message kept. RefusedError: the group has its one member already."""
        ...

    async def lag(self, group: str) -> Mapping[str, int]:
        """Messages the group has not committed, per partition."""
        ...


class Queue(Outlet, Grouped, Protocol):
    """A log of messages with independent consumer groups."""

    async def groups(self) -> Sequence[Group]: ...

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Owner → name → amount, as given to `publish`, and under "" what the queue itself can prove: `published`."""
        ...

    async def peek(self, position: int, limit: int) -> Sequence[Delivery]:
        """Messages from `position` on (negative: counted from the end), without a group."""
        ...

    async def seek(self, group: str, position: int) -> None:
        """The group reads on from `position` (0: the oldest kept); its counts begin anew. RefusedError while it is read."""
        ...

    async def forget(self, group: str) -> None:
        """Drop the group: messages are no longer kept for it. RefusedError while it is read."""
        ...

    async def size(self) -> Size:
        """What the queue keeps now."""
        ...

    async def check(self) -> Sequence[str]:
        """What is wrong with the stored queue, a line each; [] when it is whole."""
        ...


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What one group, or a source, could not finish. `due`: a time to try again by itself; None waits for a person."""

    id: str
    group: str
    """The consumer group, or the source's name."""
    stage: str
    """read · decode · enrich · write"""
    reason: str
    """A short word for counting: schema, not_json, undecodable, mapping, pending, payload_too_large, killed …"""
    error: str
    """Class and message, at most 1 KiB, without secrets."""
    body: bytes
    """The original bytes: the message's body, or the vendor's record."""
    key: str = ""
    stream: str = ""
    position: str = ""
    event_id: str = ""
    attempts: int = 1
    first: datetime
    last: datetime
    due: datetime | None = None
    version: str = ""
    """The program version that wrote it."""


def letter_id(group: str, event_id: str, body: bytes) -> str:
    """The same for every attempt at the same thing by the same group."""
    return blake2b(b"\0".join((group.encode(), event_id.encode() or body)), digest_size=16).hexdigest()


class DeadLetters(Protocol):
    """Letters, by group."""

    async def add(self, letters: Sequence[Letter]) -> None:
        """Returns = durable. Adding one again raises its attempts, moves `last` and `due`, and tells why it failed this time.

        What it is stays: its bytes, where they came from, and when it was first seen.
        """
        ...

    def scan(self, group: str, due: datetime | None = None, *, without: str = "") -> AsyncIterator[Letter]:
        """The letters of `group` ("" for all), oldest first.

        With `due` those of one group that are due by then, the longest due first, and none of the stage `without`.
        """
        ...

    async def requeue(self, ids: Sequence[str], due: datetime) -> None:
        """Make letters due."""
        ...

    async def remove(self, ids: Sequence[str]) -> None:
        """End letters, whatever came of them since they were read: a person wants so."""
        ...

    async def finish(self, letters: Sequence[Letter]) -> None:
        """End letters that were done as they were read; one that was added again meanwhile stays."""
        ...

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Group → reason → letters."""
        ...
