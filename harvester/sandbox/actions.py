"""A year of player actions, made on demand: what an hour holds is a function of the settings and the hour alone.

Shapes from opencast/opencast: modules/usertracking-impl UserActionImpl.java and UserSessionImpl.java (JAXB → CXF → Jettison),
and the heartbeat and footprint senders of the players.
"""

from bisect import bisect
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate
from typing import NamedTuple

from harvester.sandbox.clock import moment_of
from harvester.sandbox.dice import dice
from harvester.sandbox.episodes import Lecture
from harvester.sandbox.jettison import Scalar, retyped
from harvester.sandbox.settings import GROWTH, HOUR, LATENESS, SandboxSettings

IDS_PER_HOUR = 1_000_000
STEP = 10
"""A footprint grows in steps of so many seconds."""

_DAY = (4, 2, 1, 1, 1, 2, 4, 8, 16, 24, 28, 22, 20, 24, 28, 26, 22, 20, 22, 28, 30, 26, 16, 8)  # by local hour
_WEEK = (1.25, 1.3, 1.25, 1.2, 0.8, 0.5, 0.7)  # Monday first
_SHORT_LATE = 600_000
_SITTING = 3
"""Hours of one visit at most; visits end at midnight UTC."""
_LONGEST = GROWTH // timedelta(milliseconds=1) // 1000 - STEP

FOOTPRINT, SEEK, HEARTBEAT = "FOOTPRINT", "SEEK", "HEARTBEAT"
_TYPES = (
    (60, HEARTBEAT),
    (9, "PLAY"),
    (8, "PAUSE"),
    (6, SEEK),
    (9, FOOTPRINT),
    (2, "VIEWS"),
    (1.5, "RESIZE-TO-1280x720"),
    (0.5, "RESIZE-TO-854x480"),
    (0.7, "SEARCH-Lagrange multiplier"),
    (0.3, "SEARCH-„größer als“ <50%> & more"),
    (1.0, 'paella:showcaptions:toggle;{"lang":"en"}'),
    (0.5, 'paella:quality:change;{"profile":"slide_professor","reason":"'.ljust(128, "x")),  # cut at 128 characters
    (0.5, "paella:player:unload;undefined"),
    (0.5, "paella.events.volumeChange-es.upv.paella.volumePlugin"),
)
_NAMES = [name for _, name in _TYPES]
_TYPE_EDGES = list(accumulate(weight for weight, _ in _TYPES))


class Viewer(NamedTuple):
    """Who acts, as the tracking service knows it; None: the field is left out."""

    user: Scalar | None
    address: str
    agent: str | None
    session: str


