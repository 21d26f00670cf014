"""What is true of the organisation: the rows that a sink must hold once everything was read, as plain tables.

As GraphQL tells it. Addresses (`url`) hold the name that a repository has now; nothing moves when it is renamed.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from harvester.sandbox.clock import moment_of
from harvester.sandbox.github_names import WEB
from harvester.sandbox.github_people import WEB_FLOW, Account
from harvester.sandbox.github_thread_rows import body_of, merge_sha, position, review_body, sizes
from harvester.sandbox.github_threads import NEVER, Comment, Commit, Remark, Review, Thread
from harvester.sandbox.github_world import Repository, World

Row = dict[str, Any]
TABLES = ("repositories", "pull_requests", "commits", "pr_commits", "reviews", "review_comments", "issue_comments")


class GitHubTruth(msgspec.Struct, frozen=True, kw_only=True):
    """Table → key → row, at one moment. Keys: `<repository id>/<number, sha, number/sha or id>`; of repositories the id."""

    now: datetime
    repositories: Mapping[str, Row]
    """Also those that are deleted, with `gone`: their other rows are as they were last."""
    pull_requests: Mapping[str, Row]
    commits: Mapping[str, Row]
    """Every commit that was ever among those of a pull request, with the lowest number of one it was in."""
    pr_commits: Mapping[str, Row]
    """Every pair that ever was to be seen; `current` tells those that still are, `position` where it is or was last."""
    reviews: Mapping[str, Row]
    """Without drafts."""
    review_comments: Mapping[str, Row]
    issue_comments: Mapping[str, Row]
    """Those on pull requests; comments on plain issues are none of them."""


class GitHubOracle:
    """Knows the truth without having stored it: it makes the same threads as the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def rows(self, now: int, start: int, end: int) -> Iterator[tuple[str, str, Row]]:
        """Table, key and row of what was updated from `start` on and before `end`: what is in a pull request goes by its
        update, comments by their own. All repositories.
        """
        for repository in self._world.repositories:
            if repository.founded > now:
                continue
            last = min(now, repository.deleted - 1)
            teller = _Teller(self._world, repository, last)
            yield "repositories", str(repository.id), teller.repository(gone=repository.deleted <= now)
            for thread in self._world.threads(repository, last):
                if thread.pull:
                    yield from teller.pull(thread, start, end)


def gathered(now: datetime, rows: Iterator[tuple[str, str, Row]]) -> GitHubTruth:
    tables: dict[str, dict[str, Row]] = {table: {} for table in TABLES}
    for table, key, row in rows:
        tables[table].setdefault(key, row)  # threads come by number: of a commit in several, the lowest stays
    return GitHubTruth(now=now, **tables)


