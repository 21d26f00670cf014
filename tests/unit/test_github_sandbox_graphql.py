"""The simulated GitHub's GraphQL: any query over its schema, what it costs, and what of it fails."""

from datetime import timedelta
from typing import Any

import pytest
from graphql import get_named_type, is_abstract_type, is_object_type

from harvester.sandbox.github_graphql import RefusedQueryError, asked, schema
from harvester.sandbox.github_names import node_id
from tests.unit.github_sandboxes import GitHubClient, github, in_repository

SMALL = {"repositories": 2, "pulls_per_day": 1.0, "traps": False}
DETAILS = (
    "labels(first: 50) { nodes { name } } commits(first: 50) { nodes { commit { oid } } } reviews(first: 50) { nodes { id } }"
)
CANARY = """{ organization(login: "acme") { repositories(first: 100) { nodes { id databaseId
  pullRequests(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { nodes { updatedAt } } } } } }"""

VENDORS = """{ viewer { login } organization(login: "acme") { repositories(first: 100) { nodes { pullRequests(first: 50) { nodes {
  labels(first: 60) { nodes { name } } } } } } } }"""
"""The example of the vendor's documents, with what is here."""


def batch(number: int, details: str = DETAILS) -> str:
    pulls = " ".join(f"p{nth}: pullRequest(number: {nth}) {{ ...Whole }}" for nth in range(1, number + 1))
    fragment = f"fragment Whole on PullRequest {{ number comments {{ totalCount }} {details} }}"
    return f"{in_repository(pulls)} {fragment}"


@pytest.mark.parametrize(
    ("query", "points", "nodes"),
    [
        ("{ viewer { login } }", 1, 0),
        (CANARY, 1, 200),
        (VENDORS, 51, 100 + 100 * 50 + 100 * 50 * 60),
        (batch(25), 1, 25 * 150),
        (batch(100), 3, 100 * 150),
        (batch(50, "reviews(first: 20) { nodes { comments(first: 20) { nodes { id } } } }"), 11, 50 * (20 + 400)),
        (batch(50, "reviews(first: 20) { nodes { comments { totalCount } } }"), 1, 50 * 20),
    ],
)
def test_a_query_costs_what_the_vendors_rule_says(query: str, points: int, nodes: int) -> None:
    assert asked({"query": query, "variables": {"id": "x"}}).cost == (points, nodes)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ("", "MISSING_PAGINATION_BOUNDARIES"),
        ("(first: 101)", "EXCESSIVE_PAGINATION"),
        ("(last: 0)", "EXCESSIVE_PAGINATION"),
        ("(first: $many)", "EXCESSIVE_PAGINATION"),
    ],
)
def test_a_connection_needs_a_bound_of_a_hundred_at_most(arguments: str, kind: str) -> None:
    query = f'query ($many: Int = 500) {{ organization(login: "acme") {{ repositories{arguments} {{ edges {{ cursor }} }} }} }}'
    with pytest.raises(RefusedQueryError) as told:
        asked({"query": query if "$many" in arguments else query.replace(" ($many: Int = 500)", "")})
    assert told.value.content["errors"][0]["type"] == kind


def test_half_a_million_nodes_are_the_most() -> None:
    deep = "pullRequests(first: 100) { nodes { commits(first: %d) { nodes { id } } } }"
    query = '{ organization(login: "acme") { repositories(first: 50) { nodes { %s } } } }'
    assert asked({"query": query % (deep % 98)}).cost.nodes == 50 + 5000 + 490_000
    with pytest.raises(RefusedQueryError, match="500,000"):
        asked({"query": query % (deep % 100)})


async def asking(client: GitHubClient, query: str, **variables: Any) -> Any:
    answer = await client.graphql(query, **{"id": node_id("R", client.repository().id), **variables})
    assert answer.status == 200
    return answer.json


async def test_a_wrong_query_is_told_with_200_and_costs_a_point() -> None:
    async with github(**SMALL) as client:
        for query in ("{ viewer { nothing } }", "{ viewer ", 'query ($a: Int!) { node(id: "x") { id } }', "{ a: viewer }"):
            answer = await asking(client, query)
            assert "data" not in answer
            assert answer["errors"][0]["message"]
        assert (await client.post("/graphql", {"query": 1})).status == 400
        remaining = (await client.get("/rate_limit")).json["resources"]["graphql"]["remaining"]
        assert remaining == 4995


