"""Threads, made up: what happens to one is a function of the seed, its repository, its number and its beginning alone."""

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple

from harvester.sandbox.dice import dice, share
from harvester.sandbox.github_people import Account, Team
from harvester.sandbox.github_threads import NEVER, Comment, Commit, Remark, Review, Standing, State, Thread, Verdict, size_label

DAY = 86_400
_WORDS = (
    "cache",
    "login",
    "export",
    "paging",
    "clock",
    "search",
    "queue",
    "schema",
    "Übersicht",
    "日付",
    "retry",
    "null",
    "docs",
)
_VERBS = ("Fix", "Add", "Drop", "Rework", "Bump", "Speed up", "Document", "Test")
_KINDS = ("bug", "chore", "dependencies", "good first issue")
_VERDICTS: Sequence[Verdict] = ("APPROVED", "APPROVED", "CHANGES_REQUESTED", "COMMENTED", "COMMENTED")
_BULK = 0.06
"""Days on which all threads that are open long are labelled in one second."""


class Place(NamedTuple):
    """Where threads are made."""

    seed: str
    repository: int
    team: Team
    huge_every: int


class Maker:
    """Makes one thread."""

    def __init__(self, place: Place, number: int, created: int, *, pull: bool, founded: int = 0) -> None:
        """`founded`: it was imported then."""
        self._place = place
        self._rng = dice(place.seed, "github-thread", place.repository, number)
        imported = founded > 0
        mannequin = imported and self._rng.random() < 0.7
        author = self._rng.choice(place.team.mannequins) if mannequin else place.team.author(self._rng)
        self.thread = Thread(place.repository, number, pull=pull, author=author, created=created, visible=founded or created)
        self._children = 0

    def imported(self) -> Thread:
        """Closed or open, with a comment; nothing of it changes after it was imported."""
        thread, rng = self.thread, self._rng
        state = State(self._title(), commits=tuple(self._commits(1, thread.created)) if thread.pull else ())
        thread.change(thread.created, state, moves=False)
        if rng.random() < 0.6:
            standing: Standing = "merged" if thread.pull and rng.random() < 0.7 else "closed"
            thread.change(thread.created + 3600, state._replace(standing=standing, closed=thread.created + 3600), moves=False)
        thread.comments.append(Comment(self._next(), thread.author, thread.visible, NEVER))
        return thread.settle()

    def issue(self) -> Thread:
        thread, rng = self.thread, self._rng
        state = State(self._title(), (rng.choice(_KINDS),) if rng.random() < 0.5 else ())
        thread.change(thread.created, state)
        end = thread.created + int(rng.expovariate(1 / (6 * DAY))) + 60
        self._talk(end, most=4)
        self._bulk(end)
        if rng.random() < 0.7:
            self._change(end, standing="closed", closed=end)
        return thread.settle()

    def pull(self, stacked_on: Thread | None) -> Thread:
        """`stacked_on`: an older one whose commits it begins with."""
        thread, rng = self.thread, self._rng
        below = stacked_on.state(thread.created).commits if stacked_on else ()
        huge = bool(self._place.huge_every) and share(self._place.seed, "huge", thread.repository, thread.number)
        number = rng.randrange(251, 330) if huge and huge < 1 / self._place.huge_every else 1 + int(rng.expovariate(0.8))
        commits = (*below, *self._commits(number, thread.created, below))
        state = State(self._title(), draft=rng.random() < 0.15, commits=commits)
        if stacked_on is not None and rng.random() < 0.5:
            state = state._replace(base=stacked_on.head_ref)
        thread.change(thread.created, state)
        life = int(rng.expovariate(1 / (3 * DAY))) + 120
        outcome = rng.random()
        end = thread.created + life
        self._work(end)
        self._talk(end + 2 * DAY, most=6)
        if outcome < 0.87:
            self._close(end, merged=outcome < 0.72)
        if rng.random() < 0.2:
            thread.fork = self._place.team.person(rng)
            thread.fork_gone = end if outcome < 0.87 and rng.random() < 0.4 else NEVER
        return thread.settle()

    def _work(self, end: int) -> None:
        """What happens between its opening and its end: in the order of time."""
        thread, rng = self.thread, self._rng
        what = [("size", thread.created + rng.randrange(2, 90))] if rng.random() < 0.7 else []
        what += [("push", self._between(end)) for _ in range(int(rng.expovariate(0.8)))]
        what += [("review", self._between(end)) for _ in range(int(rng.expovariate(0.6)))]
        chances = (("force", 0.12), ("title", 0.1), ("label", 0.3), ("base", 0.1), ("ready", 0.5), ("reopened", 0.05))
        what += [(kind, self._between(end)) for kind, chance in chances if rng.random() < chance]
        what += [("bulk", at) for at in bulks(self._place, thread.created, end)]
        for kind, at in sorted(what, key=lambda each: (each[1], each[0])):
            self._happens(kind, at)

    def _happens(self, kind: str, at: int) -> None:
        state = self.thread.last
        match kind:
            case "push" | "force":
                self._pushed(at, state, forced=kind == "force")
            case "size":
                self._change(at, labels=_sized(state.labels, state.commits))
            case "label" | "bulk":
                label = "stale" if kind == "bulk" else self._rng.choice(_KINDS)
                self._change(at, labels=tuple(dict.fromkeys((*state.labels, label))))
            case "title":
                self._change(at, title=self._title())
            case "ready" if state.draft:
                self._change(at, draft=False)
            case "base":
                base = "main" if state.base != "main" else "release"
                self.thread.change(at, state._replace(base=base), moves=self._rng.random() < 0.5)
            case "reopened":
                self._change(at, standing="closed", closed=at)
                self._change(at + 300, standing="open", closed=NEVER)
            case "review":
                self._review(at)

    def _pushed(self, at: int, state: State, *, forced: bool) -> None:
        """Commits are added; or the newer half of them is replaced."""
        kept = state.commits[: len(state.commits) // 2] if forced else state.commits
        number = max(1, len(state.commits) - len(kept)) if forced else 1 + int(self._rng.expovariate(1.2))
        pushed = (*kept, *self._commits(number, at, kept))
        self._change(at, commits=pushed)
        if any(label.startswith("size/") for label in state.labels):
            self._change(at + 2, labels=_sized(state.labels, pushed))

    def _change(self, at: int, **fields: Any) -> None:
        self.thread.change(at, self.thread.last._replace(**fields))

    def _close(self, end: int, *, merged: bool) -> None:
        by = self._place.team.person(self._rng) if merged else None
        at = max(end, self.thread.changed + 1)
        self._change(at, standing="merged" if merged else "closed", closed=at, merged_by=by)

    def _bulk(self, end: int) -> None:
        for at in bulks(self._place, self.thread.created, end):
            self._happens("bulk", at)

    def _talk(self, end: int, *, most: int) -> None:
        """Issue comments; an edit of one does not move the thread."""
        thread, rng = self.thread, self._rng
        for _ in range(min(most, int(rng.expovariate(0.55)))):
            at = self._between(end)
            edited = at + rng.randrange(30, 5 * DAY) if rng.random() < 0.15 else NEVER
            thread.comments.append(Comment(self._next(), self._place.team.author(rng), at, edited))
            thread.touch(at)

    def _review(self, at: int) -> None:
        """A review and the remarks in it; editing them does not move the pull request, dismissing it does not always."""
        thread, rng = self.thread, self._rng
        commits, author = thread.last.commits, self._place.team.author(rng)
        drafted = rng.random()
        submitted = NEVER if drafted < 0.04 else at + rng.randrange(60, 7200) if drafted < 0.12 else at
        review = Review(
            id=self._next(),
            author=author,
            begun=at,
            submitted=submitted,
            verdict=rng.choice(_VERDICTS),
            dismissed=submitted + rng.randrange(60, 3 * DAY) if rng.random() < 0.12 and submitted < NEVER else NEVER,
            edited=submitted + rng.randrange(60, 3 * DAY) if rng.random() < 0.1 and submitted < NEVER else NEVER,
            commit=commits[-1].sha,
        )
        thread.reviews.append(review)
        if submitted == NEVER:
            return
        thread.touch(submitted)
        if review.dismissed < NEVER and rng.random() < 0.5:
            thread.touch(review.dismissed)
        first = 0
        for _ in range(int(rng.expovariate(0.7))):
            first = self._remark(review, author, submitted, first)

    def _remark(self, review: Review, author: Account | None, at: int, first: int) -> int:
        """A remark in the review, or a reply later; the id of the first one."""
        thread, rng = self.thread, self._rng
        reply = first and rng.random() < 0.3
        created = at + rng.randrange(60, DAY) if reply else at
        edited = created + rng.randrange(30, 4 * DAY) if rng.random() < 0.15 else NEVER
        who = self._place.team.author(rng) if reply else author
        path = f"src/{rng.choice(_WORDS)}.py"
        number = self._next()
        thread.remarks.append(
            Remark(number, review.id, who, created, edited, path, rng.randrange(1, 400), review.commit, first if reply else 0)
        )
        thread.touch(created)
        return first or number

    def _commits(self, number: int, at: int, below: Sequence[Commit] = ()) -> list[Commit]:
        rng, thread = self._rng, self.thread
        parent = below[-1].sha if below else sha_of(self._place.seed, thread.repository, "root", at // DAY)
        made: list[Commit] = []
        for nth in range(number):
            who = thread.author if rng.random() < 0.85 else self._place.team.author(rng)
            signed = who or self._place.team.people[-1]
            sha = sha_of(self._place.seed, thread.repository, thread.number, at, nth)
            committed = at - (number - nth)
            message = (
                f"{self._title()}\n\nCo-authored-by: Somebody <somebody@university.example>" if nth % 5 == 4 else self._title()
            )
            lines = rng.getrandbits(24)
            made.append(
                Commit(
                    sha=sha,
                    author=who,
                    name=signed.name,
                    email=signed.email or f"{signed.login}@laptop.local",
                    authored=committed - (lines & 0x3FFF),
                    committed=committed,
                    web=lines & 0x300000 == 0,
                    message=message,
                    additions=lines & 0x7F,
                    deletions=lines >> 7 & 0x3F,
                    files=1 + (lines >> 13 & 3),
                    parent=parent,
                )
            )
            parent = sha
        return made

    def _title(self) -> str:
        rng: Random = self._rng
        return f"{rng.choice(_VERBS)} {rng.choice(_WORDS)} of {rng.choice(_WORDS)}"

    def _between(self, end: int) -> int:
        begin = self.thread.created
        return begin + 1 + int((end - begin - 1) * self._rng.random())

    def _next(self) -> int:
        self._children += 1
        return self.thread.child_id(self._children)


def bulks(place: Place, begin: int, end: int) -> list[int]:
    """The seconds in which everything of a repository that has been open for a day is labelled; of sixty days at most."""
    days = range(begin // DAY + 2, min(end // DAY, begin // DAY + 60))
    lucky = [(day, share(place.seed, "github-bulk", place.repository, day)) for day in days]
    return [day * DAY + int(luck / _BULK * DAY) for day, luck in lucky if luck < _BULK]


def sha_of(*parts: object) -> str:
    return blake2b("\0".join(map(str, parts)).encode(), digest_size=20).hexdigest()


def _sized(labels: Sequence[str], commits: Sequence[Commit]) -> tuple[str, ...]:
    return (*(label for label in labels if not label.startswith("size/")), size_label(commits))
