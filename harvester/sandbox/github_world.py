"""The organisation as it stands at an instant: nothing is stored, repositories are made when they are asked for."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from harvester.sandbox.dice import dice
from harvester.sandbox.github_making import DAY, Maker, Place
from harvester.sandbox.github_people import Account, team
from harvester.sandbox.github_settings import GitHubSandboxSettings
from harvester.sandbox.github_threads import NEVER, Thread

_NOUNS = ("widgets", "lectures", "player", "search-index", "infra", "website", "api", "mobile", "docs", "tools", "legacy", "data")
_STACKED = 0.08


class Repository(NamedTuple):
    """With `traps`, of each dozen the one numbered 3 has no issues, 4 begins a day after the sandbox's start, 5 is empty, 7 was
    renamed and will be again a day after the start, 9 is deleted two days after the start, 10 was archived, 11 is young.
    """

    serial: int
    names: Sequence[tuple[int, str]]
    """Since when it is called so; the first: since it was founded."""
    private: bool
    issues: bool
    """Whether plain issues are switched on."""
    empty: bool
    archived: int
    deleted: int

    @property
    def id(self) -> int:
        return 700_000_001 + self.serial * 17

    @property
    def founded(self) -> int:
        return self.names[0][0]

    def name(self, now: int) -> str:
        return self.names[max(0, bisect_right(self.names, now, key=lambda each: each[0]) - 1)][1]

    def there(self, now: int) -> bool:
        return self.founded <= now < self.deleted


class World:
    def __init__(self, settings: GitHubSandboxSettings, *, start: int) -> None:
        """`start`: where the sandbox's clock began, seconds."""
        self._settings = settings
        self.since = (start - int(settings.history.total_seconds())) // DAY * DAY
        """When the organisation was founded."""
        self.team = team(settings.seed)
        number = settings.repositories
        self.repositories: Sequence[Repository] = [self._repository(index, start) for index in range(number)]
        weights = [(index + 1) ** -0.6 for index in range(number)]
        self._shares = [weight / sum(weights) for weight in weights]
        self._threads: dict[int, list[Thread]] = {}
        self._made: dict[int, int] = {}
        self._sorted: dict[int, tuple[int, list[Thread]]] = {}
        self.org = Account(settings.org, 9_000_001, "Organization", settings.org.title(), "")

    def _repository(self, index: int, start: int) -> Repository:
        trap = index % 12 if self._settings.traps else -1
        name = _NOUNS[index % 12] + (f"-{index // 12}" if index >= 12 else "")
        past = start - self.since
        founded = {4: start + DAY, 11: self.since + past // 2}.get(trap, self.since) + index * 61
        names = [(founded, f"old-{name}"), (self.since + past * 2 // 3, name)] if trap == 7 else [(founded, name)]
        if trap == 7:
            names.append((start + DAY, f"new-{name}"))
        return Repository(
            serial=index,
            names=names,
            private=index % 3 == 1,
            issues=trap != 3,
            empty=trap == 5,
            archived=self.since + past * 7 // 10 if trap == 10 else NEVER,
            deleted=start + 2 * DAY if trap == 9 else NEVER,
        )

    def there(self, now: int) -> list[Repository]:
        return [repository for repository in self.repositories if repository.there(now)]

    def named(self, name: str, now: int) -> tuple[Repository, bool] | None:
        """The repository of this name, and whether it is called so now; None: no such."""
        for repository in self.there(now):
            if repository.name(now).lower() == name.lower():
                return repository, True
        for repository in self.there(now):
            if any(old.lower() == name.lower() and begin <= now for begin, old in repository.names):
                return repository, False
        return None

    def by_id(self, number: int, now: int) -> Repository | None:
        index, odd = divmod(number - 700_000_001, 17)
        if odd or not 0 <= index < len(self.repositories):
            return None
        repository = self.repositories[index]
        return repository if repository.there(now) else None

    def threads(self, repository: Repository, now: int) -> list[Thread]:
        """All pull requests and issues that are there, by number."""
        made = self._made_until(repository, now)
        return [thread for thread in made if thread.visible <= now] if made and made[-1].visible > now else made

    def pulls(self, repository: Repository, now: int) -> list[Thread]:
        return [thread for thread in self.by_update(repository, now) if thread.pull]

    def by_update(self, repository: Repository, now: int) -> list[Thread]:
        """All threads, by the time of their last update and their number, the oldest first."""
        kept = self._sorted.get(repository.serial)
        if kept is None or kept[0] != now:
            found = sorted(self.threads(repository, now), key=lambda thread: (thread.updated(now), thread.number))
            kept = self._sorted[repository.serial] = now, found
        return kept[1]

    def thread(self, repository: Repository, number: int, now: int) -> Thread | None:
        made = self._made_until(repository, now)
        thread = made[number - 1] if 0 < number <= len(made) else None
        return thread if thread is not None and thread.visible <= now else None

    def pushed(self, repository: Repository, now: int) -> int:
        """When something was pushed last."""
        pushes = (thread.state(now).commits[-1].committed for thread in self.threads(repository, now) if thread.pull)
        return max(pushes, default=repository.founded)

    def open(self, repository: Repository, now: int) -> int:
        """Pull requests and issues that are open."""
        return sum(thread.state(now).standing == "open" for thread in self.threads(repository, now))

    def updated(self, repository: Repository, now: int) -> int:
        """When its own settings changed last: comments and reviews do not move it."""
        moments = [begin for begin, _ in repository.names if begin <= now] + [repository.archived]
        return max(moment for moment in moments if moment <= now)

    def _made_until(self, repository: Repository, now: int) -> list[Thread]:
        """The threads that begin by the end of the day of `now`, and perhaps later ones."""
        threads = self._threads.setdefault(repository.serial, [])
        if repository.empty:
            return threads
        if repository.serial not in self._made:
            self._found(repository, threads)
            self._made[repository.serial] = repository.founded // DAY
        last = min(now, repository.archived, repository.deleted) // DAY
        for day in range(self._made[repository.serial], last + 1):
            self._day(repository, day, threads)
        self._made[repository.serial] = max(self._made[repository.serial], last + 1)
        return threads

    def _found(self, repository: Repository, threads: list[Thread]) -> None:
        place = self._place(repository)
        for number in range(1, self._settings.imported + 1):
            created = repository.founded - 400 * DAY + number * 3601
            pull = not repository.issues or number % 4 > 0
            threads.append(Maker(place, number, created, pull=pull, founded=repository.founded).imported())

    def _day(self, repository: Repository, day: int, threads: list[Thread]) -> None:
        rng = dice(self._settings.seed, "github-day", repository.serial, day)
        rate = self._settings.pulls_per_day * self._shares[repository.serial] * (1.4 if day % 7 not in {2, 3} else 0.3)
        pulls = int(rate + rng.random())
        issues = int(rate / 3 + rng.random()) if repository.issues else 0
        begins = sorted((day * DAY + rng.randrange(DAY), nth < pulls) for nth in range(pulls + issues))
        place = self._place(repository)
        for created, pull in begins:
            if not repository.founded < created < min(repository.archived, repository.deleted):
                continue
            maker = Maker(place, len(threads) + 1, created, pull=pull)
            below = threads[-1 - rng.randrange(5)] if len(threads) > 4 and rng.random() < _STACKED else None
            stacked = below if below and below.pull and below.state(created).standing == "open" else None
            threads.append(maker.pull(stacked) if pull else maker.issue())

    def _place(self, repository: Repository) -> Place:
        return Place(self._settings.seed, repository.serial, self.team, self._settings.huge_every)
