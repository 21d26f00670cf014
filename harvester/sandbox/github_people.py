"""Who works on GitHub: people of the university whose lectures the simulated Opencast has, bots, and who is gone."""

import re
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Literal, NamedTuple

from harvester.sandbox.dice import dice
from harvester.sandbox.zoom_people import cast

Kind = Literal["User", "Bot", "Mannequin", "Organization"]
_TEAM = 60


class Account(NamedTuple):
    login: str
    """Of a bot without `[bot]`, as GraphQL has it."""
    id: int
    kind: Kind
    name: str
    email: str
    linked: bool = True
    """Whether commits with its address are known to be its own."""

    @property
    def rest_login(self) -> str:
        return f"{self.login}[bot]" if self.kind == "Bot" else self.login


GHOST = Account("ghost", 10137, "User", "Deleted user", "")
"""Who stands, in REST, for a deleted account."""
WEB_FLOW = Account("web-flow", 19864447, "User", "GitHub", "noreply@github.example")
"""Who commits what is done on the web."""


class Team(NamedTuple):
    people: Sequence[Account]
    bots: Sequence[Account]
    mannequins: Sequence[Account]

    def author(self, rng: Random) -> Account | None:
        """Somebody; None: the account was deleted."""
        luck = rng.random()
        if luck < 0.03:
            return None
        return rng.choice(self.bots) if luck < 0.13 else self.person(rng)

    def person(self, rng: Random) -> Account:
        """The first of them do the most."""
        return self.people[int(len(self.people) * rng.random() ** 2)]


@cache
def team(seed: str) -> Team:
    """The same for each seed, and the same people as those who view and meet in the other sandboxes of that seed."""
    people = [
        Account(
            login=f"{re.sub('[^a-z]', '', person.name.lower()) or 'u'}-{person.huid}",
            id=dice(seed, "github-account", person.huid).randrange(10**5, 10**8),
            kind="User",
            name=person.name,
            email=person.email if nth % 7 != 3 else f"{person.huid}@laptop.local",
            linked=nth % 7 != 3,
        )
        for nth, person in enumerate(cast(seed).people[:_TEAM])
    ]
    bots = [
        Account("renovate", 29139614, "Bot", "renovate[bot]", "29139614+renovate[bot]@users.noreply.github.example"),
        Account("size-labels", 41898282, "Bot", "size-labels[bot]", "41898282+size-labels[bot]@users.noreply.github.example"),
        Account("acme-release-robot", 5150, "User", "Release Robot", "robot@university.example"),  # a bot that says it is a user
    ]
    mannequins = [Account(f"old-hand-{nth}", 90_000_000 + nth, "Mannequin", f"Old Hand {nth}", "") for nth in range(4)]
    return Team(people, bots, mannequins)
