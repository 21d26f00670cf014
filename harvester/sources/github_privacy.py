"""Which fields of GitHub's records are about people: in GraphQL's words and in REST's, alone or as events hold them."""

from collections.abc import Collection

from harvester.privacy import Fields, Kind

_ACCOUNT: Fields = {
    **dict.fromkeys(("__typename", "type", "site_admin"), Kind.KEEP),
    **dict.fromkeys(("login", "databaseId", "id"), Kind.USER),
}
_GIT: Fields = {"name": Kind.NAME, "email": Kind.MAIL, "date": Kind.KEEP, "user": _ACCOUNT, **_ACCOUNT}
_TOTAL: Fields = {"totalCount": Kind.KEEP}
_COUNT: Fields = {"": Kind.KEEP, **_TOTAL}
_LABEL: Fields = {"": Kind.TEXT, "name": Kind.TEXT, "id": Kind.KEEP, "color": Kind.KEEP}
_REF: Fields = {"ref": Kind.TEXT, "sha": Kind.KEEP, "user": _ACCOUNT, "repo": {"id": Kind.KEEP, "name": Kind.TEXT}}
_TIMES = (
    *("createdAt", "updatedAt", "closedAt", "mergedAt", "submittedAt", "committedDate", "authoredDate"),
    *("created_at", "updated_at", "closed_at", "merged_at", "submitted_at", "pushed_at", "committed_at"),
)
_IDS = (
    *(
        "id",
        "databaseId",
        "fullDatabaseId",
        "node_id",
        "number",
        "oid",
        "sha",
        "commit_id",
        "original_commit_id",
        "pull_request_review_id",
    ),
    *("in_reply_to_id", "url", "html_url", "pull_request_url", "issue_url", "state", "draft", "isDraft", "merged", "locked"),
)
_PULL: Fields = {
    **dict.fromkeys((*_TIMES, *_IDS), Kind.KEEP),
    **dict.fromkeys(("additions", "deletions", "changedFiles", "changed_files", "merge_commit_sha", "headRefOid"), Kind.KEEP),
    **dict.fromkeys(("review_comments_count", "review_comments", "mergeable", "mergeable_state", "rebaseable"), Kind.KEEP),
    **dict.fromkeys(("title", "body", "baseRefName", "headRefName"), Kind.TEXT),
    **dict.fromkeys(("comments", "commits", "reviews"), _COUNT),
    **dict.fromkeys(("author", "user", "merged_by", "assignee", "assignees", "requested_reviewers"), _ACCOUNT),
    **dict.fromkeys(("base", "head"), _REF),
    "mergeCommit": {"oid": Kind.KEEP},
    "labels": {**_LABEL, **_TOTAL, "nodes": _LABEL},
    "author_association": Kind.KEEP,
}
_COMMIT: Fields = {
    **dict.fromkeys((*_TIMES, *_IDS), Kind.KEEP),
    "message": Kind.TEXT,
    **dict.fromkeys(("author", "committer"), _GIT),
    "commit": {"message": Kind.TEXT, **dict.fromkeys(("author", "committer"), _GIT), "url": Kind.KEEP},
}
_REMARK: Fields = {
    **dict.fromkeys((*_TIMES, *_IDS), Kind.KEEP),
    **dict.fromkeys(("position", "original_position", "line", "original_line", "start_line", "side", "start_side"), Kind.KEEP),
    **dict.fromkeys(("author_association", "subject_type", "path"), Kind.KEEP),
    **dict.fromkeys(("body", "diff_hunk"), Kind.TEXT),
    **dict.fromkeys(("author", "user"), _ACCOUNT),
    "commit": {"oid": Kind.KEEP},
    "comments": _TOTAL,
}
_SIZES = ("stargazers_count", "watchers_count", "forks_count", "open_issues_count", "size", "language", "default_branch")
_SWITCHES = ("private", "fork", "archived", "disabled", "visibility", "has_issues", "has_pull_requests", "is_template", "gone")
_REPOSITORY: Fields = {
    **dict.fromkeys((*_TIMES, *_IDS, *_SIZES, *_SWITCHES), Kind.KEEP),
    **dict.fromkeys(("name", "full_name", "description", "topics"), Kind.TEXT),
    "owner": {"": Kind.KEEP, "login": Kind.KEEP, "id": Kind.KEEP, "type": Kind.KEEP},
}
"""The owner is the organisation, which is nobody."""
_EVENT: Fields = {
    **dict.fromkeys(("from", "host", "number", "sha", "position", "review_count", "committed_at", "updated_at"), Kind.KEEP),
    "repository": {"id": Kind.KEEP, "name": Kind.KEEP, "owner": Kind.KEEP},
    "repository_detail": _REPOSITORY,
    "pull_request": _PULL,
    "commit": _COMMIT,
    "review": _REMARK,
    "comment": _REMARK,
}


def fields(names: Collection[str]) -> Fields:
    """Those of an event, or of what stands for one that is missing, or of a bare record of a list that became none."""
    if "repository" in names:
        return _EVENT
    if "full_name" in names:
        return _REPOSITORY
    return _PULL if "number" in names else _REMARK
