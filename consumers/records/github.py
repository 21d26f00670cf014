"""Records of GitHub: repositories and pull requests (github.md §1)."""

from datetime import datetime
from typing import Annotated, Any

from consumers.records.github_fields import (
    Node,
    account,
    count,
    data_of,
    first,
    flag,
    inner,
    key,
    labels,
    needed,
    number,
    text,
    time,
)
from consumers.records.record import FullText, Record
from harvester.event import Event

CLUSTER = ("organization", "repository", "author")


class Placed(Record):
    """What every record of GitHub says of its place. The names may change, subject and repository_id never do."""

    subject: Annotated[str, "id of the repository, and of the thing in it, joined by /"]
    host: Annotated[str, "the GitHub it is on: github.com, or a server of one's own"]
    repository_id: Annotated[int, "number of the repository, which stays when it is renamed or moved"]
    repository: Annotated[str, "name of the repository when this was read"]
    organization: Annotated[str, "login of its owner when this was read"]
    ingestion_timestamp: Annotated[datetime, "when it was read from GitHub, by GitHub's clock"]


class Repository(Placed, index="repositories", table="repositories", key="subject", cluster=("organization", "repository")):
    """One repository, as it is now; one that is gone keeps its row."""

    description: Annotated[str | None, "what it says about itself", FullText()]
    url: Annotated[str | None, "its page"]
    default_branch: Annotated[str | None, "where pull requests go if nothing else is said"]
    language: Annotated[str | None, "the language that most of it is in"]
    topics: Annotated[list[str] | None, "its topics"]
    visibility: Annotated[str | None, "public, private or internal"]
    is_private: Annotated[bool | None, "whether not everybody may see it"]
    is_fork: Annotated[bool | None, "whether it was made from another"]
    is_archived: Annotated[bool | None, "whether it is closed for changes"]
    is_gone: Annotated[bool, "whether it was deleted, moved away, or hidden from us"]
    stars_count: Annotated[int | None, "how many people starred it"]
    forks_count: Annotated[int | None, "how many were made from it"]
    open_issues_count: Annotated[int | None, "open issues and pull requests together"]
    created_at: Annotated[datetime | None, "when it was made"]
    updated_at: Annotated[datetime | None, "when it was changed last"]
    pushed_at: Annotated[datetime | None, "when commits came last"]


class PullRequest(
    Placed,
    index="pull_requests-{time:%Y.%m}",
    table="pull_requests",
    key="subject",
    partition="created_at",
    cluster=CLUSTER,
):
    """One pull request, in its newest state."""

    pr_number: Annotated[int, "its number in its repository"]
    pull_request_id: Annotated[int | None, "its number on the whole server"]
    title: Annotated[str | None, "its title", FullText()]
    state: Annotated[str | None, "open or closed; is_merged tells how it was closed"]
    author: Annotated[str | None, "login of who opened it; `ghost` when the account is gone"]
    author_type: Annotated[str | None, "User, Bot, Mannequin (came with an import) or Unknown (the account is gone)"]
    author_id: Annotated[int | None, "number of the author's account, which stays when the login changes"]
    created_at: Annotated[datetime | None, "when it was opened"]
    updated_at: Annotated[datetime | None, "when it was changed last"]
    closed_at: Annotated[datetime | None, "when it was closed or merged"]
    merged_at: Annotated[datetime | None, "when it was merged"]
    url: Annotated[str | None, "its page"]
    additions: Annotated[int | None, "lines added"]
    deletions: Annotated[int | None, "lines deleted"]
    changed_files: Annotated[int | None, "files changed"]
    labels: Annotated[list[str] | None, "all its labels"]
    size_label: Annotated[str | None, "the first label that begins with size/"]
    commit_count: Annotated[int | None, "its commits"]
    review_count: Annotated[int | None, "its reviews"]
    review_comment_count: Annotated[int | None, "remarks on lines of it"]
    issue_comment_count: Annotated[int | None, "comments in its conversation"]
    is_draft: Annotated[bool | None, "whether it is not ready for review"]
    is_merged: Annotated[bool | None, "whether it was merged"]
    is_complete: Annotated[bool, "whether sizes and counts are all known; those that GitHub did not tell are null"]
    merge_commit_sha: Annotated[str | None, "the commit that merged it; null while it is not merged"]
    base_ref: Annotated[str | None, "branch that it goes into"]
    head_ref: Annotated[str | None, "branch that it comes from"]
    head_sha: Annotated[str | None, "the newest of its commits"]


