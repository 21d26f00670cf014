"""The account as it stands at an instant: nothing is stored, days are made when they are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from harvester.sandbox.zoom_people import INSTANT, Person, cast
from harvester.sandbox.zoom_settings import DAY, LONGEST, ZoomSandboxSettings
from harvester.sandbox.zoom_world import NEVER, Meeting, Session, meetings, place_of, sessions

_LONGEST_DAYS = 1 + LONGEST.days
_KEPT_MEETINGS = 60_000
_KEPT_LISTS = 6000
"""Lists of sessions, some sixteen each."""
Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Moment(NamedTuple):
    """An instant of the account, ms."""

    now: int
    stopped: int = NEVER
    """No meeting starts later."""

    def past(self, meeting: Meeting) -> bool:
        return meeting.visible <= self.now and meeting.start <= self.stopped

    def live(self, meeting: Meeting) -> bool:
        return meeting.start <= self.now < meeting.end and meeting.start <= self.stopped

    def filled(self, meeting: Meeting) -> bool:
        return meeting.filled <= self.now

    def blank(self, meeting: Meeting) -> bool:
        """Whether even the start is not told."""
        return meeting.blank and not self.filled(meeting)


class Account:
    def __init__(self, settings: ZoomSandboxSettings, *, since: int) -> None:
        """`since`: no meeting starts before, ms."""
        self._settings = settings
        self._since = since
        self.cast = cast(settings.seed)
        self._users = {name: person for person in self.cast.hosts for name in (person.id, person.email)}
        self._days: OrderedDict[int, list[Meeting]] = OrderedDict()
        self._sessions: OrderedDict[str, list[Session]] = OrderedDict()

    def day(self, day: int) -> Sequence[Meeting]:
        """Every meeting that starts on `day` (days since 1970), by start."""
        if (day + 1) * DAY <= self._since:
            return ()
        most = max(2, _KEPT_MEETINGS // (self._settings.meetings_per_day + 1))
        return _remembered(self._days, day, most, lambda: self._made(day))

    def _made(self, day: int) -> list[Meeting]:
        return [meeting for meeting in meetings(self._settings, self.cast, day) if meeting.start >= self._since]

    @property
    def made_days(self) -> Sequence[int]:
        """The days that were asked for, the last one last; older ones are forgotten."""
        return list(self._days)

    def days(self, first: int, last: int) -> Iterator[Meeting]:
        """The meetings that start on the days from `first` to `last`, both included, the newest first."""
        for day in range(last, max(first, self._since // DAY) - 1, -1):
            yield from reversed(self.day(day))

    def sessions(self, meeting: Meeting) -> Sequence[Session]:
        """All stays, by their beginning."""
        return _remembered(self._sessions, meeting.uuid, _KEPT_LISTS, lambda: sessions(self._settings, self.cast, meeting))

    def rows(self, meeting: Meeting, moment: Moment) -> list[Session]:
        """The stays that are told of a past meeting by now."""
        return [session for session in self.sessions(meeting) if session.visible <= moment.now]

    def present(self, meeting: Meeting, moment: Moment) -> list[Session]:
        """The stays that began by now, of a meeting that goes on."""
        return [session for session in self.sessions(meeting) if session.join <= moment.now]

    def joins(self, meeting: Meeting, moment: Moment) -> int:
        """The `participants` of a past meeting."""
        if moment.blank(meeting):
            return 0
        return len(self.sessions(meeting)) if self._settings.counts == "final" else len(self.rows(meeting, moment))

    def live(self, moment: Moment) -> list[Meeting]:
        today = moment.now // DAY
        return [meeting for meeting in self.days(today - _LONGEST_DAYS, today) if moment.live(meeting)]

    def find(self, name: str, moment: Moment) -> Meeting | None:
        """The meeting with this uuid, or the latest that is past with this number."""
        if name.isdigit():
            return next(self.instances(int(name), moment), None)
        place = place_of(self._settings.seed, name)
        if place is None or not self._since // DAY <= place[0] <= moment.now // DAY:
            return None
        return next((meeting for meeting in self.day(place[0]) if meeting.uuid == name), None)

    def instances(self, number: int, moment: Moment) -> Iterator[Meeting]:
        """The past meetings of a series, the newest first; of one by chance there is no look-up by number."""
        if not any(series.number == number for series in self.cast.series):
            return
        for meeting in self.days(self._since // DAY, moment.now // DAY):
            if meeting.series.number == number and meeting.series.type != INSTANT and moment.past(meeting):
                yield meeting

    def user(self, name: str) -> Person | None:
        """The host with this id or mail."""
        return self._users.get(name)


def _remembered(kept: OrderedDict[Key, list[Kept]], key: Key, most: int, make: Callable[[], list[Kept]]) -> list[Kept]:
    """What `make` gives; the `most` used last are kept."""
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    made = kept[key] = make()
    if len(kept) > most:
        kept.popitem(last=False)
    return made
