"""Episodes: what the enricher makes of the search service's answers, and what it does when there are none."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from yarl import URL

from consumers.caches.memory import MemoryCache
from consumers.enrichers.episodes import EXPIRE, IN_FLIGHT, Episodes, Get, derived
from consumers.protocols import Enricher
from harvester.answers import StatusError
from harvester.errors import HarvesterError, PermanentError, TransientError
from harvester.event import Event
from harvester.http import HttpSettings, open_http
from harvester.opencast_answers import SEARCH
from harvester.retry import Retry
from harvester.sources.opencast_episodes import episode_event, gone_event
from tests.unit.searching import Clock, Service, actions, found, titles
from tests.useractions import event_of, useraction_event


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b"null", b'{"error": 1}', b'{"search-results": []}', b"[" * 100_000]
)
def test_an_answer_that_is_no_search_result_is_never_taken_for_nothing_found(body: bytes) -> None:
    with pytest.raises(TransientError):
        derived(body, "m")


async def test_e18_a_hundred_actions_of_one_recording_cost_one_look_up() -> None:
    service = Service()
    episodes = Episodes(service, MemoryCache())
    for _ in range(3):
        assert titles(await episodes.enrich(actions(*["m"] * 100))) == ["Lecture of m"] * 100
    assert service.asked == ["m"]


async def test_a_recording_that_changed_is_known_by_its_event_and_a_deleted_one_too() -> None:
    service, now = Service(), datetime.now(UTC)
    episodes = Episodes(service, MemoryCache())
    await episodes.enrich(actions("m", "n"))

    def changed(mpid: str, title: str, second: int, read_at: datetime = now) -> Event:
        hit = {"mediapackage": {"id": mpid, "title": title}, "modified": f"2026-01-01T00:00:{second:02}Z"}
        return episode_event(mpid, msgspec.Raw(msgspec.json.encode(hit)), None, "opencast", read_at)

    gone = gone_event(msgspec.Raw(b'{"id":"n","kind":"event-deleted","updated":1767225600000}'), "opencast", now)
    events = [changed("m", "newest", 2), *actions("m", "n"), changed("m", "older", 1), gone]
    assert (await episodes.enrich(events))[0].context == {}
    assert titles((await episodes.enrich(events))[1:3]) == ["newest", None]
    await episodes.enrich([changed("m", "read long ago", 3, now - EXPIRE)])
    unreadable = [msgspec.structs.replace(gone, data=msgspec.Raw(data)) for data in (b"{}", b"[]", b'{"search":[]}', b"null")]
    await episodes.enrich(unreadable)
    assert titles(await episodes.enrich(actions("m", "n"))) == ["newest", None]
    assert sorted(service.asked) == ["m", "n"]


async def test_f36_batches_in_flight_share_their_look_ups() -> None:
    service = Service()
    service.gate, service.expected = asyncio.Event(), 2
    episodes = Episodes(service, MemoryCache())
    batches = [asyncio.create_task(episodes.enrich(actions("m", "n"))) for _ in range(100)]
    await service.arrived.wait()
    service.gate.set()
    assert {tuple(titles(batch)) for batch in await asyncio.gather(*batches)} == {("Lecture of m", "Lecture of n")}
    assert sorted(service.asked) == ["m", "n"]


async def test_look_ups_run_many_at_a_time_and_no_more() -> None:
    service = Service()
    service.gate, service.expected = asyncio.Event(), IN_FLIGHT
    batch = asyncio.create_task(Episodes(service, MemoryCache()).enrich(actions(*map(str, range(50)))))
    await service.arrived.wait()
    service.gate.set()
    assert len(titles(await batch)) == 50
    assert service.most_at_once == IN_FLIGHT


async def test_f37_what_is_not_there_is_null_is_remembered_and_found_once_it_is_there() -> None:
    service, clock = Service(), Clock()
    service.unknown = {"m"}
    episodes = Episodes(service, MemoryCache(clock=clock))
    for _ in range(3):
        assert titles(await episodes.enrich(actions("m", "m"))) == [None, None]
    assert service.asked == ["m"]
    service.unknown.clear()
    clock.at += 900 * 1.1
    assert titles(await episodes.enrich(actions("m"))) == ["Lecture of m"]


async def test_e57_entries_expire_after_their_time_but_not_all_at_once() -> None:
    class Remembering(MemoryCache):
        ttls: list[timedelta] = []  # noqa: RUF012

        async def set_many(self, items: Any, ttl: timedelta) -> None:
            self.ttls.append(ttl)

    cache = Remembering()
    await Episodes(Service(), cache, ttl=timedelta(seconds=1000)).enrich(actions(*map(str, range(200))))
    assert all(timedelta(seconds=900) <= ttl <= timedelta(seconds=1100) for ttl in cache.ttls)
    assert max(cache.ttls) - min(cache.ttls) > timedelta(seconds=100)


@pytest.mark.parametrize("error", [TransientError("503"), PermanentError("login"), StatusError("404", status=404)])
async def test_an_outage_leaves_events_pending_and_is_not_remembered(error: HarvesterError) -> None:
    service = Service()
    service.failing = error
    episodes = Episodes(service, MemoryCache())
    events = actions("m", "n")
    assert list(await episodes.enrich(events)) == events
    service.failing = None
    assert titles(await episodes.enrich(events)) == ["Lecture of m", "Lecture of n"]


async def test_look_ups_are_counted_by_what_the_cache_knew() -> None:
    service, told = Service(), Counter[str]()
    service.unknown = {"n"}
    episodes = Episodes(service, MemoryCache(), on_lookups=lambda result, amount: told.update({result: amount}))
    await episodes.enrich(actions("m", "m", "n"))
    assert told == {"miss": 2}
    await episodes.enrich(actions("m", "n"))
    assert told == {"miss": 2, "hit": 1, "negative": 1}
    service.failing = TransientError("503")
    await episodes.enrich(actions("m", "o"))
    assert told == {"miss": 3, "hit": 2, "negative": 1, "error": 1}


async def test_an_id_that_the_service_refuses_is_nothing_to_find_and_no_outage() -> None:
    service = Service()
    service.failing = StatusError("400", status=400)
    episodes = Episodes(service, MemoryCache())
    assert titles(await episodes.enrich(actions(*"abcdefgh"))) == [None] * 8
    assert not episodes.away
    assert titles(await episodes.enrich(actions("i"))) == [None]


async def test_events_it_does_not_concern_or_that_are_enriched_come_back_as_they_are() -> None:
    service = Service()
    episodes = Episodes(service, MemoryCache())
    other = useraction_event(source="opencast/law")
    done = useraction_event(context={"title": "from before"})
    assert not episodes.concerns(other)
    assert list(await episodes.enrich([other, done])) == [other, done]
    assert service.asked == []
    assert list(await episodes.enrich([])) == []


@pytest.mark.parametrize("data", [b"{", b"{}", b'{"mediapackageId": ""}', b'{"mediapackageId": "' + b"m" * 9000 + b'"}'])
async def test_an_action_that_names_no_recording_is_not_looked_up_and_not_pending(data: bytes) -> None:
    service = Service()
    assert titles(await Episodes(service, MemoryCache()).enrich([event_of(data)])) == [None]
    assert service.asked == []


async def test_two_opencasts_on_one_cache_do_not_share_episodes() -> None:
    cache = MemoryCache()
    here, there = Service(), Service()
    there.unknown = {"m"}
    await Episodes(here, cache).enrich(actions("m"))
    other = [useraction_event(mediapackageId="m", source="opencast/law")]
    assert titles(await Episodes(there, cache, source="opencast/law").enrich(other)) == [None]


async def test_events_keep_everything_else_and_their_order() -> None:
    events = actions("b", "a", "b")
    enriched = await Episodes(Service(), MemoryCache()).enrich(events)
    assert titles(enriched) == ["Lecture of b", "Lecture of a", "Lecture of b"]
    assert [msgspec.structs.replace(event, context={}) for event in enriched] == events
    assert enriched[0].context["episode"] is enriched[2].context["episode"]


@asynccontextmanager
async def served(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[URL]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    application = web.Application()
    application.router.add_get(SEARCH, handle)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        yield URL(f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()


async def test_it_speaks_http_with_the_client_that_sources_use() -> None:
    answers = {"m": 200, "n": 503}

    def answer(request: web.Request) -> web.Response:
        mpid = request.query["id"]
        return web.Response(body=found(mpid), status=answers[mpid], content_type="application/json")

    async with (
        served(answer) as url,
        open_http(HttpSettings(name="opencast", url=url), retry=Retry(attempts=1, scale=0)) as http,
    ):
        client: Get = http
        enricher: Enricher = Episodes(client, MemoryCache())
        assert titles(await enricher.enrich(actions("m", "n"))) == ["Lecture of m", ...]
