"""The sandbox speaks as opencast.md §3 says: each trap once."""

import re
from collections import Counter

from harvester.sandbox.jettison import retyped
from harvester.sandbox.opencast import ACTIONS, EPISODES, SERIES
from tests.unit.sandboxes import ELEVEN, OLD_HOUR, TEN, sandbox

BUSY = {"actions_per_day": 20_000}


async def test_no_row_leaves_the_action_key_out() -> None:
    async with sandbox() as client:
        answer = await client.get(ACTIONS, start="19700102000000", end="19700103000000")
        assert answer.json == {"actions": {"total": "0", "offset": "0", "limit": "10"}}
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_one_row_is_an_object_and_more_are_a_list() -> None:
    async with sandbox() as client:
        one = (await client.get(ACTIONS, limit=1, **OLD_HOUR)).json["actions"]
        two = (await client.get(ACTIONS, limit=2, **OLD_HOUR)).json["actions"]
    assert isinstance(one["action"], dict)
    assert two["action"][0]["id"] == one["action"]["id"]
    assert len(two["action"]) == 2
    assert one["total"] == two["total"]
    assert one["total"].isdigit()


async def test_limit_0_means_10_and_a_negative_one_is_400() -> None:
    async with sandbox() as client:
        assert len(await client.actions(limit=0, **OLD_HOUR)) == 10
        assert len(await client.actions(**OLD_HOUR)) == 10
        assert (await client.get(ACTIONS, limit=-1)).status == 400
        assert (await client.get(ACTIONS, offset=-1)).status == 400
        assert (await client.get(ACTIONS, limit="many")).status == 400
        assert (await client.get(ACTIONS, start="2026-11-02")).status == 400


async def test_a_server_may_cap_the_limit() -> None:
    async with sandbox(limit_cap=7) as client:
        assert len(await client.actions(limit=100, **OLD_HOUR)) == 7
        ids = [row["id"] for row in await client.paged(100, **OLD_HOUR)]
        whole = await client.get(ACTIONS, **OLD_HOUR)
    assert len(ids) == len(set(ids)) == int(whole.json["actions"]["total"])


async def test_scalars_are_retyped_by_their_look() -> None:
    assert [retyped(text) for text in ("81234567", "0071", "3.5", "true", "7e5", "9" * 19, "-4", "2.50", "")] == [
        81234567, "0071", 3.5, True, "7e5", "9" * 19, -4, "2.50", "",
    ]  # fmt: skip
    async with sandbox(**BUSY) as client:
        rows = await client.paged(5000, **OLD_HOUR)
    users = Counter(type(row["sessionId"].get("userId")) for row in rows)
    assert {int, str, type(None)} == set(users)
    assert {type(row["sessionId"]["sessionId"]) for row in rows} == {int, str}
    assert {type(row["mediapackageId"]) for row in rows} == {int, str}
    assert any(str(row["sessionId"].get("userId", "")).startswith("00") for row in rows)


async def test_created_has_the_servers_offset_and_a_fraction_only_when_there_is_one() -> None:
    async with sandbox(**BUSY, timezone="America/New_York") as client:
        rows = await client.paged(5000, start="20261102050000", end="20261102055959")
        summer = await client.paged(5000, start="20260702050000", end="20260702055959")
    texts = [row["created"] for row in rows]
    assert all(re.fullmatch(r"2026-11-02T05:\d\d:\d\d(\.\d{3})?-05:00", text) for text in texts)
    assert {"." in text for text in texts} == {True, False}
    assert not any(".000" in text for text in texts)
    assert all(row["created"].endswith("-04:00") for row in summer)
    async with sandbox() as client:
        assert all(row["created"].endswith("Z") for row in await client.actions(**OLD_HOUR))


async def test_sessions_are_nested_or_flat() -> None:
    async with sandbox() as client:
        nested = await client.actions(**OLD_HOUR)
    async with sandbox(session="flat") as client:
        flat = await client.actions(**OLD_HOUR)
    assert [{**row, **row.pop("sessionId")} for row in nested] == flat


async def test_hidden_people_are_omitted() -> None:
    async with sandbox(masked=True) as client:
        rows = await client.paged(1000, **OLD_HOUR)
        true = client.running.truth(TEN, ELEVEN)
    assert {(row["sessionId"]["userId"], row["sessionId"]["userIp"], row["sessionId"]["sessionId"]) for row in rows} == {
        ("-omitted-",) * 3
    }
    assert len({row["sessionId"]["userAgent"] for row in rows}) == 1
    assert {true.actions[row["id"]].user for row in rows} == {None}


async def test_addresses_are_forwarded_lists_agents_are_cut_and_both_may_be_strange() -> None:
    async with sandbox(**BUSY) as client:
        people = [row["sessionId"] for row in await client.paged(5000, **OLD_HOUR)]
    assert {person["userIp"].count(",") for person in people} == {0, 1, 2}
    assert any(person["userIp"] == "unknown" for person in people)
    assert max(len(person.get("userAgent", "")) for person in people) == 255
    assert any("userAgent" not in person for person in people)


