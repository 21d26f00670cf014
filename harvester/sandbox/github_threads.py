"""A pull request or an issue with everything that will ever happen to it. All times in whole seconds since 1970."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from harvester.sandbox.github_people import Account

NEVER = 2**62
Standing = Literal["open", "closed", "merged"]
Verdict = Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED", "PENDING"]


class Commit(NamedTuple):
    sha: str
    author: Account | None
    """None: the account is deleted; its name and address stay."""
    name: str
    email: str
    authored: int
    committed: int
    web: bool
    """Done on the web: the committer is GitHub."""
    message: str
    additions: int
    deletions: int
    files: int
    parent: str


class State(NamedTuple):
    """What can be changed of a thread; the same until the next change."""

    title: str
    labels: tuple[str, ...] = ()
    standing: Standing = "open"
    draft: bool = False
    base: str = "main"
    commits: tuple[Commit, ...] = ()
    closed: int = NEVER
    merged_by: Account | None = None


class Remark(NamedTuple):
    """A review comment."""

    id: int
    review: int
    author: Account | None
    created: int
    edited: int
    path: str
    line: int
    commit: str
    reply_to: int = 0
    """0: it opens a conversation."""

    def updated(self, now: int) -> int:
        return self.edited if self.edited <= now else self.created


class Comment(NamedTuple):
    """An issue comment."""

    id: int
    author: Account | None
    created: int
    edited: int

    def updated(self, now: int) -> int:
        return self.edited if self.edited <= now else self.created


class Review(NamedTuple):
    id: int
    author: Account | None
    begun: int
    """From then on its author sees it, PENDING."""
    submitted: int
    verdict: Verdict
    dismissed: int
    """It is overwritten in place; NEVER: it stays."""
    edited: int
    commit: str

    def state(self, now: int) -> Verdict:
        if self.submitted > now:
            return "PENDING"
        return "DISMISSED" if self.dismissed <= now else self.verdict

    def updated(self, now: int) -> int:
        return max(time for time in (self.begun, self.submitted, self.dismissed, self.edited) if time <= now)


class Thread:
    """A pull request, or a plain issue: both have numbers of one row."""

    def __init__(self, repository: int, number: int, *, pull: bool, author: Account | None, created: int, visible: int) -> None:
        """`visible`: since when it is there; later than `created` where it was imported."""
        self.repository, self.number, self.pull = repository, number, pull
        self.author, self.created, self.visible = author, created, visible
        self.head_ref = f"topic-{number}"
        self.fork: Account | None = None
        """Whose fork the branch is in; None: it is in the repository itself."""
        self.fork_gone = NEVER
        self.reviews: list[Review] = []
        self.remarks: list[Remark] = []
        self.comments: list[Comment] = []
        self._times: list[int] = []
        self._states: list[State] = []
        self._moves: list[int] = [visible]

    @property
    def id(self) -> int:
        """The `id` of a pull request, or of an issue; beyond 32 bits, as they are today."""
        return 2_200_000_000 + self.number * 1000 + self.repository

    @property
    def issue_id(self) -> int:
        """The `id` under which the list of issues has it."""
        return self.id + 1_000_000_000

    def child_id(self, nth: int) -> int:
        return 3_000_000_000 + (self.number * 1000 + self.repository) * 1024 + nth

    def change(self, at: int, state: State, *, moves: bool = True) -> None:
        """From `at` on, and not before the last change, it is like `state`. `moves`: updated_at tells of it."""
        at = max(at, self._times[-1]) if self._times else at
        self._times.append(at)
        self._states.append(state)
        if moves:
            self.touch(at)

    def touch(self, at: int) -> None:
        """updated_at says `at` from then on."""
        if at != self.created:
            self._moves.append(max(at, self.visible))

    def settle(self) -> "Thread":
        """Call it when everything is said."""
        self._moves.sort()
        for children in (self.remarks, self.comments):
            children.sort(key=lambda child: (child.created, child.id))
        self.reviews.sort(key=lambda review: (review.begun, review.id))
        return self

    @property
    def last(self) -> State:
        """The state after the last change made so far."""
        return self._states[-1]

    @property
    def changed(self) -> int:
        """When the last change made so far was."""
        return self._times[-1]

    def state(self, now: int) -> State:
        return self._states[max(0, bisect_right(self._times, now) - 1)]

    def states(self, now: int) -> Iterator[State]:
        """All that it ever was like, until now."""
        yield from self._states[: max(1, bisect_right(self._times, now))]

    def updated(self, now: int) -> int:
        return self._moves[max(0, bisect_right(self._moves, now) - 1)]

    def shown_reviews(self, now: int, *, pending: bool = True) -> list[Review]:
        """`pending`: with drafts, which only their authors see."""
        return [review for review in self.reviews if (review.begun if pending else review.submitted) <= now]

    def shown_remarks(self, now: int) -> list[Remark]:
        return [remark for remark in self.remarks if remark.created <= now]

    def shown_comments(self, now: int) -> list[Comment]:
        return [comment for comment in self.comments if comment.created <= now]

    def commits_ever(self, now: int) -> dict[str, Commit]:
        """Every commit that was ever among its commits, by sha: also those that a force push took away."""
        return {commit.sha: commit for state in self.states(now) for commit in state.commits}


def size_label(commits: Sequence[Commit]) -> str:
    lines = sum(commit.additions + commit.deletions for commit in commits)
    return f"size/{'S' if lines < 60 else 'M' if lines < 250 else 'L' if lines < 1000 else 'XL'}"