async def test_what_is_not_found_is_null_beside_what_is() -> None:
    async with github(**SMALL) as client:
        known = client.pulls()[0].number
        query = in_repository(f"a: pullRequest(number: {known}) {{ number }} b: pullRequest(number: 99999) {{ number }}")
        answer = await asking(client, query)
        assert answer["data"]["node"] == {"a": {"number": known}, "b": None}
        (error,) = answer["errors"]
        assert (error["type"], error["path"]) == ("NOT_FOUND", ["node", "b"])
        assert "number of 99999" in error["message"]
        assert (await asking(client, query, id="R_nonsense"))["errors"][0]["type"] == "NOT_FOUND"


async def test_connections_are_read_by_cursors_from_both_ends() -> None:
    async with github(**SMALL) as client:
        threads = client.running.sandbox.world.by_update(client.repository(), client.now)
        expected = [thread.number for thread in threads if thread.pull]
        query = in_repository(
            """pullRequests(first: $first, last: $last, after: $after, before: $before,
            orderBy: {field: UPDATED_AT, direction: ASC}) { totalCount nodes { number } edges { cursor }
            pageInfo { hasNextPage endCursor hasPreviousPage startCursor } }""",
            ", $after: String, $before: String, $first: Int, $last: Int",
        )
        found: list[int] = []
        page: Any = {"pageInfo": {"endCursor": None, "hasNextPage": True}}
        while page["pageInfo"]["hasNextPage"]:
            answer = await asking(client, query, first=40, after=page["pageInfo"]["endCursor"])
            page = answer["data"]["node"]["pullRequests"]
            found += [node["number"] for node in page["nodes"]]
        assert found == expected
        assert page["totalCount"] == len(expected)
        last = (await asking(client, query, last=5))["data"]["node"]["pullRequests"]
        assert [node["number"] for node in last["nodes"]] == expected[-5:]
        assert last["pageInfo"]["hasPreviousPage"]
        ahead = (await asking(client, query, last=5, before=last["pageInfo"]["startCursor"]))["data"]["node"]["pullRequests"]
        assert [node["number"] for node in ahead["nodes"]] == expected[-10:-5]
        assert (await asking(client, query, first=5, after="x"))["errors"][0]["type"] == "INVALID_CURSOR_ARGUMENTS"


async def test_the_canary_tells_of_the_last_update_of_each_repository() -> None:
    async with github(**SMALL) as client:
        before = await asking(client, CANARY)
        client.advance(days=2)
        after = await asking(client, CANARY)
        assert before != after
        newest = client.running.truth().pull_requests.values()
        for node in after["data"]["organization"]["repositories"]["nodes"]:
            told = max(row["updated_at"] for row in newest if row["repository_id"] == node["databaseId"])
            assert node["pullRequests"]["nodes"][0]["updatedAt"] == told.isoformat().replace("+00:00", "Z")


async def test_an_answer_that_is_too_heavy_is_502_and_a_lighter_one_is_not() -> None:
    async with github(**SMALL, heavy=60) as client:
        first = client.pulls()[0].number
        number = node_id("R", client.repository().id)
        heavy = await client.graphql(batch(40), id=number)
        assert (heavy.status, "data" in heavy.json) == (502, False)
        light = in_repository(f"pullRequest(number: {first}) {{ number {DETAILS} }}")
        assert (await client.graphql(light, id=number)).status == 200


@pytest.mark.parametrize(("dialect", "status"), [("forbidden", 403), ("absent", 404)])
async def test_some_tokens_may_not_and_some_servers_have_none(dialect: str, status: int) -> None:
    async with github(**SMALL, graphql=dialect) as client:
        assert (await client.graphql("{ viewer { login } }")).status == status
        assert (await client.get("/orgs/acme/repos")).status == 200
        await client.control("/sandbox/switches", {"graphql": "on"})
        answer = await client.post("/api/graphql", {"query": "{ viewer { login } }"})
        assert answer.json["data"]["viewer"]["login"] == client.running.sandbox.world.team.people[0].login


