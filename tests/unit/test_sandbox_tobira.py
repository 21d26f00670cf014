"""The sandbox's harvest interface and its lectures that change: as the vendor's source has them."""

from datetime import timedelta
from typing import Any

from harvester.sandbox.opencast import EPISODES
from harvester.sandbox.tobira import HARVEST
from tests.unit.sandboxes import NOON, Client, sandbox

CHANGES = {"episode_changes": 900, "history": timedelta(days=3)}
NOW_MS = int(NOON.timestamp() * 1000)


async def page(client: Client, since: int, amount: int = 1000) -> Any:
    return (await client.get(HARVEST, since=since, preferredAmount=amount)).json


async def test_paging_by_since_finds_everything_and_says_how_far_it_is_complete() -> None:
    async with sandbox(**CHANGES) as client:
        whole = await page(client, 0)
        found: dict[tuple[str, str], int] = {}
        since = 0
        for _ in range(200):
            part = await page(client, since, 25)
            assert all(since <= item["updated"] for item in part["items"]), "since is inclusive"
            found |= {(item["kind"], item["id"]): item["updated"] for item in part["items"]}
            if not part["hasMore"]:
                break
            assert part["includesItemsUntil"] > since
            since = part["includesItemsUntil"]
    assert found == {(item["kind"], item["id"]): item["updated"] for item in whole["items"]}
    assert whole["hasMore"] is False
    assert whole["includesItemsUntil"] == NOW_MS - 180_000, "three minutes are kept for writes that are slow"
    assert [item["updated"] for item in whole["items"]] == sorted(item["updated"] for item in whole["items"])


async def test_it_tells_of_every_kind_of_thing_and_of_deletions() -> None:
    async with sandbox(**CHANGES) as client:
        items = (await page(client, 0))["items"]
        kinds = {item["kind"] for item in items}
        assert kinds == {"event", "event-deleted", "series", "series-deleted", "playlist", "playlist-deleted"}
        gone = next(item for item in items if item["kind"] == "event-deleted")
        assert gone.keys() == {"id", "kind", "updated"}
        assert (await client.episode(gone["id"]))["search-results"]["total"] == "0"
        true = client.running.sandbox.episodes()
        assert {item["id"]: item["updated"] for item in items if item["kind"].startswith("event")} == {
            mpid: int(e.modified.timestamp() * 1000) for mpid, e in true.items()
        }
        told = (await client.get("/truth/episodes")).json["episodes"]
        assert told.keys() == true.keys()


async def test_it_is_for_administrators_and_wants_its_parameters() -> None:
    async with sandbox() as client:
        assert (await client.get(HARVEST)).status == 400
        assert (await client.get(HARVEST, since=-1, preferredAmount=1)).status == 400
        assert (await client.get(HARVEST, since=0, preferredAmount=0)).status == 400
        for word, status in (("forbidden", 403), ("none", 404), ("admin", 200)):
            assert (await client.post("/sandbox/switches", {"tobira": word})).status == 200
            assert (await client.get(HARVEST, since=0, preferredAmount=1)).status == status


async def test_search_from_16_on_sorts_by_the_time_of_change_and_refuses_what_it_cannot() -> None:
    async with sandbox(search="16", **CHANGES) as client:
        found = (await client.get(EPISODES, sort="modified desc", limit=250)).json
        times = [hit["modified"] for hit in found["result"]]
        assert times == sorted(times, reverse=True)
        assert len(times) == found["total"] > 100
        true = client.running.sandbox.episodes()
        newest = found["result"][0]["mediapackage"]
        assert str(newest["title"]).lower() == true[str(newest["id"])].title.lower()
        assert (await client.get(EPISODES, sort="duration desc")).status == 400


async def test_lectures_change_the_same_way_in_every_run_and_late_changes_are_shown_late() -> None:
    async with sandbox(**CHANGES) as client:
        before = client.running.sandbox.episodes()
        client.running.clock.advance(timedelta(hours=6))
        after = client.running.sandbox.episodes()
        client.running.sandbox.stop_changing(NOON)
        rested = client.running.sandbox.episodes()
    async with sandbox(**CHANGES) as client:
        assert client.running.sandbox.episodes() == before
        client.running.clock.advance(timedelta(hours=6))
        assert client.running.sandbox.episodes() == after
    assert after != before
    assert rested != before, "some changes of before noon came into the index after it"
    assert all(e.modified <= NOON for e in rested.values())


async def test_without_changes_everything_is_as_it_was() -> None:
    async with sandbox() as client:
        before = client.running.sandbox.episodes()
        client.running.clock.advance(timedelta(days=3))
        assert client.running.sandbox.episodes() == before
