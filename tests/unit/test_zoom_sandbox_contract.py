"""Every answer of the simulated Zoom, and everything it pushes, is of the vendor's shape."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harvester.sandbox.zoom_notices import body_of, notices
from tests.unit.sandboxes import Got
from tests.unit.zoom_sandboxes import NOON, QUIET, Query, ZoomClient, encoded, zoom

CONTRACT = Path(__file__).parents[1] / "fixtures" / "zoom-contract"
RESPONSES = json.loads((CONTRACT / "responses.json").read_text())
WEBHOOKS = json.loads((CONTRACT / "webhooks.json").read_text())
LATER = {"attentiveness_score", "groupId"}
"""Fields that the schemas of their endpoints do not have yet; zoom's users have seen them."""


def names(schema: Any) -> set[str]:
    """Every property that a schema knows, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(names, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})).union(*map(names, schema.values()))


def used(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(used, value))
    return set(value).union(*map(used, value.values())) if isinstance(value, dict) else set()


def holds(answer: Got, path: str) -> Any:
    assert answer.status == 200, answer.body
    schema = RESPONSES["paths"][path]
    jsonschema.Draft202012Validator(schema).validate(answer.json)
    assert used(answer.json) - names(schema) <= LATER
    return answer.json


def refuses(answer: Got, status: int, code: int) -> None:
    jsonschema.Draft202012Validator(RESPONSES["ZoomError"]).validate(answer.json)
    assert (answer.status, answer.json["code"]) == (status, code)


async def all_of_it(client: ZoomClient) -> None:
    await client.sign_in()
    kinds = [("past", QUIET), ("pastOne", QUIET), ("live", QUIET)]
    for kind, days in kinds if client.running.sandbox.settings.plan == "business" else []:
        query: Query = {"type": kind, "page_size": 300, "include_fields": "tracking_fields", **days}
        body = holds(await client.get("/metrics/meetings", **query), "/metrics/meetings")
        assert body["meetings"]
        for meeting in body["meetings"][:20]:
            path = f"/metrics/meetings/{encoded(meeting['uuid'])}/participants"
            answer = await client.get(path, type=kind, include_fields="registrant_id")
            if answer.status == 200:
                holds(answer, "/metrics/meetings/{meetingId}/participants")
            else:
                refuses(answer, 404, 3001)
    users = holds(await client.get("/report/users", type="active", page_size=300, **QUIET), "/report/users")["users"]
    path = f"/report/users/{users[0]['id']}/meetings"
    meetings = holds(await client.get(path, type="past", **QUIET), "/report/users/{userId}/meetings")["meetings"]
    for meeting in meetings:
        uuid = encoded(meeting["uuid"])
        people = await client.get(f"/report/meetings/{uuid}/participants", include_fields="registrant_id")
        holds(people, "/report/meetings/{meetingId}/participants")
        holds(await client.get(f"/past_meetings/{uuid}/participants"), "/past_meetings/{meetingUUID}/participants")
        holds(await client.get(f"/past_meetings/{uuid}"), "/past_meetings/{meetingUUID}")
        if meeting["type"] != 1:
            holds(await client.get(f"/past_meetings/{meeting['id']}/instances"), "/past_meetings/{meetingId}/instances")


@pytest.mark.parametrize("switches", [{}, {"hipaa": True}, {"plan": "pro"}, {"counts": "final"}], ids=str)
async def test_every_answer_is_of_the_vendors_shape(switches: dict[str, Any]) -> None:
    async with zoom(**{"now": NOON.replace(hour=16), **switches}) as client:
        await all_of_it(client)


async def test_a_token_and_its_refusal_are_of_the_vendors_shape() -> None:
    async with zoom() as client:
        jsonschema.validate((await client.sign_in()).json, RESPONSES["ZoomTokenResponse"])
        for user, form in (("no:body", {}), ("sandbox-client:sandbox", {"grant_type": "password"})):
            refusal = await client.sign_in(user, **form)
            jsonschema.validate(refusal.json, RESPONSES["OAuthError"])
            assert refusal.status == 400


async def test_refusals_are_of_the_vendors_shape() -> None:
    async with zoom(missing_scopes=["report:read:list_users:admin"]) as client:
        refuses(await client.get("/metrics/meetings", type="past"), 400, 300)
        refuses(await client.get("/report/users", **QUIET), 400, 4711)
        refuses(await client.get("/report/users/nobody/meetings", **QUIET), 404, 1001)
        refuses(await client.get("/past_meetings/none"), 404, 3001)
        refuses(await client.get("/users"), 404, 2300)
        client.token = "forged"
        refuses(await client.get("/metrics/meetings", type="past", **QUIET), 401, 124)


async def test_what_is_pushed_is_of_the_vendors_shape() -> None:
    async with zoom() as client:
        sandbox = client.running.sandbox
        found = notices(sandbox.account, sandbox.moment().now - 86_400_000, sandbox.moment())
        assert {notice.event for notice in found} == set(WEBHOOKS)
        for notice in found:
            body = json.loads(body_of(notice, account_id="A", hipaa=False))
            like(body, WEBHOOKS[notice.event])


def like(body: Any, sample: Any) -> None:
    """The same types; no field that the sample has not."""
    assert type(body) is type(sample)
    if isinstance(body, dict):
        assert set(body) <= set(sample)
        for name, value in body.items():
            like(value, sample[name])
