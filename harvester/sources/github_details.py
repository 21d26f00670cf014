"""A pull request with its commits and reviews, taken apart into events; and how GraphQL is asked for many of them at once."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from harvester.errors import InvalidEventError
from harvester.event import Event
from harvester.protocols import Broken
from harvester.sources.github_repository import From, Repository
from harvester.sources.github_rows import commit_row, event_of

WHOLE_ID, NUMBER_ID = "fullDatabaseId", "databaseId"
"""Ids of pull requests and reviews: as text of any length; as a number of 32 bits, on servers that have no other."""
_AUTHOR = "{__typename login ... on User{databaseId} ... on Bot{databaseId} ... on Mannequin{databaseId}}"
_GIT = "{name email user{login databaseId}}"
_COMMITS = (
    f"totalCount pageInfo{{hasNextPage endCursor}} nodes{{commit{{oid message committedDate authoredDate url "
    f"author{_GIT} committer{_GIT}}}}}"
)
_REVIEWS = (
    "totalCount pageInfo{hasNextPage endCursor} nodes{%s id state body submittedAt updatedAt url "
    f"author{_AUTHOR} commit{{oid}} comments{{totalCount}}}}"
)
_PULL = (
    "number %s id title state createdAt updatedAt closedAt mergedAt url additions deletions changedFiles isDraft merged "
    f"mergeCommit{{oid}} baseRefName headRefName headRefOid author{_AUTHOR} labels(first:50){{totalCount nodes{{name}}}} "
    f"comments{{totalCount}} commits(first:50){{{_COMMITS}}} reviews(first:50){{{_REVIEWS}}}"
)
_HEAD = "id databaseId name owner{login}"
_RATE = "rateLimit{cost remaining resetAt}"
_PENDING = "PENDING"


class PageInfo(msgspec.Struct):
    """Whether there is more, and behind which cursor."""

    more: bool = msgspec.field(default=False, name="hasNextPage")
    end: str | None = msgspec.field(default=None, name="endCursor")


class Connection(msgspec.Struct):
    """Some of the children, and where the next are."""

    total: int = msgspec.field(name="totalCount")
    nodes: list[msgspec.Raw]
    page: PageInfo = msgspec.field(default_factory=PageInfo, name="pageInfo")


class _Children(msgspec.Struct):
    commits: Connection
    reviews: Connection


class _CommitNode(msgspec.Struct):
    commit: msgspec.Raw


class _Total(msgspec.Struct):
    total: int = msgspec.field(default=0, name="totalCount")


class _ReviewNode(msgspec.Struct):
    state: str | None = None
    comments: _Total | None = None


class _Pull(msgspec.Struct):
    number: int
    updated: str | None = msgspec.field(default=None, name="updatedAt")
    updated_at: str | None = None


class Pull(NamedTuple):
    """A pull request as it was read, with all of its children, each in the vendor's words."""

    number: int
    updated: str
    listed: From
    node: bytes
    """Without its children."""
    commits: Sequence[bytes]
    reviews: Sequence[bytes]
    read_at: datetime
    late: Sequence[bytes] = ()
    """The commits that only REST tells, where GraphQL's list ends."""


_children = msgspec.json.Decoder(_Children)
_commit_node = msgspec.json.Decoder(_CommitNode)
_review_node = msgspec.json.Decoder(_ReviewNode)
_pull = msgspec.json.Decoder(_Pull)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Encoder()


def batch_query(numbers: Iterable[int], ids: str = WHOLE_ID) -> str:
    """What asks for these pull requests of the repository `$id`, with ids in a field of this name."""
    asked = " ".join(f"p{number}:pullRequest(number:{number}){{...P}}" for number in numbers)
    pull = _PULL.replace("%s", ids)
    return f"query($id:ID!){{node(id:$id){{... on Repository{{{_HEAD} {asked}}}}} {_RATE}}} fragment P on PullRequest{{{pull}}}"


def batch_cost(pulls: int) -> int:
    """Points that it costs, by GitHub's rule: requests that full connections would need, by the hundred."""
    return max(1, round(pulls * (1 + 1 + 1 + 50 + 1) / 100))


def more_query(number: int, children: str, ids: str = WHOLE_ID) -> str:
    """What asks for further `commits` or `reviews` behind `$after`."""
    asked = f"{children}(first:100,after:$after){{{_COMMITS if children == 'commits' else _REVIEWS.replace('%s', ids)}}}"
    return (
        f"query($id:ID!,$after:String){{node(id:$id){{... on Repository{{p:pullRequest(number:{number}){{{asked}}}}}}} {_RATE}}}"
    )


