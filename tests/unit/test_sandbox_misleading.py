"""How the sandbox misleads: pages that are not what they say, refusals, a wrong Date, another server since an upgrade."""

from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from harvester.sandbox.faults import MISLEADING, REQUESTS, rates_of
from harvester.sandbox.opencast import ACTIONS, EPISODES
from tests.unit.sandboxes import NOON, OLD_HOUR, sandbox


def test_what_ends_a_harvest_or_lies_about_the_time_is_no_part_of_all() -> None:
    assert not rates_of({"all": 1}).keys() & set(MISLEADING)
    assert rates_of({"all": 0.5, "401": 0.1, "date-ahead": 0.2}).keys() == {*REQUESTS, "401", "date-ahead"}


async def test_an_empty_page_tells_the_total_and_shows_no_row() -> None:
    async with sandbox(faults={"empty": 1}) as client:
        empty = (await client.get(ACTIONS, limit=1000, **OLD_HOUR)).json["actions"]
        whole = (await client.get(ACTIONS, limit=1000, **OLD_HOUR)).json["actions"]
    assert "action" not in empty
    assert empty["total"] == whole["total"] == str(len(whole["action"]))


async def test_a_shifted_page_begins_one_row_further_on() -> None:
    async with sandbox(faults={"shifted": 1}) as client:
        shifted = await client.actions(limit=10, offset=5, **OLD_HOUR)
        right = await client.actions(limit=10, offset=5, **OLD_HOUR)
    assert shifted[:-1] == right[1:]


async def test_faults_of_rows_leave_other_endpoints_alone_and_uncounted() -> None:
    async with sandbox(faults={"empty": 0.5, "shifted": 0.5}) as client:
        assert (await client.episode(client.running.sandbox.catalogue[0].mpid))["search-results"]["result"]
        assert client.running.stats.snapshot().faults == {}


@pytest.mark.parametrize("kind", ["401", "403", "404"])
async def test_a_refusal_comes_as_often_as_its_rate_says(kind: str) -> None:
    async with sandbox(faults={kind: 1}) as client:
        assert [(await client.get(path)).status for path in (ACTIONS, ACTIONS, EPISODES)] == [int(kind), 200, int(kind)]


@pytest.mark.parametrize(("kind", "hours"), [("date-ahead", 1), ("date-behind", -1)])
async def test_f05_a_date_is_an_hour_off_while_the_servers_clock_stays(kind: str, hours: int) -> None:
    async with sandbox(faults={kind: 1}) as client:
        wrong, right = [await client.get(ACTIONS, **OLD_HOUR) for _ in range(2)]
        assert parsedate_to_datetime(wrong.headers["Date"]) == NOON + timedelta(hours=hours)
        assert parsedate_to_datetime(right.headers["Date"]) == NOON
        assert wrong.body == right.body


async def test_a_server_that_knows_neither_window_nor_day_pages_the_whole_table() -> None:
    async with sandbox(patched=False, day=False, history=timedelta(days=2), actions_per_day=300) as client:
        rows = await client.paged(5000, day="19700102", **OLD_HOUR)
        assert len(rows) == sum(
            len(hour) for hour in client.running.sandbox.oracle.hours(None, None, client.running.sandbox.view())
        )


async def test_another_release_is_switched_to_while_it_serves() -> None:
    async with sandbox(history=timedelta(days=2), actions_per_day=300) as client:
        assert (await client.get("/sandbox/switches")).json == {
            "patched": True,
            "day": True,
            "usertracking": True,
            "limit_cap": 0,
            "tobira": "admin",
        }
        assert await client.actions(limit=1, start="19700102000000", end="19700103000000") == []
        changed = await client.post("/sandbox/switches", {"patched": False, "limit_cap": 7})
        assert changed.json == {"patched": False, "day": True, "usertracking": True, "limit_cap": 7, "tobira": "admin"}
        assert len(await client.actions(limit=100, start="19700102000000", end="19700103000000")) == 7
        assert await client.actions(limit=1, day="19700102") == []
        await client.post("/sandbox/switches", {"usertracking": False})
        assert (await client.get(ACTIONS)).status == 404
        for wrong in ({"speed": 1}, {"limit_cap": -1}):
            assert (await client.post("/sandbox/switches", wrong)).status == 400
