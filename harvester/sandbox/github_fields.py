"""What each field of the GraphQL schema answers: computed when it is asked for."""

from collections.abc import Callable
from typing import Any

from harvester.sandbox.github_connections import (
    Arguments,
    author_of,
    comments,
    commit_of,
    commits,
    committer_of,
    head_owner,
    head_repository,
    headline_of,
    labels,
    merge_commit,
    named,
    person,
    remarks,
    repositories,
    reviews,
    talk,
    talks,
)
from harvester.sandbox.github_names import COMMENT, LABEL, REMARK, REVIEW, iso, iso_or_none, node_id
from harvester.sandbox.github_nodes import Context, OneCommit, actor, connection
from harvester.sandbox.github_thread_rows import association, base_sha, body_of, position, review_body, sizes, thread_body

Field = Callable[[Any, Context, Arguments], Any]

_COMMON: dict[str, Field] = {
    "id": lambda it, _c, _a: it.node,
    "databaseId": lambda it, _c, _a: it.thread.id,
    "fullDatabaseId": lambda it, _c, _a: str(it.thread.id),
    "number": lambda it, _c, _a: it.thread.number,
    "title": lambda it, _c, _a: it.state.title,
    "body": lambda it, _c, _a: thread_body(it.thread, it.state) or "",
    "url": lambda it, _c, _a: it.url,
    "resourcePath": lambda it, _c, _a: it.url.partition(".example")[2],
    "author": lambda it, c, _a: person(it.thread.author, c),
    "authorAssociation": lambda it, _c, _a: association(it.thread.author),
    "createdAt": lambda it, _c, _a: iso(it.thread.created),
    "updatedAt": lambda it, c, _a: iso(it.thread.updated(c.now)),
    "closedAt": lambda it, c, _a: iso_or_none(it.state.closed, c.now),
    "closed": lambda it, _c, _a: it.state.standing != "open",
    "lastEditedAt": lambda _it, _c, _a: None,  # here nobody edits what a thread began with
    "locked": lambda _it, _c, _a: False,
    "comments": comments,
    "labels": labels,
}
_PULL: dict[str, Field] = {
    "state": lambda it, _c, _a: it.state.standing.upper(),
    "repository": lambda it, _c, _a: it.repo,
    "mergedAt": lambda it, c, _a: iso_or_none(it.state.closed, c.now) if it.state.standing == "merged" else None,
    "merged": lambda it, _c, _a: it.state.standing == "merged",
    "mergedBy": lambda it, c, _a: person(it.state.merged_by, c),
    "mergeCommit": lambda it, _c, _a: merge_commit(it),
    "additions": lambda it, _c, _a: sizes(it.state)["additions"],
    "deletions": lambda it, _c, _a: sizes(it.state)["deletions"],
    "changedFiles": lambda it, _c, _a: sizes(it.state)["changed_files"],
    "isDraft": lambda it, _c, _a: it.state.draft,
    "isCrossRepository": lambda it, _c, _a: it.thread.fork is not None,
    "totalCommentsCount": lambda it, c, _a: len(it.thread.shown_comments(c.now)) + len(it.thread.shown_remarks(c.now)),
    "baseRefName": lambda it, _c, _a: it.state.base,
    "baseRefOid": lambda it, _c, _a: base_sha(it.thread),
    "headRefName": lambda it, _c, _a: it.thread.head_ref,
    "headRefOid": lambda it, _c, _a: it.state.commits[-1].sha,
    "headRepository": lambda it, c, _a: head_repository(it, c),
    "headRepositoryOwner": lambda it, c, _a: head_owner(it, c),
    "commits": commits,
    "reviews": reviews,
}


def _told(kind: str, name: str) -> dict[str, Field]:
    """The fields that both kinds of comments have; `name`: what they are called inside."""
    return {
        "id": lambda it, _c, _a: it.talk.child(kind, it[1].id),
        "databaseId": lambda it, _c, _a: it[1].id,
        "fullDatabaseId": lambda it, _c, _a: str(it[1].id),
        "body": lambda it, c, _a: body_of(name, it[1], c.now),
        "author": lambda it, c, _a: person(it[1].author, c),
        "authorAssociation": lambda it, _c, _a: association(it[1].author),
        "createdAt": lambda it, _c, _a: iso(it[1].created),
        "updatedAt": lambda it, c, _a: iso(it[1].updated(c.now)),
        "lastEditedAt": lambda it, c, _a: iso_or_none(it[1].edited, c.now),
    }


