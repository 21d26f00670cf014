"""GraphQL: a query is read, its cost told, and what can be answered is answered, with the errors beside it."""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute_sync,
    get_variable_values,
    parse,
    validate,
)

from harvester.sandbox.github_connections import named, shown, talk
from harvester.sandbox.github_cost import Cost, LimitError, cost_of
from harvester.sandbox.github_fields import FIELDS
from harvester.sandbox.github_names import ORGANIZATION, PULL, REPOSITORY, iso, parts_of
from harvester.sandbox.github_nodes import Connection, Context, Repo, Talk, TypedError, actor
from harvester.sandbox.github_rows import account_node
from harvester.sandbox.github_schema import SCHEMA

_KINDS = {"OneCommit": "Commit", "OneReview": "PullRequestReview", "OneRemark": "PullRequestReviewComment", "Repo": "Repository"}


class Question(NamedTuple):
    """A query that can be answered."""

    document: DocumentNode
    variables: Mapping[str, Any]
    operation: str | None
    cost: Cost


class Answer(NamedTuple):
    content: dict[str, Any]
    nodes: int


class RefusedQueryError(Exception):
    """A query that is not answered at all: 200, and why."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.content = {"errors": [_formatted(error) for error in errors]}


@cache
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA)


def asked(body: Mapping[str, Any]) -> Question:
    """Raises RefusedQueryError."""
    document = _parsed(str(body.get("query") or ""))
    name = body.get("operationName") or None
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    chosen = [each for each in operations if name is None or (each.name and each.name.value == name)]
    if len(chosen) != 1:
        raise RefusedQueryError([GraphQLError(f"No operation named {name!r}" if name else "An operation name is required")])
    given = body.get("variables") or {}
    coerced = get_variable_values(schema(), chosen[0].variable_definitions or (), given)
    if isinstance(coerced, list):
        raise RefusedQueryError(coerced)
    try:
        return Question(document, given, name, cost_of(schema(), document, chosen[0], coerced.coerced))
    except LimitError as error:
        raise RefusedQueryError([error]) from error


def answered(question: Question, context: Context) -> Answer:
    """What is good, and errors of what is not."""
    result = execute_sync(
        schema(),
        question.document,
        context_value=context,
        variable_values=dict(question.variables),
        operation_name=question.operation,
        field_resolver=_resolved,
        type_resolver=_kind_of,
    )
    assert isinstance(result, ExecutionResult)
    content: dict[str, Any] = {"data": result.data}
    if result.errors:
        content["errors"] = [_formatted(error) for error in result.errors]
    return Answer(content, context.nodes)


@lru_cache(maxsize=500)
def _parsed(query: str) -> DocumentNode:
    """Raises RefusedQueryError."""
    try:
        document = parse(query, no_location=False)
    except GraphQLError as error:
        raise RefusedQueryError([error]) from error
    errors = validate(schema(), document)
    if errors:
        raise RefusedQueryError(errors)
    return document


def _resolved(source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
    """The value of a field."""
    parent, field, context = info.parent_type.name, info.field_name, info.context
    if parent == "Query":
        return _root(field, context, arguments)
    if isinstance(source, Connection):
        return _connected(source, field)
    find = FIELDS.get(parent, {}).get(field)
    return find(source, context, arguments) if find else source.get(field)


def _connected(source: Connection[Any], field: str) -> Any:
    match field:
        case "totalCount":
            return source.total
        case "pageInfo":
            return source.page_info()
        case "nodes":
            return source.nodes()
        case "edges":
            return source.edges()
    return 0


def _root(field: str, context: Context, arguments: Mapping[str, Any]) -> Any:
    """Raises TypedError."""
    view = context.view
    match field:
        case "rateLimit":
            return {**context.limit, "cost": context.cost.points, "nodeCount": context.cost.nodes}
        case "viewer":
            return actor(view.caller.account or view.world.team.bots[0], context)
        case "organization":
            if arguments["login"].lower() != view.world.org.login.lower():
                message = f"Could not resolve to an Organization with the login of '{arguments['login']}'."
                raise TypedError("NOT_FOUND", message)
            return actor(view.world.org, context)
        case "repository":
            return named(context, arguments["owner"], arguments["name"])
        case "node":
            return _node(arguments["id"], context)
    return [_node_or_error(each, context) for each in arguments["ids"]]


def _node_or_error(node: str, context: Context) -> Any:
    try:
        return _node(node, context)
    except TypedError as error:
        return error


def _node(node: str, context: Context) -> Any:
    """An organisation, a repository or a pull request; the rest is found below them. Raises TypedError."""
    kind, parts = parts_of(node) or ("", [])
    numbers = [int(part) for part in parts if part.isdigit()]
    if kind == ORGANIZATION and node == account_node(context.view.world.org):
        return actor(context.view.world.org, context)
    found = context.view.by_id(numbers[0]) if kind in {REPOSITORY, PULL} and len(numbers) == len(parts) > 0 else None
    if found is None:
        raise TypedError("NOT_FOUND", f"Could not resolve to a node with the global id of '{node}'")
    repo = shown(found, context)
    return repo if kind == REPOSITORY else talk(repo, numbers[1], pull=True)


def _kind_of(value: Any, *_: Any) -> str:
    if isinstance(value, Mapping):
        return str(value["__typename"])
    if isinstance(value, Talk):
        return "PullRequest" if value.thread.pull else "Issue"
    return "Repository" if isinstance(value, Repo) else _KINDS[type(value).__name__]


def _formatted(error: GraphQLError) -> dict[str, Any]:
    cause = error if isinstance(error, TypedError | LimitError) else error.original_error
    kind = {"type": cause.kind} if isinstance(cause, TypedError | LimitError) else {}
    extensions = {"extensions": cause.extensions} if isinstance(cause, TypedError) and cause.extensions else {}
    return {**kind, **error.formatted, **extensions}


def limit_of(told: Mapping[str, int | str], cost: Cost) -> dict[str, Any]:
    """What rateLimit tells once the query is paid for."""
    numbers = {name: int(told[name]) for name in ("limit", "remaining", "used", "reset")}
    return {
        "limit": numbers["limit"],
        "remaining": max(0, numbers["remaining"] - cost.points),
        "used": numbers["used"] + cost.points,
        "resetAt": iso(numbers["reset"]),
    }
