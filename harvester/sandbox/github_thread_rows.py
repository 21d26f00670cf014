"""What REST answers about pull requests, issues, reviews and comments."""

from typing import Any

from harvester.sandbox.github_making import sha_of
from harvester.sandbox.github_names import COMMENT, ISSUE, PULL, REMARK, REPOSITORY, REVIEW, fork_id, iso, iso_or_none, node_id
from harvester.sandbox.github_people import GHOST, Account
from harvester.sandbox.github_rows import Row, label_rows, reactions, repository_row, repository_url, repository_web, user_row
from harvester.sandbox.github_rows import user_or_ghost as user
from harvester.sandbox.github_threads import Comment, Remark, Review, State, Thread
from harvester.sandbox.github_world import Repository, World


class Rows:
    """Rows of one repository at one moment."""

    def __init__(self, world: World, repository: Repository, now: int) -> None:
        self._world, self._repository, self._now = world, repository, now
        self._url, self._web = repository_url(world, repository, now), repository_web(world, repository, now)
        self._whole: Row | None = None

    def _row(self) -> Row:
        if self._whole is None:
            self._whole = repository_row(self._world, self._repository, self._now)
        return self._whole

    def issue(self, thread: Thread) -> Row:
        """As the list of issues has an issue or a pull request."""
        state, url = thread.state(self._now), f"{self._url}/issues/{thread.number}"
        web = f"{self._web}/{'pull' if thread.pull else 'issues'}/{thread.number}"
        row: Row = {
            "url": url,
            "repository_url": self._url,
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "html_url": web,
            "id": thread.issue_id,
            "node_id": node_id(PULL if thread.pull else ISSUE, self._repository.id, thread.number),
            **self._common(thread, state),
            "comments": len(thread.shown_comments(self._now)),
            "reactions": reactions(url),
            "timeline_url": f"{url}/timeline",
            "performed_via_github_app": None,
            "state_reason": "completed" if state.standing != "open" and not thread.pull else None,
        }
        if thread.pull:
            api = f"{self._url}/pulls/{thread.number}"
            links = {"url": api, "html_url": web, "diff_url": f"{web}.diff", "patch_url": f"{web}.patch"}
            row |= {"draft": state.draft, "pull_request": {**links, "merged_at": self._merged_at(state)}}
        return row

    def pull(self, thread: Thread) -> Row:
        """As the list of pull requests has it: without sizes and counts."""
        state = thread.state(self._now)
        url, web = f"{self._url}/pulls/{thread.number}", f"{self._web}/pull/{thread.number}"
        issue = f"{self._url}/issues/{thread.number}"
        head = state.commits[-1].sha
        links = {
            "self": url,
            "html": web,
            "issue": issue,
            "comments": f"{issue}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self._url}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{self._url}/statuses/{head}",
        }
        return {
            "url": url,
            "id": thread.id,
            "node_id": node_id(PULL, self._repository.id, thread.number),
            "html_url": web,
            "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch",
            "issue_url": issue,
            **self._common(thread, state),
            "merged_at": self._merged_at(state),
            "merge_commit_sha": self._merge_commit(thread),
            "requested_reviewers": [],
            "requested_teams": [],
            "draft": state.draft,
            **{f"{name}_url": links[name] for name in ("commits", "review_comments", "review_comment", "comments", "statuses")},
            "head": self._head(thread, head),
            "base": {
                "label": f"{self._world.org.login}:{state.base}",
                "ref": state.base,
                "sha": base_sha(thread),
                "user": user_row(self._world.org),
                "repo": self._row(),
            },
            "_links": {name: {"href": link} for name, link in links.items()},
            "auto_merge": None,
        }

    def detail(self, thread: Thread) -> Row:
        state, now = thread.state(self._now), self._now
        opened = state.standing == "open"
        return {
            **self.pull(thread),
            "merged": state.standing == "merged",
            "mergeable": True if opened else None,
            "rebaseable": True if opened else None,
            "mergeable_state": "clean" if opened else "unknown",
            "merged_by": user_row(state.merged_by) if state.merged_by else None,
            "comments": len(thread.shown_comments(now)),
            "review_comments": len(thread.shown_remarks(now)),
            "maintainer_can_modify": False,
            "commits": len(state.commits),
            **sizes(state),
        }

    def review(self, thread: Thread, review: Review) -> Row:
        """A deleted reviewer is null; a draft has no submitted_at."""
        pull, web = f"{self._url}/pulls/{thread.number}", f"{self._web}/pull/{thread.number}#pullrequestreview-{review.id}"
        row: Row = {
            "id": review.id,
            "node_id": node_id(REVIEW, self._repository.id, thread.number, review.id),
            "user": user_row(review.author) if review.author else None,
            "body": review_body(review, self._now),
            "state": review.state(self._now),
            "html_url": web,
            "pull_request_url": pull,
            "author_association": association(review.author),
            "_links": {"html": {"href": web}, "pull_request": {"href": pull}},
            "commit_id": review.commit,
        }
        return row if review.submitted > self._now else {**row, "submitted_at": iso(review.submitted)}

    def remark(self, thread: Thread, remark: Remark) -> Row:
        url, pull = f"{self._url}/pulls/comments/{remark.id}", f"{self._url}/pulls/{thread.number}"
        web = f"{self._web}/pull/{thread.number}#discussion_r{remark.id}"
        row: Row = {
            "url": url,
            "pull_request_review_id": remark.review,
            "id": remark.id,
            "node_id": node_id(REMARK, self._repository.id, thread.number, remark.id),
            "diff_hunk": f"@@ -{remark.line},1 +{remark.line},2 @@\n-old\n+new",
            "path": remark.path,
            "commit_id": remark.commit,
            "original_commit_id": remark.commit,
            "user": commenter(remark.author, remark.id),
            "body": body_of("remark", remark, self._now),
            "created_at": iso(remark.created),
            "updated_at": iso(remark.updated(self._now)),
            "html_url": web,
            "pull_request_url": pull,
            "author_association": association(remark.author),
            "_links": {"self": {"href": url}, "html": {"href": web}, "pull_request": {"href": pull}},
            "reactions": reactions(url),
            **dict.fromkeys(("start_line", "original_start_line", "start_side")),
            "line": remark.line,
            "original_line": remark.line,
            "side": "RIGHT",
            "original_position": position(remark),
            "position": position(remark),
            "subject_type": "line",
        }
        return {**row, "in_reply_to_id": remark.reply_to} if remark.reply_to else row

    def comment(self, thread: Thread, comment: Comment) -> Row:
        url = f"{self._url}/issues/comments/{comment.id}"
        return {
            "url": url,
            "html_url": f"{self._web}/{'pull' if thread.pull else 'issues'}/{thread.number}#issuecomment-{comment.id}",
            "issue_url": f"{self._url}/issues/{thread.number}",
            "id": comment.id,
            "node_id": node_id(COMMENT, self._repository.id, thread.number, comment.id),
            "user": commenter(comment.author, comment.id),
            "created_at": iso(comment.created),
            "updated_at": iso(comment.updated(self._now)),
            "author_association": association(comment.author),
            "body": body_of("comment", comment, self._now),
            "reactions": reactions(url),
            "performed_via_github_app": None,
        }

    def _common(self, thread: Thread, state: State) -> Row:
        return {
            "number": thread.number,
            "state": "open" if state.standing == "open" else "closed",
            "locked": False,
            "title": state.title,
            "user": user(thread.author),
            "body": thread_body(thread, state),
            "labels": label_rows(self._url, state.labels),
            "milestone": None,
            "active_lock_reason": None,
            "created_at": iso(thread.created),
            "updated_at": iso(thread.updated(self._now)),
            "closed_at": iso_or_none(state.closed, self._now),
            "assignee": None,
            "assignees": [],
            "author_association": association(thread.author),
        }

    def _merged_at(self, state: State) -> str | None:
        return iso_or_none(state.closed, self._now) if state.standing == "merged" else None

    def _merge_commit(self, thread: Thread) -> str | None:
        state = thread.state(self._now)
        return merge_sha(thread) if state.standing == "merged" else trial_merge_sha(thread) if state.standing == "open" else None

    def _head(self, thread: Thread, sha: str) -> Row:
        """A fork that is gone is null."""
        owner: Account = thread.fork or self._world.org
        gone = thread.fork_gone <= self._now
        repo: Any = None if gone else self._row() if thread.fork is None else self._forked(thread.fork)
        whose = None if gone else user_row(owner)
        return {"label": f"{owner.login}:{thread.head_ref}", "ref": thread.head_ref, "sha": sha, "user": whose, "repo": repo}

    def _forked(self, owner: Account) -> Row:
        row, number = self._row(), fork_id(self._repository.id, owner.id)
        whose: Row = {"full_name": f"{owner.rest_login}/{row['name']}", "fork": True, "owner": user_row(owner)}
        return {**row, "id": number, "node_id": node_id(REPOSITORY, number), **whose}


