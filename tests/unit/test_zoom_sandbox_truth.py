"""What the simulated Zoom serves is what it says is true, with faults too."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from harvester.errors import ConfigError
from harvester.sandbox.actions import viewers
from harvester.sandbox.clock import moment_of
from harvester.sandbox.faults import rates_of
from harvester.sandbox.serve import serve
from harvester.sandbox.zoom_settings import BROKEN_RECORDS, ZOOM_FAULTS, ZOOM_REST, ZoomSandboxSettings
from harvester.sandbox.zoom_truth import ZoomTruth
from tests.unit.zoom_sandboxes import NOON, QUIET, SPAN, Query, ZoomClient, encoded, zoom


async def read(client: ZoomClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """All meetings of the quiet days and all their sessions, by key."""
    meetings = {row["uuid"]: row for kind in ("past", "pastOne") for row in await client.meetings(kind)}
    sessions: dict[str, Any] = {}
    for uuid in meetings:
        answer = await client.get(f"/metrics/meetings/{encoded(uuid)}/participants", type="past", page_size=300)
        for row in answer.json.get("participants", []):
            sessions[f"{uuid}/{row['user_id']}/{row['join_time']}"] = row
    return meetings, sessions


async def test_the_served_meetings_and_sessions_are_the_truth() -> None:
    async with zoom() as client:
        meetings, sessions = await read(client)
        truth = client.running.truth(*SPAN)
    assert len(sessions) > 1000
    assert {uuid: (meeting.id, meeting.topic, meeting.participants) for uuid, meeting in truth.meetings.items()} == {
        uuid: (row["id"], row["topic"], row["participants"]) for uuid, row in meetings.items()
    }
    assert {key: (stay.name, stay.email or "", stay.ip or "") for key, stay in truth.sessions.items()} == {
        key: (row["user_name"], row["email"], row["ip_address"]) for key, row in sessions.items()
    }


async def test_the_truth_comes_as_a_document_and_as_lines() -> None:
    async with zoom() as client, client.session.get(f"{client.running.url}/truth?start=2026-11-02&end=2026-11-04") as response:
        whole = msgspec.json.decode(await response.read(), type=ZoomTruth)
        assert whole == client.running.truth(*SPAN)
        async with client.session.get(f"{client.running.url}/truth?start=2026-11-02&end=2026-11-04&format=ndjson") as lines:
            kinds = [msgspec.json.decode(line)["kind"] for line in (await lines.read()).splitlines()]
    assert (kinds.count("meeting"), kinds.count("session")) == (len(whole.meetings), len(whole.sessions))


async def test_equal_settings_make_equal_worlds_and_other_seeds_others() -> None:
    worlds = []
    for seed in ("sandbox", "sandbox", "other"):
        async with zoom(seed=seed) as client:
            worlds.append(client.running.truth(*SPAN))
    assert worlds[0] == worlds[1]
    assert not worlds[0].meetings.keys() & worlds[2].meetings.keys()


async def test_the_people_are_those_of_the_opencast_with_that_seed() -> None:
    async with zoom() as client:
        found = {stay.huid for stay in client.running.truth(*SPAN).sessions.values() if stay.huid}
    assert found <= {str(viewer.user) for viewer in viewers("sandbox")}
    assert len(found) > 200


async def test_nothing_changes_any_more_when_it_says_so() -> None:
    async with zoom() as client:
        rests = client.running.sandbox.stop_changing()
        assert rests == NOON + ZOOM_REST
        client.running.clock.set(rests)
        before = client.running.truth(NOON - timedelta(days=3), None)
        assert all(meeting.rests for meeting in before.meetings.values())
        client.advance(days=30)
        after = client.running.truth(NOON - timedelta(days=3), None)
    assert (before.meetings, before.sessions) == (after.meetings, after.sessions)
    assert max(meeting.start_time for meeting in before.meetings.values() if meeting.start_time) <= NOON


@pytest.mark.parametrize("kind", ZOOM_FAULTS.records)
async def test_a_record_fault_is_the_same_at_every_reading_and_stands_in_the_truth(kind: str) -> None:
    async with zoom(faults={kind: 0.1}) as client:
        query: Query = {"type": "past", "page_size": 300, **QUIET}
        bodies = {(await client.get("/metrics/meetings", **query)).body for _ in range(2)}
        truth = client.running.truth(*SPAN)
    assert len(bodies) == 1
    assert set(truth.broken.values()) == ({kind} if kind in BROKEN_RECORDS else set())
    assert bool(truth.unreachable) == (kind in BROKEN_RECORDS)
    assert not truth.broken.keys() & (truth.meetings.keys() | truth.sessions.keys())
    body = bodies.pop()
    marks = {
        "nan": b"NaN",
        "surrogate": rb"\ud83d",
        "not-utf8": b"\xdc",
        "deep": b"[" * 150,
        "pretty": b"\r\n",
        "nul": rb"\u0000",
    }
    if kind == "nameless":
        assert not all("uuid" in row for row in msgspec.json.decode(body)["meetings"])
    else:
        assert marks[kind] in body


async def test_a_dead_token_needs_a_new_one_and_a_dead_page_another_start() -> None:
    async with zoom(faults={"dead-token": 1}) as client:
        assert (await client.get("/report/users", **QUIET)).json["code"] == 124
        assert (await client.get("/report/users", **QUIET)).json["code"] == 124
        await client.sign_in()
        assert (await client.get("/metrics/meetings", type="past", **QUIET)).json["code"] == 124
        assert client.running.stats.snapshot().faults == {"dead-token": 2}
    async with zoom(faults={"dead-page": 1}) as client:
        query: Query = {"type": "past", "page_size": 30, **QUIET}
        first = await client.get("/metrics/meetings", **query)
        dead = await client.get("/metrics/meetings", **query, next_page_token=first.json["next_page_token"])
        assert (dead.status, dead.json["code"]) == (400, 300)


@pytest.mark.parametrize("kind", ["429-seconds", "429-date", "429-iso", "429-bare", "500", "html", "half-json"])
async def test_the_faults_of_every_vendor_are_there_too(kind: str) -> None:
    async with zoom(faults={kind: 1}) as client:
        answer = await client.get("/report/users", **QUIET)
        assert answer.status == (429 if kind.startswith("429") else 500 if kind == "500" else 200)
        if answer.status == 429:
            assert answer.json["code"] == 429
            assert ("Retry-After" in answer.headers) == (kind != "429-bare")
        assert (await client.get("/report/users", **QUIET)).status == 200


def test_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        ZoomSandboxSettings(pace=0, page_cap=0, now=NOON.replace(tzinfo=None))
    assert len(told.value.args[0].splitlines()) >= 1
    with pytest.raises(ConfigError, match="no fault 'empty'"):
        rates_of({"empty": 0.1}, ZOOM_FAULTS)


async def test_sixty_days_of_five_thousand_meetings_are_answered_page_by_page() -> None:
    """Lazily: a page of one day makes that day alone."""
    async with zoom() as client:
        await client.get("/metrics/meetings", type="past", page_size=300, **{"from": "2026-10-01", "to": "2026-10-01"})
        account = client.running.sandbox.account
        assert [moment_of(day * 86_400_000).date().isoformat() for day in account.made_days] == ["2026-10-01"]


async def test_both_sandboxes_are_served_by_one_function() -> None:
    async with serve(ZoomSandboxSettings(now=NOON)) as running:
        assert running.url.startswith("http://127.0.0.1:")
        assert running.clock.now() >= NOON
