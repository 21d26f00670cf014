"""Who meets, and under which numbers: the people and courses of the university whose lectures the simulated Opencast has."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import NamedTuple

from harvester.sandbox.actions import viewers
from harvester.sandbox.dice import dice
from harvester.sandbox.episodes import lectures

DOMAIN = "university.example"
"""Of the mail addresses: before the @ stands the id that the same person has in Opencast."""
INSTANT, SCHEDULED, PERSONAL, RECURRING = 1, 2, 4, 8
"""Types of meetings, by the vendor's numbers; PERSONAL: in a personal room."""

_FIRST = ("Ada", "Björn", "Chloé", "Dmitri", "Emily", "Fátima", "Grace", "Hugo", "Ines", "Jürgen", "Kofi", "Lea", "Mei", "Noor")
_LAST = (
    "Abbott",
    "O'Brien",
    "Çelik",
    "Díaz",
    "Evans",
    "Fischer",
    "García-López",
    "Håkansson",
    "Iyer",
    "Jones",
    "Kim",
    "李",
    "Meyer",
)
_ROOMS_EVERY = 9
"""Each so manieth person teaches: has a licence, a personal room and courses."""


class Person(NamedTuple):
    """A participant. A guest has neither `huid` nor `id` nor `email`."""

    huid: str | None
    """The university's id: the `userId` of the same person in Opencast."""
    id: str
    """The account's id."""
    name: str
    email: str
    dept: str


class Series(NamedTuple):
    """What meetings have in common; a meeting by chance is a series of its own."""

    number: int
    type: int
    topic: str
    host: Person
    size: int
    """Participants on the average."""


class Cast(NamedTuple):
    people: Sequence[Person]
    hosts: Sequence[Person]
    series: Sequence[Series]
    """One that meets more often stands there more often."""


def cast(seed: str) -> Cast:
    """The same for each seed, and the same people as the viewers of that seed in Opencast."""
    huids = dict.fromkeys(str(viewer.user) for viewer in viewers(seed) if viewer.user not in {None, "anonymous"})
    people = [_person(seed, huid) for huid in huids]
    hosts = people[::_ROOMS_EVERY]
    courses = _courses(seed, hosts)
    return Cast(people, hosts, [*courses * 3, *_rooms(seed, hosts)])


def guest(seed: str, *parts: object) -> Person:
    rng = dice(seed, "guest", *parts)
    return Person(None, "", rng.choice((f"{rng.choice(_FIRST)}'s iPhone", f"{rng.choice(_FIRST)} {rng.choice(_LAST)}")), "", "")


def _person(seed: str, huid: str) -> Person:
    rng = dice(seed, "person", huid)
    return Person(
        huid=huid,
        id=urlsafe_b64encode(rng.randbytes(16)).decode().rstrip("="),
        name=f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
        email=f"{huid}@{DOMAIN}",
        dept=rng.choice(("Arts & Sciences", "Extension", "Wirtschaft", "")),
    )


def _courses(seed: str, hosts: Sequence[Person]) -> list[Series]:
    titles = dict.fromkeys(lecture.course for lecture in lectures(seed) if lecture.course)
    made = []
    for nth, title in enumerate(titles):
        for section in range(4):
            rng = dice(seed, "section", nth, section)
            number = rng.randrange(*((10**8, 10**9), (9 * 10**10, 10**11))[section % 2])
            kind = SCHEDULED if section == 3 else RECURRING
            topic = f"{title} – Section {section + 1}" if section else title
            made.append(Series(number, kind, topic, hosts[(nth * 4 + section) % len(hosts)], 4 + rng.randrange(22)))
    return made


def _rooms(seed: str, hosts: Sequence[Person]) -> list[Series]:
    return [
        Series(dice(seed, "room", host.huid).randrange(10**9, 10**10), PERSONAL, f"{host.name}'s Personal Meeting Room", host, 3)
        for host in hosts
    ]