def children_of(node: bytes) -> tuple[Connection, Connection]:
    """Commits and reviews as far as they came. Raises InvalidEventError."""
    try:
        found = _children.decode(node)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no pull request: {error}") from error
    return found.commits, found.reviews


def names_of(commits: Iterable[bytes]) -> set[str]:
    """What commits are called, in the words of either; of one that is none, nothing."""
    names = set()
    for commit in commits:
        with suppress(ValueError, RecursionError):
            names.add(commit_row.decode(commit).name)
    return names - {""}


def commits_of(connection: Connection) -> list[bytes]:
    """The commits themselves. Raises InvalidEventError."""
    try:
        found = [bytes(_commit_node.decode(one).commit) for one in connection.nodes]
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no commit of a pull request: {error}") from error
    if any(one[:1] != b"{" for one in found):
        raise InvalidEventError("null in the place of a commit")
    return found


def graphql_pull(node: bytes, commits: Connection, reviews: Connection, read_at: datetime, late: Sequence[bytes] = ()) -> Pull:
    """A node with all its children, which stand beside it from then on. Raises InvalidEventError."""
    try:
        fields: dict[str, Any] = {**_fields.decode(node)}
        remarks = [_review_node.decode(one) for one in reviews.nodes]
        fields["commits"] = {"totalCount": commits.total}
        fields["reviews"] = {"totalCount": reviews.total}
        fields["review_comments_count"] = sum(one.comments.total for one in remarks if one.comments)
        whole = _json.encode(fields)
        head = _pull.decode(whole)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no pull request: {error}") from error
    remarked = [bytes(one) for one in reviews.nodes]
    return Pull(head.number, head.updated or "", "graphql", whole, commits_of(commits), remarked, read_at, late)


def rest_pull(detail: bytes, commits: Sequence[bytes], reviews: Sequence[bytes], read_at: datetime) -> Pull:
    """A pull request in the shapes of REST. Raises InvalidEventError."""
    try:
        head = _pull.decode(detail)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"no pull request: {error}") from error
    return Pull(head.number, head.updated_at or "", "rest", detail, commits, reviews, read_at)


def events_of(pull: Pull, repository: Repository, host: str, source: str) -> tuple[list[Event], list[Broken]]:
    """The pull request, its commits and which they are of it, and its reviews but for drafts; and what cannot be an event."""
    events: list[Event] = []
    broken: list[Broken] = []
    for data in _data(pull, repository, host):
        try:
            events.append(event_of(data, source, pull.read_at))
        except InvalidEventError as error:
            broken.append(Broken(data, str(error), error.reason))
    return events, broken


def _data(pull: Pull, repository: Repository, host: str) -> Iterable[bytes]:
    head = repository.head(host, pull.listed)
    reviews = [one for one in pull.reviews if not _pending(one)]
    # REST tells no number of reviews, and GraphQL's counts the drafts of whoever reads.
    yield b'%b,"review_count":%d,"pull_request":%b}' % (head, len(reviews), pull.node)
    for position, (commit, listed) in enumerate([*((c, pull.listed) for c in pull.commits), *((c, "rest") for c in pull.late)]):
        told = head if listed == pull.listed else repository.head(host, "rest")
        yield b'%b,"number":%d,"commit":%b}' % (told, pull.number, commit)
        if link := _link(commit, position, pull.updated):
            yield b'%b,"number":%d,%b}' % (told, pull.number, link)
    for review in reviews:
        yield b'%b,"number":%d,"review":%b}' % (head, pull.number, review)


def _link(commit: bytes, position: int, updated: str) -> bytes:
    """That a commit is of the pull request, with the two times that the event needs; nothing of a commit that is broken."""
    try:
        found = commit_row.decode(commit)
    except (ValueError, RecursionError):
        return b""
    if not found.name or found.date is None:
        return b""
    told = {"sha": found.name, "position": position, "committed_at": f"{found.date:%Y-%m-%dT%H:%M:%SZ}", "updated_at": updated}
    return _json.encode(told)[1:-1]


def _pending(review: bytes) -> bool:
    try:
        return _review_node.decode(review).state == _PENDING
    except (ValueError, RecursionError):
        return False


def unread(repository: Repository, host: str, number: int, why: str, reason: str) -> Broken:
    """What is kept of a pull request that GitHub does not give."""
    body: Mapping[str, object] = {
        "host": host,
        "repository": {"id": repository.id, "name": repository.name, "owner": repository.owner},
        "number": number,
        "pull_request": None,
    }
    return Broken(_json.encode(body), why, reason)
