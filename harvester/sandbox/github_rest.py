"""REST: which path is which endpoint, and what it finds."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harvester.sandbox.github_making import sha_of
from harvester.sandbox.github_pages import Listing, Query, one_of, since
from harvester.sandbox.github_refusals import RefusedError, moved, not_found, sso_required
from harvester.sandbox.github_rows import (
    commit_row,
    full_repository_row,
    full_user_row,
    listed_repository_row,
    organization_row,
    repository_url,
    repository_web,
)
from harvester.sandbox.github_thread_rows import Rows
from harvester.sandbox.github_threads import Commit, State, Thread
from harvester.sandbox.github_view import View
from harvester.sandbox.github_world import Repository

_MOST_COMMITS = 250
Found = Listing[Any] | dict[str, Any]


class Call(NamedTuple):
    view: View
    query: Query
    origin: str
    """Scheme, host and prefix, as the client knows them."""
    target: str
    """The path behind the prefix, with its query."""


class Inside(NamedTuple):
    """A call about one repository."""

    call: Call
    repository: Repository
    rows: Rows
    path: str
    """By id, as links have it."""

    @property
    def now(self) -> int:
        return self.call.view.now

    def threads(self) -> list[Thread]:
        return self.call.view.world.by_update(self.repository, self.now)

    def pull(self, number: str) -> Thread:
        """Raises RefusedError."""
        found = self.call.view.world.thread(self.repository, int(number), self.now)
        if found is None or not found.pull:
            raise not_found()
        return found


def answer(call: Call, path: str) -> Found:
    """What the endpoint of this path finds. Raises RefusedError."""
    for pattern, _, find in _ROUTES:
        if matched := pattern.fullmatch(path):
            return find(call, *matched.groups())
    raise not_found()


def endpoint_of(path: str) -> str:
    """The endpoint of a path, as it stands in the statistics; `R` is a repository, by name or id."""
    for pattern, name, _ in _ROUTES:
        if matched := pattern.fullmatch(path):
            rest = matched[matched.re.groups] or ""
            inner = (inner for inside, inner, _ in _INSIDE if inside.fullmatch(rest))
            return name + next(inner, "") if name == "R" else name
    return path


def _user(call: Call) -> Found:
    account = call.view.caller.account
    if account is None:
        raise RefusedError(403, "Resource not accessible by integration")
    return full_user_row(account, created=call.view.world.since)


def _organization(call: Call, login: str) -> Found:
    if login.lower() not in {call.view.world.org.login.lower(), str(call.view.world.org.id)}:
        raise not_found()
    return organization_row(call.view.world, call.view.now)


def _repositories(call: Call, login: str) -> Found:
    _organization(call, login)
    world, now = call.view.world, call.view.now
    found = call.view.repositories()
    kind = one_of(call.query, "type", ("all", "public", "private", "forks", "sources", "member"))
    found = [each for each in found if kind not in {"public", "private"} or each.private == (kind == "private")]
    sort = one_of(call.query, "sort", ("created", "updated", "pushed", "full_name"))
    keys: dict[str, Callable[[Repository], Any]] = {
        "created": lambda each: each.founded,
        "updated": lambda each: world.updated(each, now),
        "pushed": lambda each: world.pushed(each, now),
        "full_name": lambda each: each.name(now).lower(),
    }
    down = one_of(call.query, "direction", ("asc", "desc") if sort == "full_name" else ("desc", "asc")) == "desc"
    found = sorted([] if kind == "forks" else found, key=keys[sort], reverse=down)
    return Listing(f"/organizations/{world.org.id}/repos", found, lambda each: listed_repository_row(world, each, now))


def _by_name(call: Call, owner: str, name: str, rest: str) -> Found:
    found = call.view.named(owner, name)
    if found is None:
        raise not_found()
    if not found[1]:
        query = call.target.partition("?")[2]
        raise moved(f"{call.origin}/repositories/{found[0].id}{rest or ''}{'?' if query else ''}{query}")
    return _inside(call, found[0], rest or "")


def _by_id(call: Call, number: str, rest: str) -> Found:
    found = call.view.by_id(int(number))
    if found is None:
        raise not_found()
    return _inside(call, found, rest or "")


def _inside(call: Call, repository: Repository, rest: str) -> Found:
    view = call.view
    if view.forbidden(repository):
        raise sso_required(view.world.org.login)
    inside = Inside(call, repository, Rows(view.world, repository, view.now), f"/repositories/{repository.id}{rest}")
    for pattern, _, find in _INSIDE:
        if matched := pattern.fullmatch(rest):
            return find(inside, *matched.groups())
    raise not_found()


def _repository(inside: Inside) -> Found:
    return full_repository_row(inside.call.view.world, inside.repository, inside.now)


def _issues(inside: Inside) -> Found:
    """Plain issues and pull requests."""
    if not inside.repository.issues:
        raise RefusedError(410, "Issues has been disabled in this repository.")
    query, now, after = inside.call.query, inside.now, since(inside.call.query)
    state = one_of(query, "state", ("open", "closed", "all"))
    sort = one_of(query, "sort", ("created", "updated", "comments"))
    down = one_of(query, "direction", ("desc", "asc")) == "desc"
    found = [each for each in inside.threads() if each.updated(now) >= after and _stands(each.state(now), state)]
    place = _places(sort, now)
    found = sorted([] if after == 0 else found, key=place, reverse=down)  # to the vendor, 1970 is no time
    return Listing(inside.path, found, inside.rows.issue, place=place, descending=down)


def _pulls(inside: Inside) -> Found:
    query, now = inside.call.query, inside.now
    state = one_of(query, "state", ("open", "closed", "all"))
    sort = one_of(query, "sort", ("created", "updated", "popularity", "long-running"))
    down = one_of(query, "direction", ("desc", "asc") if sort == "created" else ("asc", "desc")) == "desc"
    found = [each for each in inside.threads() if each.pull and _stands(each.state(now), state)]
    place = _places(sort, now)
    return Listing(inside.path, sorted(found, key=place, reverse=down), inside.rows.pull)


def _stands(state: State, wanted: str) -> bool:
    return wanted == "all" or (state.standing == "open") == (wanted == "open")


def _places(sort: str, now: int) -> Callable[[Thread], tuple[int, int]]:
    match sort:
        case "updated":
            return lambda each: (each.updated(now), each.number)
        case "comments" | "popularity":
            return lambda each: (len(each.shown_comments(now)), each.number)
        case _:
            return lambda each: (each.created, each.number)


def _issue(inside: Inside, number: str) -> Found:
    found = inside.call.view.world.thread(inside.repository, int(number), inside.now)
    if found is None:
        raise not_found()
    if not found.pull and not inside.repository.issues:
        raise RefusedError(410, "This issue was deleted")
    return inside.rows.issue(found)


def _pull(inside: Inside, number: str) -> Found:
    return inside.rows.detail(inside.pull(number))


def _commits(inside: Inside, number: str) -> Found:
    commits = inside.pull(number).state(inside.now).commits
    return Listing(inside.path, commits, _commit_rows(inside), cap=_MOST_COMMITS)


def _commit_rows(inside: Inside) -> Callable[[Commit], Any]:
    world, repository = inside.call.view.world, inside.repository
    url, web = repository_url(world, repository, inside.now), repository_web(world, repository, inside.now)
    return lambda commit: commit_row(url, web, repository, commit)


def _reviews(inside: Inside, number: str) -> Found:
    pull = inside.pull(number)
    return Listing(inside.path, pull.shown_reviews(inside.now), lambda review: inside.rows.review(pull, review))


def _remarks_of(inside: Inside, number: str) -> Found:
    pull = inside.pull(number)
    return _comments(inside, [(pull, remark) for remark in pull.shown_remarks(inside.now)], inside.rows.remark)


def _remarks(inside: Inside) -> Found:
    found = [(pull, remark) for pull in inside.threads() if pull.pull for remark in pull.shown_remarks(inside.now)]
    return _comments(inside, found, inside.rows.remark)


def _comments_of(inside: Inside, number: str) -> Found:
    thread = inside.call.view.world.thread(inside.repository, int(number), inside.now)
    if thread is None:
        raise not_found()
    return _comments(inside, [(thread, comment) for comment in thread.shown_comments(inside.now)], inside.rows.comment)


def _issue_comments(inside: Inside) -> Found:
    found = [(thread, comment) for thread in inside.threads() for comment in thread.shown_comments(inside.now)]
    return _comments(inside, found, inside.rows.comment)


def _comments(inside: Inside, found: Sequence[Any], row: Callable[[Thread, Any], Any]) -> Found:
    query, now, after = inside.call.query, inside.now, since(inside.call.query)
    by_update = one_of(query, "sort", ("created", "updated")) == "updated"
    down = one_of(query, "direction", ("asc", "desc")) == "desc" and "sort" in query
    chosen = [each for each in found if each[1].updated(now) >= after]
    order = sorted(chosen, key=lambda each: (each[1].updated(now) if by_update else each[1].created, each[1].id), reverse=down)
    return Listing(inside.path, order, lambda each: row(*each))


def _all_commits(inside: Inside) -> Found:
    """What was merged, the newest first."""
    if inside.repository.empty:
        raise RefusedError(409, "Git Repository is empty.")
    merged = [each.state(inside.now) for each in inside.threads() if each.state(inside.now).standing == "merged"]
    commits = {commit.sha: commit for state in merged for commit in state.commits}
    order = sorted(commits.values(), key=lambda commit: (commit.committed, commit.sha), reverse=True)
    return Listing(inside.path, order, _commit_rows(inside))


def _compare(inside: Inside, base: str, head: str) -> Found:
    """All commits of the pull request whose head it is, also more than 250."""
    for pull in inside.threads():
        for state in pull.states(inside.now) if pull.pull else ():
            if head.rpartition(":")[2] in {state.commits[-1].sha, pull.head_ref}:
                return _compared(inside, base, state)
    raise not_found()


def _compared(inside: Inside, base: str, state: State) -> Found:
    commits, row = state.commits, _commit_rows(inside)
    root = row(commits[0]._replace(sha=sha_of("base", base), parent=sha_of("root", base)))
    counts = {"ahead_by": len(commits), "behind_by": 0, "total_commits": len(commits)}
    head = {"status": "ahead", "base_commit": root, "merge_base_commit": root, **counts, "files": []}
    return Listing(inside.path, commits, row, size=_MOST_COMMITS, around=lambda rows: {**head, "commits": rows})


_INSIDE: Sequence[tuple[re.Pattern[str], str, Callable[..., Found]]] = [
    (re.compile(re.sub(r"\{\w+\}", "([0-9]+)", path)), path, find)
    for path, find in (
        ("", _repository),
        ("/issues", _issues),
        ("/issues/comments", _issue_comments),
        ("/issues/{number}", _issue),
        ("/issues/{number}/comments", _comments_of),
        ("/pulls", _pulls),
        ("/pulls/comments", _remarks),
        ("/pulls/{number}", _pull),
        ("/pulls/{number}/commits", _commits),
        ("/pulls/{number}/reviews", _reviews),
        ("/pulls/{number}/comments", _remarks_of),
        ("/commits", _all_commits),
    )
] + [(re.compile(r"/compare/([^.]+)\.\.\.(.+)"), "/compare", _compare)]
_ROUTES: Sequence[tuple[re.Pattern[str], str, Callable[..., Found]]] = [
    (re.compile("/user"), "/user", _user),
    (re.compile("/orgs/([^/]+)"), "/orgs/{org}", _organization),
    (re.compile("/(?:orgs|organizations)/([^/]+)/repos"), "/orgs/{org}/repos", _repositories),
    (re.compile("/repos/([^/]+)/([^/]+)(/.+)?"), "R", _by_name),
    (re.compile("/repositories/([0-9]+)(/.+)?"), "R", _by_id),
]