class _Teller:
    def __init__(self, world: World, repository: Repository, now: int) -> None:
        self._repository, self._now, self._org = repository, now, world.org.login
        self._pushed = world.pushed(repository, now)
        name = repository.name(now)
        self._web = f"{WEB}/{world.org.login}/{name}"
        self._same = {"repository_id": repository.id, "repository": name, "organization": world.org.login}

    def repository(self, *, gone: bool) -> Row:
        where = self._repository
        told = {"private": where.private, "archived": where.archived <= self._now, "has_issues": where.issues, "gone": gone}
        return {**self._same, "created_at": _time(where.founded), "pushed_at": _time(self._pushed), **told}

    def pull(self, thread: Thread, start: int, end: int) -> Iterator[tuple[str, str, Row]]:
        now, prefix = self._now, f"{self._repository.id}"
        if start <= thread.updated(now) < end:
            yield "pull_requests", f"{prefix}/{thread.number}", self._pull(thread)
            for sha, commit, place, current in _pairs(thread, now):
                yield "commits", f"{prefix}/{sha}", self._commit(thread, commit)
                pair = {**self._same, "pr_number": thread.number, "sha": sha, "position": place, "current": current}
                yield "pr_commits", f"{prefix}/{thread.number}/{sha}", pair
            for review in thread.shown_reviews(now, pending=False):
                yield "reviews", f"{prefix}/{review.id}", self._review(thread, review)
        for remark in thread.shown_remarks(now):
            if start <= remark.updated(now) < end:
                yield "review_comments", f"{prefix}/{remark.id}", self._remark(thread, remark)
        for comment in thread.shown_comments(now):
            if start <= comment.updated(now) < end:
                yield "issue_comments", f"{prefix}/{comment.id}", self._comment(thread, comment)

    def _pull(self, thread: Thread) -> Row:
        now, state = self._now, thread.state(self._now)
        merged = state.standing == "merged"
        return {
            **self._same,
            "pr_number": thread.number,
            "title": state.title,
            "state": "open" if state.standing == "open" else "closed",
            **_by(thread.author),
            "author_id": thread.author.id if thread.author else None,
            "created_at": _time(thread.created),
            "updated_at": _time(thread.updated(now)),
            "closed_at": _time(state.closed) if state.closed <= now else None,
            "merged_at": _time(state.closed) if merged else None,
            "url": f"{self._web}/pull/{thread.number}",
            **sizes(state),
            "labels": list(state.labels),
            "size_label": next((label for label in state.labels if label.startswith("size/")), None),
            "commit_count": len(state.commits),
            "review_count": len(thread.shown_reviews(now, pending=False)),
            "review_comment_count": len(thread.shown_remarks(now)),
            "issue_comment_count": len(thread.shown_comments(now)),
            "is_draft": state.draft,
            "is_merged": merged,
            "merge_commit_sha": merge_sha(thread) if merged else None,
            "base_ref": state.base,
            "head_ref": thread.head_ref,
        }

    def _commit(self, thread: Thread, commit: Commit) -> Row:
        known = commit.author if commit.author and commit.author.linked and commit.author.kind == "User" else None
        author = known.login if known else commit.name
        return {
            **self._same,
            "sha": commit.sha,
            "pr_number": thread.number,
            "author": author,
            "author_login": known.login if known else None,
            "author_name": commit.name,
            "author_email": commit.email,
            "committer": WEB_FLOW.name if commit.web else author,
            "committer_email": WEB_FLOW.email if commit.web else commit.email,
            "message": commit.message,
            "commit_date": _time(commit.committed),
            "author_date": _time(commit.authored),
            "url": f"{self._web}/commit/{commit.sha}",
        }

    def _review(self, thread: Thread, review: Review) -> Row:
        who = _by(review.author)
        return {
            **self._same,
            "review_id": review.id,
            "pr_number": thread.number,
            "reviewer": who["author"],
            "reviewer_type": who["author_type"],
            "state": review.state(self._now),
            "body": review_body(review, self._now),
            "submitted_at": _time(review.submitted),
            "updated_at": _time(review.updated(self._now)),
            "commit_id": review.commit,
            "url": f"{self._web}/pull/{thread.number}#pullrequestreview-{review.id}",
        }

    def _remark(self, thread: Thread, remark: Remark) -> Row:
        where = {"path": remark.path, "position": position(remark), "commit_id": remark.commit}
        return {**self._said(thread, remark, "remark", f"discussion_r{remark.id}"), **where}

    def _comment(self, thread: Thread, comment: Comment) -> Row:
        return self._said(thread, comment, "comment", f"issuecomment-{comment.id}")

    def _said(self, thread: Thread, told: Remark | Comment, what: str, anchor: str) -> Row:
        return {
            **self._same,
            "comment_id": told.id,
            "pr_number": thread.number,
            **_by(told.author),
            "body": body_of(what, told, self._now),
            "created_at": _time(told.created),
            "updated_at": _time(told.updated(self._now)),
            "url": f"{self._web}/pull/{thread.number}#{anchor}",
        }


def _pairs(thread: Thread, now: int) -> Iterator[tuple[str, Commit, int, bool]]:
    """sha, commit, its place among those of the pull request, and whether it is still one of them."""
    places = {commit.sha: nth for state in thread.states(now) for nth, commit in enumerate(state.commits)}
    current = {commit.sha for commit in thread.state(now).commits}
    for sha, commit in thread.commits_ever(now).items():
        yield sha, commit, places[sha], sha in current


def _by(account: Account | None) -> Row:
    if account is None:
        return {"author": "ghost", "author_type": "Unknown"}
    return {"author": account.rest_login, "author_type": account.kind}


def _time(moment: int) -> datetime | None:
    return moment_of(moment * 1000) if moment < NEVER else None
