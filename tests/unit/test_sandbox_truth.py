"""The truth is what paging reads once all is at rest."""

from datetime import UTC, datetime, timedelta

import msgspec

from harvester.sandbox.opencast import ACTIONS, EPISODES
from harvester.sandbox.settings import REST
from tests.unit.sandboxes import ELEVEN, HOUR_BEFORE, NOON, OLD_HOUR, TEN, sandbox


async def test_paging_at_rest_reads_what_is_true() -> None:
    async with sandbox(actions_per_day=10_000) as client:
        client.running.sandbox.stop_changing()
        client.running.clock.advance(REST)
        rows = {row["id"]: row for row in await client.paged(333, start="20261102000000", end="20261103120000")}
        truth = client.running.truth(datetime(2026, 11, 2, tzinfo=UTC))
    assert set(rows) == set(truth.actions)
    for number, row in rows.items():
        true = truth.actions[number]
        assert datetime.fromisoformat(row["created"]) == true.created
        assert (row["inpoint"], row["outpoint"], row["length"]) == (true.inpoint, true.version, true.length)
        assert (row["type"], str(row["mediapackageId"])) == (true.type, true.mpid)
        assert (row["isPlaying"] > 0, row["isPlaying"] == 2) == (true.is_playing, true.is_live)
        session = row["sessionId"]
        assert (str(session["sessionId"]), session.get("userAgent")) == (true.session, true.useragent)
        assert (None if "userId" not in session else str(session["userId"])) == true.user
        assert [part.strip() for part in session["userIp"].split(",")] == true.ips
        assert true.rests


async def test_the_truth_is_the_newest_state_ever_served() -> None:
    async with sandbox(actions_per_day=10_000) as client:
        client.running.clock.advance(timedelta(hours=1))
        served = {row["id"]: row["outpoint"] for row in await client.paged(1000, **HOUR_BEFORE)}
        client.running.clock.set(NOON)
        assert {row["id"] for row in await client.paged(1000, **HOUR_BEFORE)} < set(served)
        truth = client.running.truth(NOON - timedelta(hours=1), NOON)
    assert {number: action.outpoint for number, action in truth.actions.items()} == served


async def test_the_truth_of_a_span_is_closed_and_open() -> None:
    async with sandbox(actions_per_day=100_000) as client:
        truth = client.running.truth
        moments = sorted({action.created for action in truth(TEN, ELEVEN).actions.values()})
        middle = moments[len(moments) // 2]
        first, second = truth(TEN, middle), truth(middle, ELEVEN)
        assert first.count + second.count == truth(TEN, ELEVEN).count
        assert max(action.created for action in first.actions.values()) < middle
        assert min(action.created for action in second.actions.values()) == middle
        assert truth(middle + timedelta(microseconds=1), ELEVEN).count < second.count


async def test_the_endpoint_tells_the_same_in_one_document_and_in_lines() -> None:
    span = {"start": "2026-11-02T10:00:00Z", "end": "2026-11-02T12:00:00+01:00"}
    async with sandbox(faults={"records": 0.3}) as client:
        truth = client.running.truth(TEN, ELEVEN)
        answer = (await client.get("/truth", **span)).json
        lines = (await client.get("/truth", format="ndjson", **span)).body.splitlines()
        assert (await client.get("/truth", start="yesterday")).status == 400
    assert answer["now"] == "2026-11-03T12:00:00Z"
    assert answer["count"] == len(answer["actions"]) == truth.count
    assert answer["broken"] == list(truth.broken)
    assert answer["reasons"] == {str(number): reason for number, reason in truth.broken.items()}
    assert answer["actions"] == msgspec.to_builtins({str(key): value for key, value in truth.actions.items()})
    found = [msgspec.json.decode(line) for line in lines]
    assert [row["id"] for row in found if row["broken"]] == answer["broken"]
    assert {str(row["id"]): row for row in found if not row["broken"]} == answer["actions"]


async def test_an_empty_truth_is_a_document_too() -> None:
    async with sandbox() as client:
        answer = (await client.get("/truth", start="2036-01-01T00:00Z")).json
    assert answer == {"now": "2026-11-03T12:00:00Z", "actions": {}, "broken": [], "reasons": {}, "count": 0}


async def test_the_truth_knows_which_recordings_search_knows() -> None:
    async with sandbox(actions_per_day=10_000) as client:
        truth = client.running.truth(TEN, ELEVEN)
        for action in {action.mpid: action for action in truth.actions.values()}.values():
            hit = (await client.episode(action.mpid))["search-results"].get("result")
            assert action.episode is (hit is not None)
            if hit:
                assert str(hit["mediapackage"]["title"]).lower() == str(action.title).lower()
                assert int(hit["mediapackage"]["duration"]) == action.duration
    assert {action.episode for action in truth.actions.values()} == {True, False}


async def test_calls_rows_and_lookups_are_counted_until_they_are_reset() -> None:
    async with sandbox() as client:
        rows = await client.paged(50, **OLD_HOUR)
        await client.episode("gone")
        await client.episode("gone")
        told = (await client.get("/sandbox/stats")).json
        assert told["requests"] == {ACTIONS: {"200": len(rows) // 50 + 2}, EPISODES: {"200": 2}}
        assert (told["rows"], told["lookups"], told["faults"], told["early"]) == (len(rows), {"gone": 2}, {}, 0)
        await client.post("/sandbox/stats")
        again = client.running.stats.snapshot()
        assert (again.rows, again.lookups, again.requests_of(ACTIONS)) == (0, {}, 0)


async def test_a_session_is_one_visit_of_one_viewer_on_one_day() -> None:
    async with sandbox(actions_per_day=5_000) as client:
        actions = client.running.truth(NOON - timedelta(days=2), NOON).actions.values()
    times: dict[str | None, list[datetime]] = {}
    for action in actions:
        times.setdefault(action.session, []).append(action.created)
    assert max(max(found) - min(found) for found in times.values()) < timedelta(hours=3)
    assert all(len({moment.date() for moment in found}) == 1 for found in times.values())
    assert len({(action.session, action.user) for action in actions}) == len(times) > 500
    assert max(map(len, times.values())) > 5, "a visit has several actions"
