"""What GraphQL finds below a thing: connections, and what may be null or refused."""

from collections.abc import Callable, Mapping
from typing import Any

from harvester.sandbox.github_names import iso
from harvester.sandbox.github_nodes import (
    Connection,
    Context,
    Label,
    OneComment,
    OneCommit,
    OneRemark,
    OneReview,
    PullCommit,
    Repo,
    Signature,
    Talk,
    TypedError,
    actor,
    connection,
)
from harvester.sandbox.github_people import WEB_FLOW, Account
from harvester.sandbox.github_refusals import SSO
from harvester.sandbox.github_thread_rows import merge_sha
from harvester.sandbox.github_threads import Commit, Thread
from harvester.sandbox.github_world import Repository

Arguments = Mapping[str, Any]


def shown(repository: Repository, context: Context) -> Repo:
    """Raises TypedError."""
    if context.view.forbidden(repository):
        raise TypedError("FORBIDDEN", SSO, saml_failure=True)
    return Repo(repository, context)


def named(context: Context, owner: str, name: str) -> Repo:
    """Who is called so now: a name of old finds nothing, whatever followRenames says. Raises TypedError."""
    found = context.view.named(owner, name)
    if found is None or not found[1]:
        raise TypedError("NOT_FOUND", f"Could not resolve to a Repository with the name '{owner}/{name}'.")
    return shown(found[0], context)


def talk(repo: Repo, number: int, *, pull: bool) -> Talk:
    """Raises TypedError."""
    context = repo.context
    thread = None if repo.fork else context.view.world.thread(repo.repository, number, context.now)
    if thread is None or thread.pull != pull:
        kind = "PullRequest" if pull else "Issue"
        raise TypedError("NOT_FOUND", f"Could not resolve to a {kind} with the number of {number}.")
    return Talk(repo, thread, thread.state(context.now))


def person(account: Account | None, context: Context) -> dict[str, Any] | None:
    return actor(account, context) if account else None


def repositories(_: Any, context: Context, arguments: Arguments) -> Connection[Any]:
    world, now, order = context.view.world, context.now, arguments.get("orderBy") or {"field": "NAME", "direction": "ASC"}
    found = context.view.repositories()
    privacy, archived = arguments.get("privacy"), arguments.get("isArchived")
    found = [each for each in found if privacy is None or each.private == (privacy == "PRIVATE")]
    found = [each for each in found if archived is None or (each.archived <= now) == archived]
    names = {each.serial: nth for nth, each in enumerate(found)}
    moments: dict[str, Callable[[Repository], int]] = {
        "CREATED_AT": lambda each: each.founded,
        "UPDATED_AT": lambda each: world.updated(each, now),
        "PUSHED_AT": lambda each: world.pushed(each, now),
    }
    moments["NAME"] = moments["STARGAZERS"] = lambda each: names[each.serial]
    moment = moments[order["field"]]
    down = order["direction"] == "DESC"
    found = sorted(found, key=lambda each: (moment(each), each.serial), reverse=down)
    made = connection(context, found, arguments, place=lambda each: (moment(each), each.serial), descending=down)
    return made._replace(chosen=[or_error(each, context) for each in made.chosen])


def or_error(repository: Repository, context: Context) -> Any:
    """An error in a list makes its item null."""
    try:
        return shown(repository, context)
    except TypedError as error:
        return error


def talks(repo: Repo, context: Context, arguments: Arguments, *, pull: bool) -> Connection[Talk]:
    now, order = context.now, arguments.get("orderBy") or {"field": "CREATED_AT", "direction": "ASC"}
    wanted = {state.lower() for state in arguments.get("states") or ()}
    found = [] if repo.fork else [each for each in context.view.world.by_update(repo.repository, now) if each.pull == pull]
    if wanted:
        found = [each for each in found if each.state(now).standing in wanted]
    places: dict[str, Callable[[Thread], tuple[int, int]]] = {
        "UPDATED_AT": lambda each: (each.updated(now), each.number),
        "COMMENTS": lambda each: (len(each.shown_comments(now)), each.number),
        "CREATED_AT": lambda each: (each.created, each.number),
    }
    place, down = places[order["field"]], order["direction"] == "DESC"
    made = connection(context, sorted(found, key=place, reverse=down), arguments, place=place, descending=down)
    talks = [Talk(repo, each, each.state(now)) for each in made.chosen]
    return Connection(context, talks, made.places, made.total, made.before, made.after)


def labels(source: Talk, context: Context, arguments: Arguments) -> Connection[Label]:
    return connection(context, [Label(name) for name in source.state.labels], arguments)


def comments(source: Talk, context: Context, arguments: Arguments) -> Connection[OneComment]:
    return connection(context, [OneComment(source, each) for each in source.thread.shown_comments(context.now)], arguments)


def commits(source: Talk, context: Context, arguments: Arguments) -> Connection[PullCommit]:
    return connection(context, [PullCommit(source, each) for each in source.state.commits], arguments)


def reviews(source: Talk, context: Context, arguments: Arguments) -> Connection[OneReview]:
    wanted, now = arguments.get("states"), context.now
    found = [each for each in source.thread.shown_reviews(now) if not wanted or each.state(now) in wanted]
    return connection(context, [OneReview(source, each) for each in found], arguments)


def remarks(source: OneReview, context: Context, arguments: Arguments) -> Connection[OneRemark]:
    found = [each for each in source.talk.thread.shown_remarks(context.now) if each.review == source.review.id]
    return connection(context, [OneRemark(source.talk, each) for each in found], arguments)


def commit_of(source: Talk, sha: str, context: Context) -> OneCommit | None:
    found = source.thread.commits_ever(context.now).get(sha)
    return OneCommit(source.repo, found) if found else None


def merge_commit(source: Talk) -> OneCommit | None:
    state = source.state
    if state.standing != "merged":
        return None
    last, at = state.commits[-1], state.closed
    return OneCommit(source.repo, last._replace(sha=merge_sha(source.thread), committed=at, authored=at, web=True))


def author_of(commit: Commit) -> Signature:
    known = commit.author if commit.author and commit.author.linked and commit.author.kind == "User" else None
    return Signature(commit.name, commit.email, iso(commit.authored), known)


def committer_of(commit: Commit) -> Signature:
    if not commit.web:
        return author_of(commit)._replace(date=iso(commit.committed))
    return Signature(WEB_FLOW.name, WEB_FLOW.email, iso(commit.committed), None)


def headline_of(commit: Commit, part: int) -> str:
    return commit.message.partition("\n\n")[part]


def head_repository(source: Talk, context: Context) -> Repo | None:
    """Where the branch is: a fork that is gone is null."""
    return None if source.thread.fork_gone <= context.now else source.repo._replace(fork=source.thread.fork)


def head_owner(source: Talk, context: Context) -> dict[str, Any] | None:
    return None if source.thread.fork_gone <= context.now else actor(source.thread.fork or context.view.world.org, context)
