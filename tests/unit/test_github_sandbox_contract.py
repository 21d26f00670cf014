"""Every answer of the simulated GitHub is of the vendor's shape."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harvester.sandbox.github_threads import Thread
from tests.unit.github_sandboxes import EMPTY, RENAMED, WITHOUT_ISSUES, GitHubClient, github
from tests.unit.sandboxes import Got

RESPONSES = json.loads((Path(__file__).parents[1] / "fixtures" / "github-contract" / "responses.json").read_text())
R = "/repos/{owner}/{repo}"
LATER = {"has_pull_requests", "resource", "status", "graphql"}
"""Fields that the schemas do not have, or have elsewhere; users of the vendor have seen them."""


def names(schema: Any, seen: set[str]) -> set[str]:
    """Every property that a schema knows, at any depth."""
    if isinstance(schema, list):
        return set().union(*(names(each, seen) for each in schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {})).union(*(names(each, seen) for each in schema.values()))
    other = schema.get("$ref")
    if isinstance(other, str) and other not in seen:
        seen.add(other)
        found |= names(RESPONSES["schemas"][other.rpartition("/")[2]], seen)
    return found


def used(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(used, value))
    return set(value).union(*map(used, value.values())) if isinstance(value, dict) else set()


def holds(answer: Got, path: str) -> Any:
    """The answer, once it is of its shape; what a fork was that is gone is null, which the schemas do not know."""
    assert answer.status in {200, 201}, answer.body
    body = answer.json
    schema = RESPONSES["paths"][path]
    for pull in body if isinstance(body, list) else [body]:
        if isinstance(pull.get("head"), dict) and pull["head"]["repo"] is None:
            pull["head"] = pull["base"]
    jsonschema.Draft202012Validator({**schema, "schemas": RESPONSES["schemas"]}).validate(body)
    assert used(body) - names(schema, set()) <= LATER
    return body


async def about_threads(client: GitHubClient, path: str, threads: list[Thread]) -> None:
    for thread in threads:
        if thread.pull:
            holds(await client.get(f"{path}/pulls/{thread.number}"), f"{R}/pulls/{{pull_number}}")
            holds(await client.get(f"{path}/pulls/{thread.number}/commits"), f"{R}/pulls/{{pull_number}}/commits")
            holds(await client.get(f"{path}/pulls/{thread.number}/reviews"), f"{R}/pulls/{{pull_number}}/reviews")
            holds(await client.get(f"{path}/pulls/{thread.number}/comments"), f"{R}/pulls/{{pull_number}}/comments")
        holds(await client.get(f"{path}/issues/{thread.number}"), f"{R}/issues/{{issue_number}}")
        holds(await client.get(f"{path}/issues/{thread.number}/comments"), f"{R}/issues/{{issue_number}}/comments")


@pytest.mark.parametrize("prefix", ["", "/api/v3"])
async def test_answers_about_the_organisation_are_of_the_vendors_shape(prefix: str) -> None:
    async with github() as client:
        holds(await client.get(f"{prefix}/user"), "/user")
        holds(await client.get(f"{prefix}/rate_limit"), "/rate_limit")
        holds(await client.get(f"{prefix}/orgs/acme"), "/orgs/{org}")
        assert len(holds(await client.get(f"{prefix}/orgs/acme/repos"), "/orgs/{org}/repos")) == 11
        holds(await client.get(f"{prefix}{client.named()}"), R)


@pytest.mark.parametrize("index", [0, WITHOUT_ISSUES, RENAMED, EMPTY])
async def test_answers_about_a_repository_are_of_the_vendors_shape(index: int) -> None:
    async with github() as client:
        path = client.named(index)
        if index != WITHOUT_ISSUES:
            holds(await client.get(f"{path}/issues", state="all", per_page=20), f"{R}/issues")
        holds(await client.get(f"{path}/pulls", state="all", per_page=10), f"{R}/pulls")
        holds(await client.get(f"{path}/pulls/comments", per_page=20), f"{R}/pulls/comments")
        holds(await client.get(f"{path}/issues/comments", per_page=20), f"{R}/issues/comments")
        if index != EMPTY:
            holds(await client.get(f"{path}/commits"), f"{R}/commits")
        await about_threads(client, path, client.threads(index)[:5])


async def test_refusals_are_of_the_vendors_shape() -> None:
    async with github() as client:
        for path, status in ((f"{client.path(WITHOUT_ISSUES)}/issues", 410), (f"{client.path(EMPTY)}/commits", 409), ("/x", 404)):
            answer = await client.get(path)
            assert answer.status == status
            jsonschema.validate(answer.json, {"$ref": "#/schemas/basic-error", "schemas": RESPONSES["schemas"]})
        invalid = await client.get(f"{client.path()}/issues", sort="size")
        assert invalid.status == 422
        jsonschema.validate(invalid.json, {"$ref": "#/schemas/validation-error", "schemas": RESPONSES["schemas"]})
        client.token = "forged"
        assert (await client.get("/user")).json["message"] == "Bad credentials"