FIELDS: dict[str, dict[str, Field]] = {
    "Organization": {
        "repositories": repositories,
        "repository": lambda it, c, a: named(c, it["login"], a["name"]),
    },
    "Repository": {
        "id": lambda it, _c, _a: it.node,
        "databaseId": lambda it, _c, _a: it.number,
        "name": lambda it, _c, _a: it.name,
        "nameWithOwner": lambda it, _c, _a: it.full_name,
        "owner": lambda it, c, _a: actor(it.owner, c),
        "description": lambda it, _c, _a: None if it.repository.serial % 2 else f"All about {it.name}",
        "url": lambda it, _c, _a: it.url,
        "createdAt": lambda it, _c, _a: iso(it.repository.founded),
        "updatedAt": lambda it, c, _a: iso(c.view.world.updated(it.repository, c.now)),
        "pushedAt": lambda it, c, _a: iso(c.view.world.pushed(it.repository, c.now)),
        "archivedAt": lambda it, c, _a: iso_or_none(it.repository.archived, c.now),
        "isArchived": lambda it, c, _a: it.repository.archived <= c.now,
        "isDisabled": lambda _it, _c, _a: False,
        "isEmpty": lambda it, _c, _a: it.repository.empty,
        "isFork": lambda it, _c, _a: it.fork is not None,
        "isPrivate": lambda it, _c, _a: it.repository.private,
        "hasIssuesEnabled": lambda it, _c, _a: it.repository.issues,
        "visibility": lambda it, _c, _a: "PRIVATE" if it.repository.private else "PUBLIC",
        "defaultBranchRef": lambda it, _c, _a: None if it.repository.empty else {"name": "main"},
        "issues": lambda it, c, a: talks(it, c, a, pull=False),
        "pullRequests": lambda it, c, a: talks(it, c, a, pull=True),
        "pullRequest": lambda it, _c, a: talk(it, a["number"], pull=True),
    },
    "Issue": _COMMON,
    "PullRequest": _COMMON | _PULL,
    "Label": {
        "id": lambda it, _c, _a: node_id(LABEL, it.name),
        "name": lambda it, _c, _a: it.name,
        "color": lambda _it, _c, _a: "ededed",
        "description": lambda it, _c, _a: f"About {it.name}",
        "isDefault": lambda _it, _c, _a: False,
    },
    "PullRequestCommit": {
        "id": lambda it, _c, _a: it.talk.child("PRC", it.commit.sha),
        "url": lambda it, _c, _a: f"{it.talk.url}/commits/{it.commit.sha}",
        "commit": lambda it, _c, _a: OneCommit(it.talk.repo, it.commit),
    },
    "Commit": {
        "id": lambda it, _c, _a: it.node,
        "oid": lambda it, _c, _a: it.commit.sha,
        "abbreviatedOid": lambda it, _c, _a: it.commit.sha[:7],
        "message": lambda it, _c, _a: it.commit.message,
        "messageHeadline": lambda it, _c, _a: headline_of(it.commit, 0),
        "messageBody": lambda it, _c, _a: headline_of(it.commit, 2),
        "committedDate": lambda it, _c, _a: iso(it.commit.committed),
        "authoredDate": lambda it, _c, _a: iso(it.commit.authored),
        "url": lambda it, _c, _a: it.url,
        "commitUrl": lambda it, _c, _a: it.url,
        "author": lambda it, _c, _a: author_of(it.commit),
        "committer": lambda it, _c, _a: committer_of(it.commit),
        "authors": lambda it, c, a: connection(c, [author_of(it.commit)], a),
        "additions": lambda it, _c, _a: it.commit.additions,
        "deletions": lambda it, _c, _a: it.commit.deletions,
        "changedFilesIfAvailable": lambda it, _c, _a: it.commit.files,
        "committedViaWeb": lambda it, _c, _a: it.commit.web,
    },
    "GitActor": {
        "name": lambda it, _c, _a: it.name,
        "email": lambda it, _c, _a: it.email,
        "date": lambda it, _c, _a: it.date,
        "user": lambda it, c, _a: person(it.account, c),
        "avatarUrl": lambda _it, _c, _a: "https://avatars.github.example/u/0",
    },
    "PullRequestReview": {
        **_told(REVIEW, "review"),
        "state": lambda it, c, _a: it.review.state(c.now),
        "body": lambda it, c, _a: review_body(it.review, c.now),
        "url": lambda it, _c, _a: f"{it.talk.url}#pullrequestreview-{it.review.id}",
        "submittedAt": lambda it, c, _a: iso_or_none(it.review.submitted, c.now),
        "createdAt": lambda it, _c, _a: iso(it.review.begun),
        "commit": lambda it, c, _a: commit_of(it.talk, it.review.commit, c),
        "comments": remarks,
    },
    "PullRequestReviewComment": {
        **_told(REMARK, "remark"),
        "url": lambda it, _c, _a: f"{it.talk.url}#discussion_r{it.remark.id}",
        "path": lambda it, _c, _a: it.remark.path,
        "position": lambda it, _c, _a: position(it.remark),
        "line": lambda it, _c, _a: it.remark.line,
        "originalLine": lambda it, _c, _a: it.remark.line,
        "diffHunk": lambda it, _c, _a: f"@@ -{it.remark.line},1 +{it.remark.line},2 @@\n-old\n+new",
        "commit": lambda it, c, _a: commit_of(it.talk, it.remark.commit, c),
        "originalCommit": lambda it, c, _a: commit_of(it.talk, it.remark.commit, c),
    },
    "IssueComment": {
        **_told(COMMENT, "comment"),
        "url": lambda it, _c, _a: f"{it.talk.url}#issuecomment-{it.comment.id}",
    },
}