async def test_is_playing_is_an_int_where_patched_and_a_boolean_in_stock() -> None:
    async with sandbox(**BUSY) as client:
        patched = {row["id"]: row["isPlaying"] for row in await client.paged(5000, **OLD_HOUR)}
    async with sandbox(**BUSY, playing="bool") as client:
        stock = {row["id"]: row["isPlaying"] for row in await client.paged(5000, **OLD_HOUR)}
    assert {type(value) for value in patched.values()} == {int}
    assert set(patched.values()) == {0, 1, 2}
    assert {patched[key] for key, value in stock.items() if value is False} == {0, 2}  # stock takes live for not playing


async def test_types_are_an_open_set_and_a_seek_may_go_back() -> None:
    async with sandbox(**BUSY) as client:
        rows = await client.paged(5000, **OLD_HOUR)
    types = {row["type"] for row in rows}
    assert types >= {"HEARTBEAT", "PLAY", "PAUSE", "SEEK", "FOOTPRINT", "VIEWS", "RESIZE-TO-1280x720"}
    assert any(kind.startswith("SEARCH-") for kind in types)
    assert any(kind.startswith("paella:") and len(kind) == 128 for kind in types)
    assert any(row["length"] < 0 for row in rows if row["type"] == "SEEK")
    assert all(row["outpoint"] - row["inpoint"] == row["length"] for row in rows)
    assert all(row["length"] == 0 for row in rows if row["type"] == "HEARTBEAT")


async def test_id_counts_only_with_type() -> None:
    async with sandbox() as client:
        row = next(row for row in await client.paged(1000, **OLD_HOUR) if isinstance(row["mediapackageId"], str))
        mpid, every = row["mediapackageId"], (await client.get(ACTIONS, **OLD_HOUR)).json["actions"]["total"]
        both = await client.paged(1000, id=mpid, type="HEARTBEAT", **OLD_HOUR)
        alone = (await client.get(ACTIONS, id=mpid, **OLD_HOUR)).json["actions"]["total"]
        beats = await client.paged(1000, type="HEARTBEAT", **OLD_HOUR)
    assert alone == every
    assert {(row["mediapackageId"], row["type"]) for row in both} <= {(mpid, "HEARTBEAT")}
    assert len(both) < len(beats) < int(every)
    assert {row["type"] for row in beats} == {"HEARTBEAT"}


async def test_a_disabled_plugin_is_404() -> None:
    async with sandbox(usertracking=False) as client:
        assert (await client.get(ACTIONS)).status == 404
        assert (await client.get(EPISODES)).status == 200


async def test_old_search_gives_nothing_an_object_or_a_list() -> None:
    async with sandbox() as client:
        none = (await client.episode("gone"))["search-results"]
        one = (await client.episode("ed5514d1-8b95-418d-a814-4807428e4c18"))["search-results"]
        many = (await client.get(EPISODES, limit=3)).json["search-results"]
    assert "result" not in none
    assert none["total"] == "0"
    assert one["result"]["mediapackage"]["series"] == 20150333383
    assert one["result"]["mediapackage"]["attachments"] == ""
    assert [type(hit) for hit in many["result"]] == [dict] * 3
    assert int(many["total"]) > 100


async def test_new_search_has_no_wrapper_and_always_a_list() -> None:
    async with sandbox(search="16") as client:
        none = await client.episode("gone")
        live = (await client.episode("ed5514d1-8b95-418d-a814-4807428e4c18"))["result"][0]
        river = (await client.episode("ID-strong-river-flowing-down-the-green-forest"))["result"][0]
    assert none == {"offset": 0, "limit": 20, "total": 0, "result": []}
    assert live["dc"]["isPartOf"] == ["20150333383"]
    assert live["mediapackage"]["id"] == "ed5514d1-8b95-418d-a814-4807428e4c18"
    assert "dcTitle" not in live
    assert river["dc"]["title"] == ["Strong river flowing down the forest"]


async def test_every_lecture_is_found_with_its_title_and_deleted_ones_are_not() -> None:
    for shape in ("pre16", "16"):
        async with sandbox(search=shape) as client:
            for lecture in client.running.sandbox.catalogue:
                answer = await client.episode(lecture.mpid)
                hit = answer["search-results"].get("result") if shape == "pre16" else (answer["result"] or [None])[0]
                if not lecture.exists:
                    assert hit is None
                    continue
                package = hit["mediapackage"]
                assert str(package["id"]) == lecture.mpid
                assert str(package["title"]).lower() == lecture.title.lower()
                assert str(package.get("series", "")) == lecture.series
            assert not all(lecture.exists for lecture in client.running.sandbox.catalogue)


async def test_titles_that_look_like_numbers_arrive_as_numbers() -> None:
    async with sandbox() as client:
        answer = await client.get(EPISODES, limit=200)
    packages = [hit["mediapackage"] for hit in answer.json["search-results"]["result"]]
    assert {3.5, True, 2001} <= {package["title"] for package in packages if not isinstance(package["title"], str)}
    assert {type(package.get("series")) for package in packages} == {int, str, type(None)}


async def test_a_series_hit_has_no_media_package() -> None:
    async with sandbox() as client:
        recorded = (await client.get(SERIES, id="20160119999")).json["search-results"]["result"]
        every = (await client.get(SERIES, limit=100)).json["search-results"]["result"]
    assert recorded["dcTitle"] == "Test Fall 2016"
    assert not any("mediapackage" in hit for hit in every)