class Action(NamedTuple):
    """One row of the table, with everything that will ever be true of it. Times in ms since 1970, positions in seconds."""

    id: int
    created: int
    visible: int
    """When its transaction commits."""
    lecture: Lecture
    viewer: Viewer
    type: str
    inpoint: int
    length: int
    """At rest."""
    playing: int
    """0, 1, or 2 for live."""
    grows: bool

    def length_at(self, now: int) -> int:
        if not self.grows:
            return self.length
        return max(0, min(self.length, (now - self.created) // 1000 // STEP * STEP))

    def written_at(self, now: int) -> int:
        """When it last got its present state: where PostgreSQL keeps it."""
        if not self.grows:
            return self.visible
        return max(self.visible, self.created - -self.length_at(now) // STEP * STEP * 1000)


_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14) Vendor/1.0 (" + "feature=on; " * 40,  # cut at 255 characters
    "curl/8.5.0",
)


FIRST_AGENT = _AGENTS[0]


def viewers(seed: str, number: int = 500) -> Sequence[Viewer]:
    return [_viewer(seed, nth) for nth in range(number)]


def _viewer(seed: str, nth: int) -> Viewer:
    rng = dice(seed, "viewer", nth)
    user: Scalar | None = rng.randrange(10_000_000, 100_000_000)
    match nth % 20:
        case 3:
            user = None
        case 7:
            user = "anonymous"
        case 11:
            user = retyped(f"00{user}")
    client = f"203.0.113.{rng.randrange(1, 255)}"
    match nth % 10:
        case 1 | 2:
            client = f"{client}, 198.51.100.{rng.randrange(1, 255)}"
        case 3:
            client = f"{client}, 198.51.100.{rng.randrange(1, 255)},10.0.{rng.randrange(256)}.2"
        case 4:
            client = f"2001:db8::{rng.randrange(1, 65536):x}"
        case 5 if nth % 50 == 5:
            client = "unknown"
    agent = None if nth % 40 == 9 else rng.choice(_AGENTS)[:255]
    session = str(rng.randrange(10**7, 10**8)) if nth % 25 == 6 else f"node0{rng.getrandbits(80):020x}"
    return Viewer(user=user, address=client, agent=agent, session=session)


def _visiting(viewer: Viewer, hour: int) -> Viewer:
    """The viewer in the visit of that hour: a session ends, the next has another id."""
    return viewer._replace(session=f"{viewer.session}{hour // _SITTING}")


def count(settings: SandboxSettings, hour: int) -> int:
    """How many actions are created in `hour` (hours since 1970, UTC)."""
    if hour * HOUR // 1000 < 0:
        return 0
    local = moment_of(hour * HOUR).astimezone(settings.zone)
    weight = _WEEK[local.weekday()] / sum(_WEEK) * 7 * _DAY[local.hour] / sum(_DAY)
    rng = dice(settings.seed, "count", hour)
    return int(settings.actions_per_day * weight * (0.85 + 0.3 * rng.random()) + rng.random())


def make(settings: SandboxSettings, catalogue: Sequence[Lecture], people: Sequence[Viewer], hour: int) -> list[Action]:
    """The actions created in `hour`, in the order of their creation."""
    rng = dice(settings.seed, "hour", hour)
    roll = rng.random
    # six of ten rows have no milliseconds: several then share one instant
    times = sorted(int(roll() * 3600) * 1000 if roll() < 0.6 else int(roll() * HOUR) for _ in range(count(settings, hour)))
    begin, first = hour * HOUR, hour * IDS_PER_HOUR
    here: dict[Viewer, Viewer] = {}
    made = []
    for nth, offset in enumerate(times):
        lecture = catalogue[int(len(catalogue) * roll() ** 2.5)]
        viewer = people[int(len(people) * roll())]
        viewer = here.get(viewer) or here.setdefault(viewer, _visiting(viewer, hour))
        kind = _NAMES[bisect(_TYPE_EDGES, roll() * _TYPE_EDGES[-1])]
        inpoint, length = _positions(kind, int(lecture.duration.total_seconds()), roll(), roll())
        made.append(
            Action(
                first + nth,
                begin + offset,
                begin + offset + (_lateness(roll(), roll()) if settings.late else 0),
                lecture,
                viewer,
                kind,
                inpoint,
                length,
                0 if kind == "PAUSE" else 2 if lecture.live else 1,
                settings.growing and kind == FOOTPRINT,
            )
        )
    return made


def _positions(kind: str, duration: int, where: float, how_far: float) -> tuple[int, int]:
    """Inpoint and length at rest; a SEEK may go back, so its length may be negative."""
    inpoint = int(duration * where)
    if kind == SEEK:
        return inpoint, int(duration * how_far) - inpoint
    if kind == FOOTPRINT:
        return inpoint, min(_LONGEST, 1 + int((duration - inpoint) * how_far**2))
    return inpoint, 0


def _lateness(luck: float, how_late: float) -> int:
    """Milliseconds between creation and commit: mostly none, for some up to ten minutes, for a few up to two hours."""
    if luck < 0.85:
        return 0
    if luck < 0.995:
        return int(how_late * _SHORT_LATE)
    return int(how_late * (LATENESS // timedelta(milliseconds=1)))
