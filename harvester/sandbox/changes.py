"""The lectures as they stand at an instant: renamed, taken back and published again, one by one or a whole series at once."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from harvester.sandbox.clock import milliseconds, moment_of
from harvester.sandbox.dice import dice
from harvester.sandbox.episodes import Lecture, first_modified
from harvester.sandbox.settings import HOUR, LATENESS, SandboxSettings
from harvester.sandbox.table import View

_TAKEN_BACK = timedelta(hours=40)
"""How long after its begin a lecture was taken back that was so from the first."""
_SOON, _LATE = 5_000, 150_000
"""Most changes are in the index within seconds, nearly all within the three minutes that Tobira allows for (ms)."""


class State(NamedTuple):
    """A lecture from `at` on."""

    at: int
    """When it was modified, ms; a deleted one: when it was deleted."""
    visible: int
    """When the index shows it, which is later."""
    lecture: Lecture


class SeriesState(NamedTuple):
    """A series that was renamed."""

    at: int
    id: str
    title: str


class Changes:
    """Made an hour at a time as far as they are asked for, the same in every run."""

    def __init__(self, settings: SandboxSettings, catalogue: Sequence[Lecture], *, since: int) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._made = since // HOUR * HOUR
        self._states = {lecture.mpid: [_first(lecture)] for lecture in catalogue}
        self.series: list[SeriesState] = []
        """In the order of their times."""

    def standing(self, view: View) -> Iterator[State]:
        """Every lecture as the index shows it at that instant, deleted ones too, in the order of the catalogue."""
        self._make_until(min(view.now, view.stopped))
        for states in self._states.values():
            yield _shown(states, view)

    def now(self, mpid: str, view: View) -> State | None:
        """One of them; None for an id that never was."""
        states = self._states.get(mpid)
        if states is None:
            return None
        self._make_until(min(view.now, view.stopped))
        return _shown(states, view)

    def _make_until(self, end: int) -> None:
        if not self._settings.episode_changes:
            return
        while self._made <= end:
            self._make_hour(self._made)
            self._made += HOUR

    def _make_hour(self, hour: int) -> None:
        rng = dice(self._settings.seed, "changes", hour)
        amount = int(self._settings.episode_changes / 24 + rng.random())
        for at in sorted(hour + rng.randrange(HOUR) for _ in range(amount)):
            lecture = self._states[rng.choice(self._catalogue).mpid][-1].lecture
            kind, late = rng.random(), self._lateness(rng)
            if kind < 0.1 and lecture.series:
                self._rename_series(lecture.series, at, at + late)
            elif kind < 0.3 and lecture.exists and self._settings.takes_back:
                self._add(lecture._replace(exists=False), at, at + late)
            else:
                self._add(lecture._replace(title=_again(lecture.title), exists=True), at, at + late)

    def _rename_series(self, series: str, at: int, visible: int) -> None:
        """All of its lectures have the same time then."""
        known = [states[-1].lecture for states in self._states.values()]
        of_it = [lecture for lecture in known if lecture.series == series]
        title = _again(of_it[0].course)
        for lecture in of_it:
            if lecture.exists:
                self._add(lecture._replace(course=title), at, visible)
        self.series.append(SeriesState(at, series, title))

    def _add(self, lecture: Lecture, at: int, visible: int) -> None:
        self._states[lecture.mpid].append(State(at, visible, lecture._replace(modified=moment_of(at))))

    def _lateness(self, rng: Any) -> int:
        if not self._settings.late:
            return 0
        most = rng.choices((_SOON, _LATE, LATENESS // timedelta(milliseconds=1)), (70, 25, 5))[0]
        return int(rng.randrange(most))


def _first(lecture: Lecture) -> State:
    modified = first_modified(lecture) if lecture.exists else lecture.start + _TAKEN_BACK
    return State(milliseconds(modified), 0, lecture)


def _shown(states: Sequence[State], view: View) -> State:
    last = bisect_right(states, view.stopped, key=lambda state: state.at)
    return next(state for state in reversed(states[: max(1, last)]) if state.visible <= view.now)


def _again(title: str) -> str:
    """The next edition of it."""
    begin, _, end = title.rpartition(", edition ")
    return f"{begin}, edition {int(end) + 1}" if begin and end.isdigit() else f"{title}, edition 2"
