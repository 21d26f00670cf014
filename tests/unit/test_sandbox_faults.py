"""The sandbox's faults: each does what its name says, as often as asked, and the same in every run."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from harvester.errors import ConfigError, InvalidEventError
from harvester.raw import checked
from harvester.sandbox.faults import BROKEN_RECORDS, ODD_RECORDS, REQUESTS, Faults, rates_of
from harvester.sandbox.opencast import ACTIONS, EPISODES
from tests.unit.sandboxes import ELEVEN, NOON, OLD_HOUR, TEN, Client, sandbox

TARGETS = [f"/page?offset={number}" for number in range(2000)]


async def met(client: Client, path: str = ACTIONS, **query: str | int) -> str:
    """What became of one request."""
    try:
        return str((await client.get(path, **query)).status)
    except aiohttp.ClientPayloadError:
        return "cut"


def test_the_same_requests_meet_the_same_faults_whatever_comes_between() -> None:
    one, other = Faults("seed", {"all": 0.2}), Faults("seed", {"all": 0.2})
    drawn = {target: one.of_request(target) for target in TARGETS}
    assert {target: other.of_request(target) for target in reversed(TARGETS)} == drawn
    assert {target: Faults("seed2", {"all": 0.2}).of_request(target) for target in TARGETS} != drawn


def test_faults_come_as_often_as_their_rates_say() -> None:
    kinds = Counter(Faults("seed", {"500": 0.1, "reset": 0.3}).of_request(target) for target in TARGETS)
    assert set(kinds) == {None, "500", "reset"}
    assert kinds["500"] == pytest.approx(200, rel=0.3)
    assert kinds["reset"] == pytest.approx(600, rel=0.2)
    assert {Faults("seed", {"all": 1}).of_request(target) for target in TARGETS} == set(REQUESTS)


@pytest.mark.parametrize("burst", [1, 3])
def test_a_repeated_request_gets_through_after_the_burst(burst: int) -> None:
    faults = Faults("seed", {"503": 1}, burst=burst)
    drawn = [faults.of_request("/same") for _ in range(2 * (burst + 1))]
    assert drawn == [*["503"] * burst, None] * 2


def test_wrong_faults_are_told_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        rates_of({"flood": 0.1, "500": 1.5, "503": 0.2})
    assert len(caught.value.faults) == 3
    assert "429-seconds" in str(caught.value)


async def test_each_status_fault_is_answered_in_the_endpoints_place() -> None:
    for kind, status in (("500", "500"), ("503", "503"), ("429-bare", "429")):
        async with sandbox(faults={kind: 1}) as client:
            assert [await met(client) for _ in range(3)] == [status, "200", status]
            assert client.running.stats.snapshot().faults == {kind: 2}


async def test_f40_retry_after_comes_as_seconds_as_date_as_iso_and_not_at_all() -> None:
    found = {}
    for kind in ("429-seconds", "429-date", "429-iso", "429-bare"):
        async with sandbox(faults={kind: 1}, retry_after=30, now=NOON + timedelta(milliseconds=1)) as client:
            found[kind] = (await client.get(ACTIONS)).headers.get("Retry-After")
    assert found["429-seconds"] == "30"
    assert parsedate_to_datetime(str(found["429-date"])) == NOON + timedelta(seconds=31)  # whole seconds, never too early
    assert datetime.fromisoformat(str(found["429-iso"])) == NOON + timedelta(seconds=31)
    assert found["429-bare"] is None


async def test_f40_a_request_repeated_too_early_is_noticed() -> None:
    async with sandbox(faults={"429-seconds": 1}, retry_after=60) as client:
        await met(client)
        await met(client, offset=5)
        assert client.running.stats.snapshot().early == 0
        await met(client)
        assert client.running.stats.snapshot().early == 1


async def test_a_reset_connection_gives_no_answer() -> None:
    async with sandbox(faults={"reset": 1}) as client:
        # by hand: aiohttp's client would try again by itself
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.running.url.rsplit(":", 1)[1]))
        writer.write(f"GET {ACTIONS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert await met(client) == "200"
        assert client.running.stats.snapshot().requests == {ACTIONS: {"reset": 1, "200": 1}}


async def test_a_truncated_answer_ends_before_its_length() -> None:
    async with sandbox(faults={"truncated": 1}) as client:
        assert await met(client, **OLD_HOUR) == "cut"
        assert await met(client, **OLD_HOUR) == "200"


async def test_half_json_is_a_whole_answer_with_half_a_text() -> None:
    async with sandbox(faults={"half-json": 1}) as client:
        half = await client.get(ACTIONS, **OLD_HOUR)
        whole = await client.get(ACTIONS, **OLD_HOUR)
    assert half.status == 200
    assert half.headers["Transfer-Encoding"] == "chunked"
    assert half.body == whole.body[: len(whole.body) // 2]


async def test_html_comes_with_status_200() -> None:
    async with sandbox(faults={"html": 1}) as client:
        answer = await client.get(EPISODES)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


async def test_a_slow_answer_is_whole() -> None:
    async with sandbox(faults={"slow": 1}) as client:
        assert await met(client) == "200"
        assert client.running.stats.snapshot().faults == {"slow": 1}


async def test_faults_change_while_it_serves_and_never_touch_our_own_endpoints() -> None:
    async with sandbox(faults={"500": 1}) as client:
        assert (await client.get("/sandbox/faults")).json == {"500": 1}
        assert (await client.post("/sandbox/faults", {"503": 1})).json == {"503": 1}
        assert await met(client) == "503"
        refused = await client.post("/sandbox/faults", {"flood": 1})
        assert refused.status == 400
        assert b"flood" in refused.body
        assert await met(client, EPISODES) == "503"
        await client.post("/sandbox/faults", {})
        assert [await met(client, offset=number) for number in range(20)] == ["200"] * 20
        assert (await client.get("/truth", start="2026-11-03T11:00Z")).status == 200


async def test_f44_each_broken_record_is_refused_and_each_odd_one_is_not() -> None:
    for kind in BROKEN_RECORDS + ODD_RECORDS:
        async with sandbox(faults={kind: 1}, growing=False) as client:
            body = (await client.get(ACTIONS, limit=1, **OLD_HOUR)).body
            record = body[body.index(b'"action":') + 9 : -2]
            truth = client.running.truth(TEN, ELEVEN)
        assert bool(truth.broken) is not bool(truth.actions)
        assert set(truth.broken.values()) == ({kind} if kind in BROKEN_RECORDS else set())
        if kind in {"huge-id", "no-created"}:
            row = _decoded(checked(record))
            assert row["id"] > 2**64 if kind == "huge-id" else "created" not in row
        elif kind in BROKEN_RECORDS:
            with pytest.raises(InvalidEventError):
                checked(record)
        else:
            assert (b"\r\n" in record) is (kind == "pretty")
            assert _decoded(checked(record))["id"] in truth.actions


async def test_a_broken_record_is_broken_at_every_reading_and_a_growing_one_never() -> None:
    async with sandbox(faults={"nan": 0.5}) as client:
        bodies = [(await client.get(ACTIONS, limit=1000, **OLD_HOUR)).body for _ in range(2)]
        truth = client.running.truth(TEN, ELEVEN)
        assert bodies[0] == bodies[1]
        assert bodies[0].count(b"NaN") == len(truth.broken) > 20
        assert "FOOTPRINT" in {action.type for action in truth.actions.values()}
        await client.post("/sandbox/faults", {})
        assert b"NaN" not in (await client.get(ACTIONS, limit=1000, **OLD_HOUR)).body
        assert not client.running.truth(TEN, ELEVEN).broken


def _decoded(record: bytes) -> Any:
    import json

    return json.loads(record)
