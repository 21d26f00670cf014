"""The things that GraphQL answers about, and the connections they stand in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from graphql import GraphQLError

from harvester.sandbox.github_cost import Cost
from harvester.sandbox.github_names import API, COMMIT, ISSUE, PULL, REPOSITORY, WEB, fork_id, node_id
from harvester.sandbox.github_people import Account
from harvester.sandbox.github_rows import account_node
from harvester.sandbox.github_threads import Comment, Commit, Remark, Review, State, Thread
from harvester.sandbox.github_view import View
from harvester.sandbox.github_world import Repository
from harvester.sandbox.zoom_login import Seal

Item = TypeVar("Item")
Place = tuple[int, int]


class TypedError(GraphQLError):
    """An error that makes its field null; `kind` is its type."""

    def __init__(self, kind: str, message: str, **extensions: Any) -> None:
        super().__init__(message, extensions=extensions)
        self.kind = kind


class Context:
    """One query, and what it came to."""

    def __init__(self, view: View, seal: Seal, cost: Cost, limit: Mapping[str, Any]) -> None:
        """`limit`: what rateLimit tells."""
        self.view, self.seal, self.cost, self.limit = view, seal, cost, limit
        self.nodes = 0

    @property
    def now(self) -> int:
        return self.view.now


class Repo(NamedTuple):
    repository: Repository
    context: Context
    fork: Account | None = None
    """Whose fork of the repository it is."""

    @property
    def owner(self) -> Account:
        return self.fork or self.context.view.world.org

    @property
    def number(self) -> int:
        return fork_id(self.repository.id, self.fork.id) if self.fork else self.repository.id

    @property
    def name(self) -> str:
        return self.repository.name(self.context.now)

    @property
    def full_name(self) -> str:
        return f"{self.owner.rest_login}/{self.name}"

    @property
    def url(self) -> str:
        return f"{WEB}/{self.full_name}"

    @property
    def node(self) -> str:
        return node_id(REPOSITORY, self.number)


class Talk(NamedTuple):
    """An issue or a pull request."""

    repo: Repo
    thread: Thread
    state: State

    @property
    def url(self) -> str:
        return f"{self.repo.url}/{'pull' if self.thread.pull else 'issues'}/{self.thread.number}"

    def child(self, kind: str, number: int | str) -> str:
        return node_id(kind, self.repo.repository.id, self.thread.number, number)

    @property
    def node(self) -> str:
        return node_id(PULL if self.thread.pull else ISSUE, self.repo.repository.id, self.thread.number)


class OneCommit(NamedTuple):
    repo: Repo
    commit: Commit

    @property
    def url(self) -> str:
        return f"{self.repo.url}/commit/{self.commit.sha}"

    @property
    def node(self) -> str:
        return node_id(COMMIT, self.repo.repository.id, self.commit.sha)


class PullCommit(NamedTuple):
    talk: Talk
    commit: Commit


class OneReview(NamedTuple):
    talk: Talk
    review: Review


class OneRemark(NamedTuple):
    talk: Talk
    remark: Remark


class OneComment(NamedTuple):
    talk: Talk
    comment: Comment


class Label(NamedTuple):
    name: str


class Signature(NamedTuple):
    """A GitActor."""

    name: str
    email: str
    date: str
    account: Account | None


class Connection(NamedTuple, Generic[Item]):
    context: Context
    chosen: Sequence[Item]
    places: Sequence[Place]
    """Of what was chosen, in the order."""
    total: int
    before: bool
    """Whether something stands before what was chosen."""
    after: bool

    def nodes(self) -> Sequence[Item]:
        self.context.nodes += len(self.chosen)
        return self.chosen

    def cursor(self, nth: int) -> str:
        return self.context.seal.close("cursor", *self.places[nth])

    def page_info(self) -> dict[str, Any]:
        ends = {"startCursor": self.cursor(0), "endCursor": self.cursor(-1)} if self.chosen else {}
        return {"hasNextPage": self.after, "hasPreviousPage": self.before, **ends}

    def edges(self) -> list[dict[str, Any]]:
        return [{"cursor": self.cursor(nth), "node": node} for nth, node in enumerate(self.nodes())]


def connection(
    context: Context,
    items: Sequence[Item],
    arguments: Mapping[str, Any],
    *,
    place: Callable[[Item], Place] | None = None,
    descending: bool = False,
) -> Connection[Item]:
    """The part of `items` that the arguments ask for. `place`: where an item stands in the order; else its number does."""
    places = [place(item) for item in items] if place else [(nth, 0) for nth in range(len(items))]
    first, last = 0, len(items)
    for name in ("after", "before"):
        if arguments.get(name):
            cursor = _opened(context, arguments[name])
            if name == "after":
                first = sum(each >= cursor if descending else each <= cursor for each in places)
            else:
                last = sum(each > cursor if descending else each < cursor for each in places)
    last = max(first, last)
    if arguments.get("first") is not None:
        last = min(last, first + arguments["first"])
    if arguments.get("last") is not None:
        first = max(first, last - arguments["last"])
    return Connection(context, items[first:last], places[first:last], len(items), first > 0, last < len(items))


def _opened(context: Context, cursor: str) -> Place:
    sealed = context.seal.open(cursor)
    if sealed is None or sealed[0] != "cursor":
        raise TypedError("INVALID_CURSOR_ARGUMENTS", f"`{cursor}` does not appear to be a valid cursor.")
    return int(sealed[1]), int(sealed[2])


def actor(account: Account, _: Context) -> dict[str, Any]:
    """Bots have no `[bot]` here."""
    path = f"/apps/{account.login}" if account.kind == "Bot" else f"/{account.login}"
    return {
        "__typename": account.kind,
        "id": account_node(account),
        "databaseId": account.id,
        "login": account.login,
        "name": account.name,
        "email": account.email,
        "url": WEB + path,
        "resourcePath": path,
        "avatarUrl": f"{API.replace('api', 'avatars')}/u/{account.id}?v=4",
    }
