"""The stream of recordings: what the harvest interface tells, what the search service says, and what becomes of it."""

from datetime import timedelta

import pytest

from harvester.coverage import Intervals
from harvester.errors import PermanentError, TransientError
from tests.opencast_recordings import DAY, NOW, Server, ago, hit, ms, serving
from tests.opencast_table import read


async def test_what_changed_is_told_by_the_feed_and_what_it_is_by_search() -> None:
    server = Server()
    server.add("old", ago(3000))
    server.add("new", ago(30))
    server.items += [{"id": "s", "kind": kind, "updated": ms(ago(20))} for kind in ("series", "playlist", "series-deleted")]
    server.add("gone", ago(60))
    server.take_back("gone", ago(10))
    async with serving(server) as stream:
        got = await read(stream, DAY)
    assert {e.subject: e.version for e in got.events} == {"new": ms(ago(30)), "gone": ms(ago(10))}
    assert got.broken == []
    assert server.calls["/search/episode.json"] == 1, "what is not of the window, and no recording, is not looked up"


async def test_a_recording_that_search_does_not_know_any_more_is_left_to_its_deletion() -> None:
    server = Server()
    server.add("here", ago(30))
    server.add("vanished", ago(20))
    del server.hits["vanished"]
    async with serving(server) as stream:
        got = await read(stream, DAY)
    assert ([e.subject for e in got.events], got.broken) == (["here"], [])


async def test_more_things_of_one_time_than_a_page_has_are_all_found() -> None:
    server = Server()
    for number in range(50):
        server.add(f"same-{number}", ago(100))
    for number in range(10):
        server.add(f"later-{number}", ago(50 - number))
    async with serving(server, batch_size=5) as stream:
        got = await read(stream, DAY)
    assert len(got.newest) == 60
    assert Intervals(page.covered for page in got.pages if page.covered) == Intervals([DAY])


async def test_a_burst_within_the_last_minutes_does_not_end_the_reading() -> None:
    server = Server()
    for number in range(30):
        server.add(f"m{number}", ago(2.9 - number * 0.09))
    async with serving(server, batch_size=4) as stream:
        assert len((await read(stream, DAY)).newest) == 30


async def test_a_feed_that_does_not_move_is_given_up() -> None:
    server = Server(raw={"/tobira/harvest": b'{"includesItemsUntil":1,"hasMore":true,"items":[]}'})
    async with serving(server) as stream:
        with pytest.raises(TransientError, match="does not come further"):
            await read(stream, DAY)


@pytest.mark.parametrize("items", [b"[]", b'[{"kind":NaN}]'], ids=["whole", "split"])
async def test_a_feed_that_goes_on_from_where_no_time_is_is_no_page(items: bytes) -> None:
    page = b'{"includesItemsUntil":253402300800000,"hasMore":true,"items":%b}' % items
    server = Server()
    server.add("m", ago(30))
    async with serving(server) as stream:
        server.raw["/tobira/harvest"] = page
        with pytest.raises(TransientError, match="no page of /tobira/harvest: includesItemsUntil=253402300800000"):
            await read(stream, DAY)


async def test_a_search_that_refuses_an_id_costs_that_recording_alone() -> None:
    server = Server()
    server.add("here", ago(30))
    async with serving(server) as stream:
        server.search = 400
        got = await read(stream, DAY)
    assert [bad.reason for bad in got.broken] == ["refused"]


async def test_one_recording_that_is_no_json_costs_that_recording_alone() -> None:
    server = Server(raw={"/search/episode.json": b'{"total":1,"result":[{"mediapackage":{"id":"m"},"score":NaN}]}'})
    server.add("m", ago(30))
    async with serving(server) as stream:
        got = await read(stream, DAY)
    assert [(bad.reason, b"NaN" in bad.body) for bad in got.broken] == [("not_json", True)]


@pytest.mark.parametrize(("status", "why"), [(403, "is for administrators"), (404, "is not there")])
async def test_without_the_feed_the_search_service_tells_changes_and_that_is_told_once(status: int, why: str) -> None:
    told: list[tuple[str, str]] = []
    server = Server(feed=status)
    server.hits = {f"m{n}": hit(f"m{n}", ago(n)) for n in range(1, 3000, 60)}
    async with serving(server, told=told, batch_size=5) as stream:
        for _ in range(2):
            got = await read(stream, DAY)
            assert got.newest == {f"m{n}": ms(ago(n)) for n in range(1, 24 * 60, 60)}
        assert server.calls["/search/episode.json"] < 1 + 2 * 8, "older ones are not listed"
    [(way, reason)] = told
    assert way == "search"
    assert why in reason
    assert "no deletions" in reason