def repository(event: Event) -> Repository:
    """The record of one repository. Raises InvalidEventError when the data are none."""
    data = data_of(event)
    node = needed(data.repository_detail, "repository_detail")
    names = node.get("topics")
    return Repository(
        **data.place(event),
        description=text(node, "description"),
        url=text(node, "html_url", "url"),
        default_branch=text(node, "default_branch"),
        language=text(node, "language"),
        topics=[name.replace("\0", "") for name in names if isinstance(name, str)] if isinstance(names, list) else None,
        visibility=(text(node, "visibility") or "").lower() or None,
        is_private=flag(node, "private", "isPrivate"),
        is_fork=flag(node, "fork", "isFork"),
        is_archived=flag(node, "archived", "isArchived"),
        is_gone=flag(node, "gone") is True,
        stars_count=count(node, "stargazers_count", "stargazerCount"),
        forks_count=count(node, "forks_count", "forkCount"),
        open_issues_count=count(node, "open_issues_count"),
        created_at=time(node, "created_at", "createdAt"),
        updated_at=time(node, "updated_at", "updatedAt"),
        pushed_at=time(node, "pushed_at", "pushedAt"),
    )


def pull_request(event: Event) -> PullRequest:
    """The record of one pull request. Raises InvalidEventError when the data are none, or have no number."""
    data = data_of(event)
    node = needed(data.pull_request, "pull_request")
    author, names, merged = account(node, "author", "user"), labels(node), _merged(node)
    counts: dict[str, Any] = {
        "additions": count(node, "additions"),
        "deletions": count(node, "deletions"),
        "changed_files": count(node, "changedFiles", "changed_files"),
        "commit_count": count(node, "commits"),
        # Told by who read all reviews; else the total, that counts drafts of the reader.
        "review_count": count({"told": data.review_count}, "told") if data.review_count is not None else count(node, "reviews"),
        "review_comment_count": count(node, "review_comments_count", "review_comments"),
        "issue_comment_count": count(node, "comments"),
    }
    state = (text(node, "state") or "").lower() or None
    return PullRequest(
        **data.place(event),
        **counts,
        pr_number=key(number(node, "number"), "number of a pull request"),
        pull_request_id=number(node, "fullDatabaseId", "databaseId", "id"),
        title=text(node, "title"),
        state="closed" if state == "merged" else state,
        author=author.login,
        author_type=author.type,
        author_id=author.id,
        created_at=time(node, "createdAt", "created_at"),
        updated_at=time(node, "updatedAt", "updated_at"),
        closed_at=time(node, "closedAt", "closed_at"),
        merged_at=time(node, "mergedAt", "merged_at"),
        url=text(node, "html_url", "url"),
        labels=names,
        size_label=next((name for name in names or () if name.startswith("size/")), None),
        is_draft=flag(node, "isDraft", "draft"),
        is_merged=merged,
        is_complete=None not in counts.values(),
        # REST names a commit for open ones, too: a trial merge, that no branch has.
        merge_commit_sha=(text(inner(node, "mergeCommit"), "oid") or text(node, "merge_commit_sha")) if merged else None,
        base_ref=text(node, "baseRefName") or text(inner(node, "base"), "ref"),
        head_ref=text(node, "headRefName") or text(inner(node, "head"), "ref"),
        head_sha=text(node, "headRefOid") or text(inner(node, "head"), "sha"),
    )


def _merged(node: Node) -> bool | None:
    """Said, or to be seen in the state or the time of the merge: the list of REST says it by the time alone."""
    told = flag(node, "merged")
    if told is not None or not {"mergedAt", "merged_at"} & node.keys():
        return told
    return first(node, "mergedAt", "merged_at") is not None
