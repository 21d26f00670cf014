"""GitHub's things as events, for tests that need some: nodes of GraphQL, and the recorded answers of REST."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harvester.event import Event, event_id

SAMPLES = Path(__file__).parent / "fixtures/github"
READ_AT = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
REPOSITORY = {"id": 123, "name": "widgets", "owner": "acme"}
ANN = {"__typename": "User", "login": "ann", "databaseId": 11}
SHA = "a" * 40


def sample(name: str, at: int = 0) -> dict[str, Any]:
    """A recorded answer, or one item of it."""
    found = msgspec.json.decode((SAMPLES / f"{name}.json").read_bytes())
    item = found[at] if isinstance(found, list) else found
    assert isinstance(item, dict)
    return item


def github_event(
    type_: str, subject: str, what: dict[str, Any], *, version: int = 1, time: str = "2026-11-01T09:00:00Z", **more: Any
) -> Event:
    """An event as the source makes it; `more` replaces its fields."""
    data = msgspec.json.encode({"from": "graphql", "host": "github.com", "repository": REPOSITORY, **what})
    subject = f"123/{subject}" if subject else "123"
    made = Event(
        id=event_id("github", f"github.{type_}", subject, data),
        source="github",
        type=f"github.{type_}",
        subject=subject,
        version=version,
        time=datetime.fromisoformat(time),
        read_at=READ_AT,
        data=msgspec.Raw(data),
    )
    return msgspec.structs.replace(made, **more)


def pull_request_node(number: int = 12, **fields: Any) -> dict[str, Any]:
    """One of GraphQL, as the source hands it on."""
    node: dict[str, Any] = {"number": number, "databaseId": 9000 + number, "id": "PR_kwDO", "title": "Add a widget"}
    node |= {"state": "MERGED", "merged": True, "isDraft": False, "mergeCommit": {"oid": "b" * 40}, "author": ANN}
    node |= {"createdAt": "2026-11-01T09:00:00Z", "updatedAt": "2026-11-03T09:00:00Z", "closedAt": "2026-11-02T19:30:00Z"}
    node |= {"mergedAt": "2026-11-02T19:30:00Z", "url": f"https://github.com/acme/widgets/pull/{number}"}
    node |= {"additions": 30, "deletions": 4, "changedFiles": 3, "baseRefName": "main", "headRefName": "widget"}
    node |= {"headRefOid": SHA, "labels": {"totalCount": 2, "nodes": [{"name": "bug"}, {"name": "size/M"}]}}
    node |= {"comments": {"totalCount": 5}, "commits": {"totalCount": 2}, "reviews": {"totalCount": 1}}
    return node | {"review_comments_count": 7} | fields


def pull_request_event(node: dict[str, Any] | None = None, *, version: int = 1, **more: Any) -> Event:
    node = pull_request_node() if node is None else node
    time = node.get("createdAt") or node.get("created_at") or "2026-11-01T09:00:00Z"
    return github_event("pull_request", str(node.get("number")), {"pull_request": node}, version=version, time=time, **more)


def review_node(number: int = 501, **fields: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"databaseId": number, "id": "PRR_kw", "state": "APPROVED", "body": "", "author": ANN}
    node |= {"submittedAt": "2026-11-02T10:00:00Z", "updatedAt": "2026-11-02T10:00:00Z", "commit": {"oid": SHA}}
    return node | {"url": "https://github.com/acme/widgets/pull/12#r", "comments": {"totalCount": 0}} | fields


def review_event(node: dict[str, Any] | None = None, *, number: int = 12, **more: Any) -> Event:
    node = review_node() if node is None else node
    subject = str(node.get("databaseId") or node.get("id"))
    time = node.get("submittedAt") or node.get("submitted_at") or "2026-11-02T10:00:00Z"
    return github_event("review", subject, {"number": number, "review": node}, time=time, **more)


def comment_item(number: int = 701, **fields: Any) -> dict[str, Any]:
    """One of REST: those of the conversation have no path."""
    item: dict[str, Any] = {"id": number, "node_id": "IC_kw", "body": "Why?", "user": {"login": "ann", "id": 11, "type": "User"}}
    item |= {"created_at": "2026-11-02T11:00:00Z", "updated_at": "2026-11-02T11:00:00Z"}
    return item | {"url": "https://api.github.com/x", "html_url": "https://github.com/acme/widgets/pull/12#c"} | fields


def comment_event(type_: str = "issue_comment", item: dict[str, Any] | None = None, *, number: int = 12, **more: Any) -> Event:
    item = comment_item() if item is None else item
    return github_event(type_, str(item["id"]), {"number": number, "comment": item}, time=item["created_at"], **more)


def commit_node(sha: str = SHA, **fields: Any) -> dict[str, Any]:
    """One of GraphQL."""
    who = {"name": "Ann Author", "email": "ann@example.org", "user": {"login": "ann", "databaseId": 11}}
    node: dict[str, Any] = {"oid": sha, "message": "Add it", "committedDate": "2026-11-01T08:00:00Z"}
    node |= {"authoredDate": "2026-10-31T08:00:00Z", "url": f"https://github.com/acme/widgets/commit/{sha}"}
    return node | {"author": who, "committer": {"name": "GitHub", "email": "noreply@github.com", "user": None}} | fields


def commit_event(node: dict[str, Any] | None = None, *, number: int = 12, **more: Any) -> Event:
    node = commit_node() if node is None else node
    time = node.get("committedDate") or "2026-11-01T08:00:00Z"
    return github_event("commit", str(node.get("oid") or node.get("sha")), {"number": number, "commit": node}, time=time, **more)


def pair_event(sha: str = SHA, *, number: int = 12, position: int = 0, **more: Any) -> Event:
    what = {"number": number, "sha": sha, "position": position}
    return github_event("pull_request_commit", f"{number}/{sha}", what, time="2026-11-01T08:00:00Z", **more)


def repository_event(detail: dict[str, Any] | None = None, **more: Any) -> Event:
    item: dict[str, Any] = {"id": 123, "name": "widgets", "private": True, "fork": False, "archived": False, "topics": ["tools"]}
    item |= {"html_url": "https://github.com/acme/widgets", "url": "https://api.github.com/x", "visibility": "private"}
    item |= {"stargazers_count": 0, "forks_count": 1, "open_issues_count": 2, "default_branch": "main", "language": None}
    item |= {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z", "pushed_at": None, "description": None}
    what = {"repository_detail": item if detail is None else detail}
    return github_event("repository", "", what, time="2020-01-01T00:00:00Z", **more)


ALL_GITHUB = (
    pull_request_event(),
    review_event(),
    comment_event(),
    comment_event("review_comment"),
    commit_event(),
    pair_event(),
    repository_event(),
)
"""One of each type."""