async def test_a_feed_that_is_forbidden_in_mid_run_is_left_without_a_loss() -> None:
    told: list[tuple[str, str]] = []
    server = Server()
    for number in range(20):
        server.add(f"m{number}", ago(100 - number))
    async with serving(server, told=told, batch_size=5) as stream:
        pages = aiter(stream.fetch(DAY, b""))
        first = await anext(pages)
        server.feed = 403
        rest = [page async for page in pages]
    assert {e.subject for page in [first, *rest] for e in page.events} == set(server.hits)
    assert [way for way, _ in told] == ["feed", "search"]


async def test_a_server_that_refuses_search_too_says_both() -> None:
    with pytest.raises(PermanentError, match=r"403.*harvest interface is not there for this account either"):
        async with serving(Server(feed=403, search=403)):
            pass


async def test_a_list_that_shifts_while_it_is_paged_loses_nothing() -> None:
    server = Server(feed=404)
    server.hits = {f"m{n}": hit(f"m{n}", ago(n)) for n in range(1, 41)}
    async with serving(server, batch_size=8) as stream:
        pages = aiter(stream.fetch(DAY, b""))
        found = {e.subject for e in (await anext(pages)).events}
        for gone in ("m1", "m3", "m8"):  # rows before the next page: what follows moves up
            del server.hits[gone]
        server.hits["m20"] = hit("m20", NOW)
        async for page in pages:
            found |= {e.subject for e in page.events}
    assert found >= server.hits.keys() - {"m20"}


async def test_the_workflow_is_asked_for_and_comes_as_a_newer_state_when_it_ends_later() -> None:
    server = Server()
    server.add("m", ago(100))
    async with serving(server, workflows=True, workflow="publish") as stream:
        [before] = (await read(stream, DAY)).events
        operations = {"operation": [{"id": "capture", "started": 1, "completed": ms(ago(50))}]}
        server.workflows["m"] = [{"id": 7, "state": "SUCCEEDED", "template": "publish", "operations": operations}]
        [after] = (await read(stream, DAY)).events
    assert before.id != after.id
    assert (before.version, after.version) == (ms(ago(100)), ms(ago(50)))
    assert before.time == after.time


async def test_q62_the_newest_finished_workflow_of_the_definition_counts() -> None:
    server = Server()
    server.add("m", ago(100))
    made = ((9, "SUCCEEDED", "publish"), (11, "SUCCEEDED", "publish"), (12, "FAILED", "publish"), (13, "SUCCEEDED", "retract"))
    server.workflows["m"] = [{"id": number, "state": state, "template": template} for number, state, template in made]
    async with serving(server, workflows=True, workflow="publish") as stream:
        [event] = (await read(stream, DAY)).events
    assert b'"workflow":{"id":11,' in bytes(event.data)


async def test_what_cannot_be_read_of_one_recording_costs_that_one_alone_once_another_could_be_read() -> None:
    server = Server()
    for number in range(4):
        server.add(f"m{number}", ago(100 - number))
    bad = {"/search/episode.json?id=m2": b"<html>", "/workflow/mediaPackage/m3/instances.json": b"<html>"}
    async with serving(server, workflows=True) as stream:
        server.raw = dict(bad)
        got = await read(stream, DAY)
        assert sorted(e.subject for e in got.events) == ["m0", "m1", "m3"]
        assert [(b.reason, b"m2" in b.body) for b in got.broken] == [("not_json", True)]
    for path in bad:
        async with serving(server, workflows=True) as stream:
            server.raw = {path.partition("?")[0].replace("m3", name): b"<html>" for name in server.hits}
            with pytest.raises(TransientError):
                await read(stream, DAY)


async def test_before_release_16_the_whole_list_is_read_and_no_more_often_than_every_quarter_of_an_hour() -> None:
    server = Server(feed=404, raw={"/search/episode.json": b'{"search-results":{"total":"0","offset":"0"}}'})
    async with serving(server) as stream:
        assert (await read(stream, DAY)).events == []
        assert stream.timing.pause == timedelta(minutes=15)
    async with serving(Server(feed=404)) as stream:
        assert stream.timing.pause == timedelta()
