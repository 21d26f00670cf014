"""A name looked for in the queue and among the letters: every message and every letter once, a block at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from consumers.records import gives_records
from harvester.commands.progress import bar
from harvester.errors import InvalidEventError, RefusedError
from harvester.event import Event, decode_event
from harvester.protocols import DeadLetters, Delivery, Letter, Queue

_AT_ONCE = 1000
MOST = 100
"""States and letters of one thing that are kept, the newest; of those left out only the number is known."""
_EVENT_ID = re.compile(r"[0-9a-f]{32}")


class State(NamedTuple):
    """One state of a thing in the queue; without an event id when its message cannot be decoded."""

    position: int | str
    event_id: str = ""
    version: int = 0
    read_at: datetime | None = None
    gives_records: bool = True


@dataclass
class Thing:
    """One thing by its key, source/subject: its states in the queue, and its letters."""

    key: str
    source: str = ""
    subject: str = ""
    time: datetime | None = None
    states: list[State] = field(default_factory=list)
    left_out: int = 0
    letters: dict[str, Letter] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    """Letter → version of the state that it holds, where it holds one."""

    def know(self, source: str, subject: str, moment: datetime) -> None:
        """What one of its events says of it."""
        self.source, self.subject, self.time = source, subject, moment

    def add(self, state: State) -> None:
        self.states.append(state)
        if len(self.states) > MOST:
            self.states.remove(min(self.states, key=lambda s: s.version))
            self.left_out += 1

    def add_letter(self, letter: Letter) -> None:
        self.letters[letter.id] = letter
        if len(self.letters) > MOST:
            del self.letters[next(iter(self.letters))]


class Name:
    """What was asked for, and the things it turned out to mean."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.things: dict[str, Thing] = {}
        self._end = f"/{text}"
        self.is_id = _EVENT_ID.fullmatch(text) is not None
        self._text = text.encode(errors="replace")
        subject = re.escape(self._text.rpartition(b"/")[2])
        self._in_a_record = re.compile(rb'"id"\s*:\s*"?%s"?\s*[,}]' % subject)

    def readings(self) -> Iterator[tuple[str, str]]:
        """Each way to take the text as name and source: both may hold slashes."""
        yield self.text, ""
        words = self.text.split("/")
        for i in range(1, len(words)):
            yield "/".join(words[i:]), "/".join(words[:i])

    def sees(self, key: str) -> Thing:
        """The thing of that key: from now on it is one that was asked for."""
        return self.things.setdefault(key, Thing(key))

    def may_mean(self, key: str, body: bytes) -> bool:
        """A cheap look; what passes is decoded."""
        return self.is_key(key) or key.endswith(self._end) or (self.is_id and self._text in body)

    def is_key(self, key: str) -> bool:
        return key == self.text or key in self.things

    def thing_of(self, event: Event) -> Thing | None:
        """The thing that the event is a state of, when it is one that was asked for."""
        if event.key not in self.things and self.text not in (event.key, event.subject, event.id):
            return None
        thing = self.sees(event.key)
        thing.know(event.source, event.subject, event.time)
        return thing

    def thing_of_record(self, letter: Letter) -> Thing | None:
        """The same for a vendor's record that could not be read: it may still tell its id."""
        source, _, subject = self.text.rpartition("/")
        if source not in ("", letter.group) or not self._in_a_record.search(letter.body):
            return None
        return self.sees(f"{letter.group}/{subject}")


async def letters(store: DeadLetters, name: Name) -> int:
    """Add every letter to the thing that it is about; how many letters there are."""
    count = 0
    with bar("trace: letters", 0, unit="letters") as shown:
        async for letter in store.scan(""):
            count += 1
            if count % _AT_ONCE == 0:
                shown.update(0, count=count)
            thing = _thing_of(letter, name)
            if thing is not None:
                thing.add_letter(letter)
    return count


def _thing_of(letter: Letter, name: Name) -> Thing | None:
    asked_for = name.text in (letter.id, letter.event_id)
    if letter.stage == "read":
        thing = name.sees(letter.id) if asked_for else name.thing_of_record(letter)
        if thing is not None:
            thing.source = letter.group
        return thing
    if not asked_for and not name.may_mean(letter.key, letter.body):
        return None
    try:
        event = decode_event(letter.body)
    except InvalidEventError:
        return name.sees(letter.key or letter.id) if asked_for or name.is_key(letter.key) else None
    thing = name.sees(event.key) if asked_for else name.thing_of(event)
    if thing is not None:
        thing.know(event.source, event.subject, event.time)
        thing.versions[letter.id] = event.version
    return thing


async def queue(queue_: Queue, name: Name) -> int:
    """Add every message to the thing that it is a state of; how many there are. What comes meanwhile is not waited for.

    A thing that an event id turned out to mean may have states before that: then all are looked at once more.
    """
    published = (await queue_.counts())[""]["published"]
    known = len(name.things)
    count = await _scanned(queue_, name, published)
    return await _scanned(queue_, name, published) if name.is_id and len(name.things) > known else count


async def _scanned(queue_: Queue, name: Name, published: int) -> int:
    for thing in name.things.values():
        thing.states, thing.left_out = [], 0
    block, count, first = await queue_.peek(0, _AT_ONCE), 0, 0
    with bar("trace: queue", 0, unit="messages") as shown:
        while block:
            if not isinstance(block[0].position, int):
                raise RefusedError(
                    "a queue in partitions has no one order to search it in: its sinks and letters tell what they hold"
                )
            for delivery in block:
                _sight(delivery, name)
            count += len(block)
            last = int(block[-1].position)
            first = first or int(block[0].position)
            shown.update(last - first + 1, count=count, total=max(published - first + 1, 1))
            block = await queue_.peek(last + 1, _AT_ONCE) if last < published else []
    return count


def _sight(delivery: Delivery, name: Name) -> None:
    (key, body, _), position = delivery
    if not name.may_mean(key, body):
        return
    try:
        event = decode_event(body)
    except InvalidEventError:
        if name.is_key(key):
            name.sees(key).add(State(position))
        return
    thing = name.thing_of(event)
    if thing is not None:
        thing.add(State(position, event.id, event.version, event.read_at, gives_records(event)))
