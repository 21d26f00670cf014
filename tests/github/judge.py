"""What a sink holds beside what is true, table by table and column by column: missing, doubled, stale, not true.

What cannot be known is not asked for: of a repository that was deleted, what happened after the last look; commits that were
forced away before anybody looked; the new name of a repository in rows that were read under its old one; and when a review
changed that was read by REST, where GraphQL failed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from harvester.sandbox.github_truth import TABLES, GitHubTruth
from harvester.sandbox.github_world import Repository

Row = Mapping[str, Any]
Held = Mapping[str, Sequence[Row]]
"""Table → rows, each with its `subject`."""
OURS = {"private": "is_private", "archived": "is_archived", "gone": "is_gone"}
"""Columns that the truth calls otherwise."""
NOT_OURS = frozenset({"has_issues", "current", "author_login"})
_NAMED = frozenset({"repository", "url"})
_LATE = timedelta(minutes=10)
"""So long before a look GitHub's list may be as old as: what was on its way then need not be known."""


class Judgement(NamedTuple):
    """Of one table, or of several together."""

    true: int = 0
    missing: int = 0
    doubled: int = 0
    stale: int = 0
    unknown: int = 0
    """Held, and not true."""

    @property
    def faults(self) -> int:
        return self.missing + self.doubled + self.stale + self.unknown


class Judge:
    """Knows the truth at one moment, and what of it could be known."""

    def __init__(self, truth: GitHubTruth, repositories: Sequence[Repository], looked: datetime) -> None:
        """`looked`: the last look before repositories were deleted."""
        self._truth = truth
        self._names = {each.id: {name for _, name in each.names} for each in repositories}
        self._gone = {row["repository_id"] for row in truth.repositories.values() if row["gone"]}
        self._looked = looked - _LATE
        self.untold = 0
        """Reviews that were read by REST, where GraphQL failed, and lack the time of their change: REST does not tell it."""
        self._ever: dict[str, set[int]] = {}
        """Commit → the pull requests that it ever was in."""
        self._current: dict[str, set[int]] = {}
        for row in truth.pr_commits.values():
            key = f"{row['repository_id']}/{row['sha']}"
            self._ever.setdefault(key, set()).add(row["pr_number"])
            if row["current"]:
                self._current.setdefault(key, set()).add(row["pr_number"])

    def columns(self, table: str) -> list[str]:
        """What of a table is compared, by our names."""
        row = next(iter(getattr(self._truth, table).values()))
        return [OURS.get(name, name) for name in row if name not in NOT_OURS]

    def of(self, held: Held) -> Mapping[str, Judgement]:
        """Table → what was found."""
        self.untold = 0
        return {table: self._of(table, held.get(table, ())) for table in TABLES}

    def _of(self, table: str, rows: Sequence[Row]) -> Judgement:
        true: Mapping[str, Row] = getattr(self._truth, table)
        known = {str(row["subject"]): row for row in rows}
        needed = {key for key, row in true.items() if self._needed(table, key, row)}
        return Judgement(
            true=len(true),
            missing=len(needed - known.keys()),
            doubled=len(rows) - len(known),
            stale=sum(key in known and not self._same(table, key, row, known[key]) for key, row in true.items()),
            unknown=len(known.keys() - true.keys()),
        )

    def _needed(self, table: str, key: str, row: Row) -> bool:
        """Whether it must be held."""
        if table == "commits" and key not in self._current:
            return False
        if table == "pr_commits" and not row["current"]:
            return False
        return row["repository_id"] not in self._gone or table == "repositories" or self._changed(table, row) < self._looked

    def _changed(self, table: str, row: Row) -> datetime:
        """When a look would have shown it."""
        if table in ("commits", "pr_commits", "reviews"):
            row = self._truth.pull_requests[f"{row['repository_id']}/{row['pr_number']}"]
        changed: datetime = row["updated_at"]
        return changed

    def _same(self, table: str, key: str, row: Row, held: Row) -> bool:
        if row["repository_id"] in self._gone:  # what it was last like need not have been seen
            return table != "repositories" or held["is_gone"] is True
        if table == "pr_commits" and not row["current"]:
            return True
        wrong = [name for name, value in row.items() if name not in NOT_OURS | _NAMED and not self._equal(name, value, held)]
        if table == "commits" and wrong == ["pr_number"]:
            return self._first_seen(key, held["pr_number"]) and self._well_named(row, held)
        if table == "reviews" and wrong == ["updated_at"] and held["updated_at"] is None:
            self.untold += 1
            return self._well_named(row, held)
        return not wrong and self._well_named(row, held)

    def _equal(self, name: str, value: object, held: Row) -> bool:
        return bool(held[OURS.get(name, name)] == (None if value == "" else value))

    def _first_seen(self, key: str, number: int) -> bool:
        """Whether it may be the first pull request of a commit, of those that were seen with it."""
        return number in self._ever[key] and number <= min(self._current.get(key, {number}))

    def _well_named(self, row: Row, held: Row) -> bool:
        """Under a name that the repository has, or had when this was read."""
        name = held["repository"]
        if name not in self._names[row["repository_id"]]:
            return False
        if "url" not in row:
            return True
        place = f"/{row['organization']}/"
        return bool(held["url"] == row["url"].replace(f"{place}{row['repository']}/", f"{place}{name}/"))


def together(found: Iterable[Judgement]) -> Judgement:
    """Several as one."""
    sums: Counter[str] = Counter()
    for judgement in found:
        sums.update(judgement._asdict())
    return Judgement(**sums)
