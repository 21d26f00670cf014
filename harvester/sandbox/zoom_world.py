"""Meetings and who was in them, made on demand: what a day holds is a function of the settings and the day alone.

All times in ms since 1970, whole seconds.
"""

from base64 import b64decode, b64encode
from datetime import timedelta
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from harvester.sandbox.dice import dice
from harvester.sandbox.zoom_people import INSTANT, Cast, Person, Series, guest
from harvester.sandbox.zoom_settings import DAY, LATENESS, ZoomSandboxSettings

NEVER = 2**62

_HOURS = (1, 1, 0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 6, 12, 16, 18, 18, 16, 18, 18, 14, 10, 8, 5)  # UTC: an American afternoon
_WEEK = (1.3, 1.35, 1.3, 1.25, 1.0, 0.35, 0.45)  # Monday first
_LATENESS = LATENESS // timedelta(seconds=1)
_LATE_MEETING, _LATE_END, _LATE_ROW = (_LATENESS * part // 100 for part in (65, 12, 22))
_BACKWARDS = 820_000
"""By so much a wrong end lies before the start, as in the vendor's own sample."""
_USER_ID, _USER_STEP = 16_778_240, 1024


class Meeting(NamedTuple):
    """One past, running or coming instance of a series, with everything that will ever be true of it."""

    uuid: str
    series: Series
    start: int
    end: int
    size: int
    """People; 1: nobody but the host came."""
    visible: int
    """When it is among the past ones."""
    filled: int
    """When its end and duration are told, at `visible` or later; NEVER: they stay empty."""
    blank: bool
    """Until then start and participants are empty too."""
    deleted: bool
    """It is listed, but nothing more can be read of it."""
    phantoms: int
    """By so much total_records of its participants is above the rows."""
    backwards: bool
    """Its end_time is told as before its start_time."""
    waiting: bool
    """It has a waiting room."""
    bits: int
    """Sixteen: what was used in it."""

    @property
    def told_end(self) -> int:
        """What end_time says, once it is told."""
        return self.start - _BACKWARDS if self.backwards else self.end

    @property
    def one(self) -> bool:
        return self.size == 1


class Session(NamedTuple):
    """One stay of one participant, in the meeting or in its waiting room."""

    person: Person
    user_id: str
    join: int
    leave: int
    status: str
    breakout: str
    """The uuid of the breakout room; "": the meeting itself."""
    visible: int
    bits: int


def uuid_of(seed: str, day: int, nth: int, rng: Random) -> str:
    """24 characters of base64 that begin with `/` or hold `//` more often than chance has it; they tell where the meeting is."""
    head = bytearray(rng.randbytes(10))
    luck = rng.random()
    if luck < 0.04:
        head[0] |= 0xFC
    elif luck < 0.08:
        head[3], head[4] = 0xFF, head[4] | 0xF0
    place = (day << 20 | nth).to_bytes(6, "big")
    return b64encode(bytes(head) + _masked(seed, bytes(head), place)).decode()


def place_of(seed: str, uuid: str) -> tuple[int, int] | None:
    """Day and number of the meeting with this uuid; None: it is none of ours."""
    try:
        raw = b64decode(uuid, validate=True)
    except ValueError:
        return None
    if len(raw) != 16:
        return None
    place = int.from_bytes(_masked(seed, raw[:10], raw[10:]), "big")
    return place >> 20, place & 0xFFFFF


def _masked(seed: str, head: bytes, place: bytes) -> bytes:
    mask = blake2b(head, digest_size=6, key=blake2b(seed.encode(), digest_size=16).digest()).digest()
    return bytes(one ^ other for one, other in zip(place, mask, strict=True))


def meetings(settings: ZoomSandboxSettings, players: Cast, day: int) -> list[Meeting]:
    """The meetings that start on `day` (days since 1970, UTC), by start."""
    rng = dice(settings.seed, "zoom-day", day)
    weight = _WEEK[(day + 3) % 7] / sum(_WEEK) * 7
    number = int(settings.meetings_per_day * weight * (0.9 + 0.2 * rng.random()) + rng.random())
    made = [_meeting(settings, players, day, nth) for nth in range(number)]
    return sorted(made, key=lambda meeting: (meeting.start, meeting.uuid))


def _meeting(settings: ZoomSandboxSettings, players: Cast, day: int, nth: int) -> Meeting:
    rng = dice(settings.seed, "zoom-meeting", day, nth)
    roll = rng.random
    uuid = uuid_of(settings.seed, day, nth, rng)
    series = rng.choice(players.series) if roll() < 0.9 else _by_chance(rng, players)
    hour = rng.choices(range(24), _HOURS)[0]
    start = day * DAY + (hour * 3600 + rng.choice((0, 0, 30, 45)) * 60 + rng.randrange(300) - 150) * 1000
    start = min(max(start, day * DAY), (day + 1) * DAY - 1000)
    end = start + _seconds(rng) * 1000
    visible, filled = end, end
    if settings.late:
        visible = end + 1000 * rng.randrange(_LATE_MEETING if roll() < 0.03 else 900)
        filled = visible + (1000 * rng.randrange(_LATE_END) if roll() < 0.06 else 0)
    if roll() < 0.008:
        filled = NEVER
    return Meeting(
        uuid=uuid,
        series=series,
        start=start,
        end=end,
        size=1 if roll() < 0.06 else 2 + int(rng.expovariate(1 / series.size)),
        visible=visible,
        filled=filled,
        blank=filled > visible and roll() < 0.3,
        deleted=roll() < 0.007,
        phantoms=rng.randrange(1, 4) if roll() < 0.04 else 0,
        backwards=roll() < 0.004,
        waiting=roll() < 0.15,
        bits=rng.getrandbits(16),
    )


def _by_chance(rng: Random, players: Cast) -> Series:
    host = rng.choice(players.hosts)
    return Series(rng.randrange(10**8, 10**9), INSTANT, f"{host.name}'s Zoom Meeting", host, 4)


def _seconds(rng: Random) -> int:
    luck = rng.random()
    if luck < 0.06:
        return rng.randrange(20, 300)
    if luck < 0.08:
        return rng.randrange(9000, 16_200)
    return rng.choice((25, 50, 55, 75, 110)) * 60 + rng.randrange(-120, 600)


def sessions(settings: ZoomSandboxSettings, players: Cast, meeting: Meeting) -> list[Session]:
    """All stays in a meeting, by their beginning. Who comes again does so under the same user_id, or under another."""
    rng = dice(settings.seed, "zoom-sessions", meeting.uuid)
    made: list[Session] = []
    for nth, person in enumerate(_crowd(settings.seed, rng, players, meeting)):
        made += _stays(rng, meeting, person, _USER_ID + nth * 2 * _USER_STEP, settings.rejoins)
    return sorted((_shown(settings, rng, meeting, stay) for stay in made), key=lambda stay: (stay.join, stay.user_id))


def _crowd(seed: str, rng: Random, players: Cast, meeting: Meeting) -> list[Person]:
    """The host first; one in eight is a guest."""
    host = meeting.series.host
    others = rng.sample(players.people, min(meeting.size, len(players.people)))
    known = [person for person in others if person.id != host.id][: meeting.size - 1]
    return [host, *(guest(seed, meeting.uuid, nth) if rng.random() < 0.12 else person for nth, person in enumerate(known))]


def _stays(rng: Random, meeting: Meeting, person: Person, user_id: int, rejoins: float) -> list[Session]:
    roll, end = rng.random, meeting.end
    hosting = person.id == meeting.series.host.id
    join = meeting.start if hosting else _between(rng, meeting.start, min(end, meeting.start + 900_000))
    made: list[Session] = []

    def stay(begin: int, leave: int, number: int = user_id, *, status: str = "in_meeting", breakout: str = "") -> None:
        made.append(Session(person, str(number), begin, leave, status, breakout, 0, rng.getrandbits(16)))

    if meeting.waiting and not hosting and roll() < 0.6:
        admitted = min(end, join + 1000 * rng.randrange(1, 240))
        stay(join, admitted, status="in_waiting_room")
        join = admitted
    if join >= end:  # never let in, or there for an instant
        return made or [Session(person, str(user_id), join, end, "in_meeting", "", 0, 0)]
    leave = end if roll() < 0.6 else _between(rng, join, end)
    if roll() > rejoins or leave - join < 60_000:
        stay(join, leave)
        return made
    gone = _between(rng, join, leave)
    back = _between(rng, gone, leave)
    stay(join, gone)
    again = user_id if roll() < 0.5 or back == join else user_id + _USER_STEP
    stay(max(back, join + 1000), leave, again, breakout=_room_of(meeting) if meeting.bits & 0x300 == 0x300 else "")
    return made


def _between(rng: Random, first: int, last: int) -> int:
    return first + 1000 * rng.randrange((last - first) // 1000 + 1)


def _room_of(meeting: Meeting) -> str:
    return b64encode(blake2b(meeting.uuid.encode(), digest_size=16).digest()).decode()


def _shown(settings: ZoomSandboxSettings, rng: Random, meeting: Meeting, stay: Session) -> Session:
    visible = meeting.filled if meeting.blank else meeting.visible
    if settings.late and visible < NEVER and rng.random() < 0.03:
        visible += 1000 * rng.randrange(_LATE_ROW)
    return stay._replace(visible=visible)
