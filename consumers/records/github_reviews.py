"""Records of GitHub: what people said in pull requests."""

from datetime import datetime
from typing import Annotated, Any

from consumers.records.github import CLUSTER, Placed
from consumers.records.github_fields import Data, account, count, data_of, inner, key, needed, number, text, time
from consumers.records.record import FullText
from harvester.event import Event


class Review(
    Placed,
    index="reviews-{time:%Y.%m}",
    table="reviews",
    key="subject",
    partition="submitted_at",
    cluster=("organization", "repository", "reviewer"),
):
    """One review of a pull request: a verdict, with or without remarks."""

    review_id: Annotated[int, "its number on the whole server"]
    pr_number: Annotated[int, "number of the pull request"]
    reviewer: Annotated[str | None, "login of who reviewed; `ghost` when the account is gone"]
    reviewer_type: Annotated[str | None, "User, Bot, Mannequin or Unknown, as author_type of pull requests"]
    reviewer_id: Annotated[int | None, "number of the reviewer's account"]
    state: Annotated[str | None, "APPROVED, CHANGES_REQUESTED, COMMENTED or DISMISSED"]
    body: Annotated[str | None, "its text", FullText()]
    submitted_at: Annotated[datetime | None, "when it was given"]
    updated_at: Annotated[datetime | None, "when it was changed last; only GraphQL tells"]
    commit_id: Annotated[str | None, "the commit that was reviewed"]
    comment_count: Annotated[int | None, "remarks on lines that came with it; only GraphQL tells"]
    url: Annotated[str | None, "its place on the page"]


class _Comment(Placed):
    comment_id: Annotated[int, "its number on the whole server"]
    pr_number: Annotated[int, "number of the pull request"]
    author: Annotated[str | None, "login of who wrote it; `ghost` when the account is gone"]
    author_type: Annotated[str | None, "User, Bot, Mannequin or Unknown, as author_type of pull requests"]
    author_id: Annotated[int | None, "number of the author's account"]
    body: Annotated[str | None, "its text", FullText()]
    created_at: Annotated[datetime | None, "when it was written"]
    updated_at: Annotated[datetime | None, "when it was changed last"]
    url: Annotated[str | None, "its place on the page"]


class ReviewComment(
    _Comment,
    index="review_comments-{time:%Y.%m}",
    table="review_comments",
    key="subject",
    partition="created_at",
    cluster=CLUSTER,
):
    """One remark on lines of a pull request."""

    path: Annotated[str | None, "the file it is about"]
    position: Annotated[int | None, "its place in the difference; null when the lines have changed since"]
    line: Annotated[int | None, "the line of the file; null when it has changed since"]
    commit_id: Annotated[str | None, "the commit it is about"]
    review_id: Annotated[int | None, "the review it belongs to"]
    in_reply_to_id: Annotated[int | None, "the remark it answers"]


class IssueComment(
    _Comment,
    index="issue_comments-{time:%Y.%m}",
    table="issue_comments",
    key="subject",
    partition="created_at",
    cluster=CLUSTER,
):
    """One comment in the conversation of a pull request."""


def review(event: Event) -> Review:
    """The record of one review. Raises InvalidEventError when the data are none, or lack a number."""
    data = data_of(event)
    node = needed(data.review, "review")
    reviewer = account(node, "author", "user")
    return Review(
        **data.place(event),
        review_id=key(number(node, "fullDatabaseId", "databaseId", "id"), "id of a review"),
        pr_number=_pr_number(data),
        reviewer=reviewer.login,
        reviewer_type=reviewer.type,
        reviewer_id=reviewer.id,
        state=(text(node, "state") or "").upper() or None,
        body=text(node, "body"),
        submitted_at=time(node, "submittedAt", "submitted_at"),
        updated_at=time(node, "updatedAt"),
        commit_id=text(inner(node, "commit"), "oid") or text(node, "commit_id"),
        comment_count=count(node, "comments"),
        url=text(node, "html_url", "url"),
    )


def review_comment(event: Event) -> ReviewComment:
    """The record of one remark on lines. Raises InvalidEventError when the data are none, or lack a number."""
    data = data_of(event)
    node = needed(data.comment, "comment")
    return ReviewComment(
        **_comment(data, event),
        path=text(node, "path"),
        position=count(node, "position"),
        line=count(node, "line"),
        commit_id=text(node, "commit_id"),
        review_id=number(node, "pull_request_review_id"),
        in_reply_to_id=number(node, "in_reply_to_id"),
    )


def issue_comment(event: Event) -> IssueComment:
    """The record of one comment. Raises InvalidEventError when the data are none, or lack a number."""
    return IssueComment(**_comment(data_of(event), event))


def _comment(data: Data, event: Event) -> dict[str, Any]:
    node = needed(data.comment, "comment")
    author = account(node, "author", "user")
    return {
        **data.place(event),
        "comment_id": key(number(node, "fullDatabaseId", "databaseId", "id"), "id of a comment"),
        "pr_number": _pr_number(data),
        "author": author.login,
        "author_type": author.type,
        "author_id": author.id,
        "body": text(node, "body"),
        "created_at": time(node, "created_at", "createdAt"),
        "updated_at": time(node, "updated_at", "updatedAt"),
        "url": text(node, "html_url", "url"),
    }


def _pr_number(data: Data) -> int:
    return key(number({"number": data.number}, "number"), "number of a pull request")