async def test_ids_are_beyond_32_bits_and_told_as_numbers_and_as_text() -> None:
    async with github(**SMALL) as client:
        asked_for = "{ databaseId fullDatabaseId reviews(first: 1) { nodes { databaseId fullDatabaseId } } }"
        query = (
            f"query ($id: ID!) {{ node(id: $id) {{ ... on Repository {{ pullRequests(last: 50) {{ nodes {asked_for} }} }} }} }}"
        )
        nodes = (await asking(client, query))["data"]["node"]["pullRequests"]["nodes"]
        reviews = [review for node in nodes for review in node["reviews"]["nodes"]]
        for node in (*nodes, *reviews):
            assert node["databaseId"] > 2**31
            assert str(node["databaseId"]) == node["fullDatabaseId"]


def test_only_the_operation_that_is_run_is_paid_for() -> None:
    both = f"query Small {{ viewer {{ login }} }} query Large {VENDORS}"
    assert asked({"query": both, "operationName": "Small"}).cost == (1, 0)
    assert asked({"query": both, "operationName": "Large"}).cost.points == 51


@pytest.mark.parametrize("written", ["variable", "list"])
async def test_a_hundred_ids_are_the_most(written: str) -> None:
    async with github(**SMALL) as client:
        known = [node_id("R", client.repository().id)] * 100

        async def nodes(ids: list[str]) -> Any:
            if written == "variable":
                return await asking(client, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
            return await asking(client, f"{{ nodes(ids: {str(ids).replace(chr(39), chr(34))}) {{ id }} }}")

        assert len((await nodes(known))["data"]["nodes"]) == 100
        refused = await nodes([*known, known[0]])
    assert "data" not in refused
    assert (refused["errors"][0]["type"], "101" in refused["errors"][0]["message"]) == ("ARGUMENT_LIMIT", True)


def whole(kind: str, above: frozenset[str] = frozenset()) -> str:
    """A selection of every field of a type, of fields that lead back to a type above only the id."""
    found = []
    for name, field in schema().type_map[kind].fields.items():  # type: ignore[attr-defined]
        under = get_named_type(field.type)
        given = "(first: 3)" if "first" in field.args else ""
        if {"name", "number"} & field.args.keys():
            continue
        if under.name in above | {kind}:
            found.append(f"{name}{given} {{ id }}" if "id" in under.fields else f"{name}{given} {{ totalCount }}")
        elif is_object_type(under):
            found.append(f"{name}{given} {{ {whole(under.name, above | {kind})} }}")
        else:
            found.append(f"{name} {{ login }}" if is_abstract_type(under) else name)
    return " ".join(found)


async def test_every_field_of_a_pull_request_can_be_asked_for_with_all_that_is_below_it() -> None:
    async with github(**SMALL) as client:
        query = in_repository(f"pullRequests(last: 20) {{ nodes {{ {whole('PullRequest')} }} }}")
        answer = await asking(client, query)
        assert "errors" not in answer
        nodes = answer["data"]["node"]["pullRequests"]["nodes"]
        assert len(nodes) == 20
        assert any(node["reviews"]["nodes"] for node in nodes)


async def test_a_branch_is_in_the_fork_of_somebody_until_that_is_deleted() -> None:
    async with github(**SMALL, history=timedelta(days=60)) as client:
        by_number = {pull.number: pull for pull in client.pulls()}
        fields = "id databaseId nameWithOwner isFork owner { login } pullRequests(first: 1) { totalCount }"
        query = in_repository(f"pullRequests(last: 60) {{ nodes {{ number headRepository {{ {fields} }} }} }}")
        nodes = (await asking(client, query))["data"]["node"]["pullRequests"]["nodes"]
        rows = {row["number"]: row["head"]["repo"] for row in await client.rows(f"{client.path()}/pulls", state="all")}
        own = gone = forked = 0
        for node in nodes:
            pull, head, row = by_number[node["number"]], node["headRepository"], rows[node["number"]]
            own += pull.fork is None
            gone += pull.fork_gone <= client.now
            assert (head is None, row is None) == (pull.fork_gone <= client.now,) * 2
            if head is None:
                continue
            assert head["isFork"] == row["fork"] == (pull.fork is not None)
            assert (head["id"], head["databaseId"], head["nameWithOwner"]) == (row["node_id"], row["id"], row["full_name"])
            if pull.fork is not None:
                forked += 1
                assert head["owner"]["login"] == pull.fork.login
                assert head["databaseId"] != client.repository().id
                assert head["pullRequests"]["totalCount"] == 0
    assert min(own, gone, forked) > 0