def sizes(state: State) -> dict[str, int]:
    return {
        "additions": sum(commit.additions for commit in state.commits),
        "deletions": sum(commit.deletions for commit in state.commits),
        "changed_files": sum(commit.files for commit in state.commits),
    }


def thread_body(thread: Thread, state: State) -> str | None:
    return None if thread.number % 5 == 0 else f"About {state.title.lower()}.\r\n\r\nCloses nothing."


def position(remark: Remark) -> int:
    """It stays: the vendor's becomes null when the line is gone, and nothing tells of it."""
    return remark.line % 40 + 1


def commenter(author: Account | None, number: int) -> Row | None:
    """Whose account is gone is null in some comments, a ghost in others."""
    return user_row(author) if author else user_row(GHOST) if number % 2 else None


def association(author: Account | None) -> str:
    return "NONE" if author is None or author.kind != "User" else "MEMBER"


def body_of(what: str, told: Remark | Comment, now: int) -> str:
    text = f"A {what} with a “quote”\r\nand a second line, number {told.id % 1000}."
    return f"{text} Edited." if told.edited <= now else text


def review_body(review: Review, now: int) -> str:
    text = "" if review.id % 3 == 0 else "LGTM! 👍"
    return f"{text} Edited." if review.edited <= now else text


def merge_sha(thread: Thread) -> str:
    return sha_of("merge", thread.repository, thread.number)


def trial_merge_sha(thread: Thread) -> str:
    """What an open pull request would be merged as."""
    return sha_of("test-merge", thread.repository, thread.number, thread.head_ref)


def base_sha(thread: Thread) -> str:
    return sha_of("base", thread.repository, thread.number)
