"""Records of GitHub: commits, and which pull requests they are in (requirements.md Q22)."""

from datetime import datetime
from typing import Annotated

from consumers.records.github import CLUSTER, Placed
from consumers.records.github_fields import count, data_of, inner, key, linked, needed, number, text, time
from consumers.records.record import FullText
from harvester.errors import InvalidEventError
from harvester.event import Event


class Commit(
    Placed,
    index="commits-{time:%Y.%m}",
    table="commits",
    key="subject",
    partition="commit_date",
    cluster=CLUSTER,
):
    """One commit of a pull request. A commit may be in several: pr_commits holds every pair."""

    sha: Annotated[str, "its hash"]
    pr_number: Annotated[int, "the lowest number of the pull requests it is in"]
    author: Annotated[str | None, "login of who wrote it, or the name that git has where no account is linked"]
    author_type: Annotated[str | None, "User or Bot; null where no account is linked"]
    author_id: Annotated[int | None, "number of the author's account"]
    author_name: Annotated[str | None, "name that git has"]
    author_email: Annotated[str | None, "mail address that git has"]
    committer: Annotated[str | None, "login of who committed it, else the name that git has; GitHub: on its pages"]
    committer_id: Annotated[int | None, "number of the committer's account"]
    committer_name: Annotated[str | None, "name that git has"]
    committer_email: Annotated[str | None, "mail address that git has"]
    message: Annotated[str | None, "its message", FullText()]
    commit_date: Annotated[datetime | None, "when it was committed"]
    author_date: Annotated[datetime | None, "when it was written"]
    url: Annotated[str | None, "its page"]


class PullRequestCommit(
    Placed,
    index="pr_commits-{time:%Y.%m}",
    table="pr_commits",
    key="subject",
    cluster=("organization", "repository", "sha"),
):
    """One commit in one pull request."""

    pr_number: Annotated[int, "number of the pull request"]
    sha: Annotated[str, "hash of the commit"]
    position: Annotated[int | None, "its place among the commits of the pull request, from 0"]


def commit(event: Event) -> Commit:
    """The record of one commit. Raises InvalidEventError when the data are none, or lack hash or number."""
    data = data_of(event)
    node = needed(data.commit, "commit")
    # REST wraps what git knows, beside the accounts; GraphQL has the accounts inside.
    git = inner(node, "commit") or node
    wrote, committed = inner(git, "author"), inner(git, "committer")
    names, emails = ([text(who, field) for who in (wrote, committed)] for field in ("name", "email"))
    graphql = git is node
    author = linked(wrote.get("user") if graphql else node.get("author"), names[0], emails[0])
    committer = linked(committed.get("user") if graphql else node.get("committer"), names[1], emails[1])
    return Commit(
        **data.place(event),
        sha=_sha(text(node, "oid", "sha")),
        pr_number=key(number({"number": data.number}, "number"), "number of a pull request"),
        author=author.login,
        author_type=author.type,
        author_id=author.id,
        author_name=names[0],
        author_email=emails[0],
        committer=committer.login,
        committer_id=committer.id,
        committer_name=names[1],
        committer_email=emails[1],
        message=text(git, "message"),
        commit_date=time(git, "committedDate") or time(committed, "date"),
        author_date=time(git, "authoredDate") or time(wrote, "date"),
        url=text(node, "html_url", "url"),
    )


def pull_request_commit(event: Event) -> PullRequestCommit:
    """The record of one commit in one pull request. Raises InvalidEventError when the data are none, or lack one of the two."""
    data = data_of(event)
    said = {"number": data.number, "sha": data.sha, "position": data.position}
    return PullRequestCommit(
        **data.place(event),
        pr_number=key(number(said, "number"), "number of a pull request"),
        sha=_sha(text(said, "sha")),
        position=count(said, "position"),
    )


def _sha(value: str | None) -> str:
    if value is None:
        raise InvalidEventError("the event holds no hash of a commit")
    return value
