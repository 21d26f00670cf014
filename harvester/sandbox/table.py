"""The user actions table as it stands at an instant: nothing is stored, hours are made when they are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

from harvester.sandbox.actions import Action, count, make, viewers
from harvester.sandbox.episodes import Lecture
from harvester.sandbox.rows import Rows
from harvester.sandbox.settings import HOUR, REST, SandboxSettings

FOREVER = 2**62
_REST = REST // timedelta(milliseconds=1)
_KEPT_ROWS = 150_000
Kept = TypeVar("Kept")
_MIX, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1


class View(NamedTuple):
    """An instant of the table, ms: `now` in whole seconds, between which nothing changes."""

    now: int
    stopped: int = FOREVER
    """Rows created later do not exist."""

    def shows(self, action: Action) -> bool:
        return action.visible <= self.now and action.created <= self.stopped


class Query(NamedTuple):
    """Which rows; times in ms, both inclusive."""

    start: int = 0
    end: int = FOREVER
    type: str = ""
    mpid: str = ""

    def takes(self, action: Action) -> bool:
        return (
            self.start <= action.created <= self.end
            and (not self.type or action.type == self.type)
            and (not self.mpid or action.lecture.mpid == self.mpid)
        )


class Result(NamedTuple):
    total: int
    records: Sequence[bytes]


class Table:
    """Blocks of one hour each, oldest first; what is younger than REST is one block at the end, where rows still move."""

    def __init__(self, settings: SandboxSettings, catalogue: Sequence[Lecture], rows: Rows, *, since: int) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._people = viewers(settings.seed)
        self._rows = rows
        self._since = since
        self._made: OrderedDict[int, list[Action]] = OrderedDict()
        self._encoded: OrderedDict[int, tuple[int, dict[int, bytes]]] = OrderedDict()
        self._counts: dict[tuple[int, Query], int] = {}
        self._last: tuple[object, list[Action]] = (None, [])

    def hour(self, hour: int) -> list[Action]:
        """Every action created in `hour`, by id."""
        return _remembered(self._made, hour, lambda: make(self._settings, self._catalogue, self._people, hour), len)

    def actions(self, query: Query, view: View) -> Iterator[list[Action]]:
        """The rows that exist, by id, an hour at a time."""
        for hour in self._hours(query, view):
            yield self._existing(hour, query, view)

    def page(self, query: Query, view: View, *, offset: int, limit: int) -> Result:
        """Rows `offset` … `offset + limit` of the answer, and how many the answer has."""
        at, picked = 0, list[bytes]()
        unrest: list[Action] = []
        for hour in self._hours(query, view):
            if not self._rests(hour, view):
                unrest += self._existing(hour, query, view)
                continue
            size = self._count(hour, query, view)
            if at < offset + limit and offset < at + size:
                block = self._block(hour, query, view)
                picked += self._encode(block[max(0, offset - at) : offset + limit - at], hour, view)
            at += size
        if at < offset + limit and offset < at + len(unrest):
            block = self._ordered(unrest, view)[max(0, offset - at) : offset + limit - at]
            picked += [self._rows.encode(action, view.now) for action in block]
        return Result(at + len(unrest), picked)

    def forget_encoded(self) -> None:
        """After the faults of records have changed."""
        self._encoded.clear()

    def _hours(self, query: Query, view: View) -> range:
        first = max(query.start, self._since)
        last = min(query.end, view.now, view.stopped)
        return range(first // HOUR, last // HOUR + 1 if last >= first else first // HOUR)

    def _rests(self, hour: int, view: View) -> bool:
        return (hour + 1) * HOUR + _REST <= view.now

    def _existing(self, hour: int, query: Query, view: View) -> list[Action]:
        whole = query.start <= hour * HOUR and (hour + 1) * HOUR <= query.end and not query.type and not query.mpid
        if whole and self._rests(hour, view) and (hour + 1) * HOUR <= view.stopped:
            return self.hour(hour)
        return [action for action in self.hour(hour) if query.takes(action) and view.shows(action)]

    def _count(self, hour: int, query: Query, view: View) -> int:
        """How many rows of an hour at rest are in the answer; remembered, since every page tells the total."""
        begin, end = hour * HOUR, (hour + 1) * HOUR
        last = min(query.end, view.stopped)
        key = (hour, Query(max(query.start, begin), min(last, end), query.type, query.mpid))
        found = self._counts.get(key)
        if found is None:
            whole = key[1] == Query(begin, end)
            found = count(self._settings, hour) if whole else len(self._existing(hour, query, view))
            if len(self._counts) > _KEPT_ROWS:
                self._counts.clear()
            self._counts[key] = found
        return found

    def _block(self, hour: int, query: Query, view: View) -> list[Action]:
        """The rows of an hour at rest as they are paged; the last one is remembered, since pages follow each other."""
        key = (hour, query, view.stopped, view.now if self._settings.order == "restless" else 0)
        if self._last[0] != key:
            self._last = (key, self._ordered(self._existing(hour, query, view), view))
        return self._last[1]

    def _ordered(self, actions: list[Action], view: View) -> list[Action]:
        now = view.now
        match self._settings.order:
            case "id":
                return actions
            case "moved":
                return sorted(actions, key=lambda action: (action.written_at(now), action.id))
            case "shuffled":
                return sorted(actions, key=lambda action: _mixed(action.id))
            case "restless":
                return sorted(actions, key=lambda action: _mixed(action.id + now))

    def _encode(self, actions: Sequence[Action], hour: int, view: View) -> list[bytes]:
        """Records of an hour at rest, which stay as they are."""
        known = _remembered(self._encoded, hour, lambda: (count(self._settings, hour), dict[int, bytes]()), lambda kept: kept[0])[
            1
        ]
        records = []
        for action in actions:
            record = known.get(action.id)
            if record is None:
                record = known[action.id] = self._rows.encode(action, view.now)
            records.append(record)
        return records


def _mixed(number: int) -> int:
    number = (number ^ number >> 29) * _MIX & _MASK
    return (number ^ number >> 32) * _MIX & _MASK


def _remembered(kept: "OrderedDict[int, Kept]", hour: int, make_it: Callable[[], Kept], size: Callable[[Kept], int]) -> Kept:
    """The hours used last, as many as have _KEPT_ROWS rows together."""
    if hour in kept:
        kept.move_to_end(hour)
        return kept[hour]
    made = kept[hour] = make_it()
    rows = sum(map(size, kept.values()))
    while rows > _KEPT_ROWS and len(kept) > 1:
        rows -= size(kept.popitem(last=False)[1])
    return made
