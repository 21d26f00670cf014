"""Episodes while the search service is away or slow: no batch waits, and nobody who can wait goes without."""

import asyncio
from datetime import timedelta

from consumers.caches.memory import MemoryCache
from consumers.enrichers.episodes import IN_FLIGHT, Episodes
from consumers.fuse import Fuse
from harvester.errors import TransientError
from tests.taps import until
from tests.unit.searching import Clock, Service, actions, titles


async def test_a_service_that_does_not_answer_costs_the_patience_and_no_more() -> None:
    service = Service()
    service.gate = asyncio.Event()
    episodes = Episodes(service, MemoryCache(), patience=timedelta(milliseconds=1))
    assert titles(await episodes.enrich(actions("m"))) == [...]
    assert service.at_once == 0


async def test_an_outage_does_not_cost_a_request_for_every_batch() -> None:
    service, clock = Service(), Clock()
    service.failing = TransientError("503")
    fuse = Fuse(failures=3, pause=timedelta(seconds=5), clock=clock)
    episodes = Episodes(service, MemoryCache(), fuse=fuse)
    await episodes.enrich(actions(*map(str, range(1000))))
    asked = len(service.asked)
    assert asked <= IN_FLIGHT
    assert episodes.away
    for _ in range(50):
        assert titles(await episodes.enrich(actions("a", "b"))) == [..., ...]
    assert len(service.asked) == asked
    clock.at += 5
    assert not episodes.away
    service.failing = None
    # The trial is made beside the batches.
    assert titles(await episodes.enrich(actions("a"))) == [...]
    await until(lambda: len(service.asked) > asked and not service.at_once)
    assert titles(await episodes.enrich(actions("a"))) == ["Lecture of a"]
    assert len(service.asked) == asked + 1


async def test_no_batch_waits_for_the_trial_of_a_service_that_is_away_and_one_trial_is_made_at_a_time() -> None:
    service, clock = Service(), Clock()
    service.failing = TransientError("refused")
    episodes = Episodes(service, MemoryCache(), fuse=Fuse(clock=clock))
    await episodes.enrich(actions(*"abcdefgh"))
    asked, service.gate = len(service.asked), asyncio.Event()
    for _ in range(3):
        clock.at += 60
        for _ in range(50):
            assert titles(await episodes.enrich(actions("a"))) == [...]
    await until(lambda: service.at_once)
    assert len(service.asked) == asked + 1
    await episodes.end()
    assert service.at_once == 0


async def test_a_service_that_is_slow_costs_one_batch_its_time_and_the_others_none() -> None:
    service, clock = Service(), Clock()
    service.gate = asyncio.Event()
    hurry = Fuse(failures=1, clock=clock)
    episodes = Episodes(service, MemoryCache(), patience=timedelta(milliseconds=300), hurry=hurry, fuse=Fuse(failures=10**6))
    assert titles(await episodes.enrich(actions(*map(str, range(1000))))) == [...] * 1000
    assert service.at_once == 0
    asked = len(service.asked)
    for _ in range(50):
        assert titles(await episodes.enrich(actions("a", "b"))) == [..., ...]
    assert len(service.asked) == asked
    clock.at += 5
    service.gate.set()
    assert titles(await episodes.enrich(actions("a", "b"))) == ["Lecture of a", "Lecture of b"]
    assert titles(await episodes.enrich(actions("c"))) == ["Lecture of c"]


async def test_who_is_patient_gets_everything_from_a_slow_service_and_leaves_turns_for_others() -> None:
    service = Service()
    service.gate, service.expected = asyncio.Event(), IN_FLIGHT // 2
    hurry = Fuse(failures=1)
    hurry.failed()
    episodes = Episodes(service, MemoryCache(), hurry=hurry)
    batch = asyncio.create_task(episodes.enrich(actions(*map(str, range(50))), patient=True))
    await service.arrived.wait()
    await asyncio.sleep(0.01)
    assert service.at_once == IN_FLIGHT // 2
    service.gate.set()
    assert ... not in titles(await batch)


async def test_who_is_patient_is_not_so_for_ever_and_keeps_what_was_found() -> None:
    service = Service()
    episodes = Episodes(service, MemoryCache(), patience=timedelta(milliseconds=200), fuse=Fuse(failures=10**6))
    service.expected = 10
    batch = asyncio.create_task(episodes.enrich(actions(*map(str, range(30))), patient=True))
    await service.arrived.wait()
    service.gate = asyncio.Event()
    told = titles(await batch)
    assert 0 < told.count(...) < 30
    service.gate = None
    async with asyncio.timeout(30):
        while ... in titles(await episodes.enrich(actions(*map(str, range(30))), patient=True)):
            pass


async def test_a_batch_that_is_given_up_leaves_no_request_behind() -> None:
    service = Service()
    service.gate = asyncio.Event()
    episodes = Episodes(service, MemoryCache())
    for patient in (False, True):
        batch = asyncio.create_task(episodes.enrich(actions("a", "b"), patient=patient))
        await until(lambda: service.at_once == 2)
        batch.cancel()
        await until(lambda: not service.at_once)


def test_a_fuse_lets_one_trial_through_a_pause_and_pauses_grow() -> None:
    clock = Clock()
    fuse = Fuse(failures=2, pause=timedelta(seconds=5), longest=timedelta(seconds=15), clock=clock)
    for _ in range(2):
        assert fuse.allows()
        fuse.failed()
    fuse.failed()  # was under way: no longer pause
    for pause in (5, 10, 15, 15):
        clock.at += pause - 0.5
        assert not fuse.allows()
        clock.at += 0.5
        assert fuse.allows()
        assert not fuse.allows()
        fuse.failed()
    fuse.succeeded()
    assert fuse.allows()
    fuse.failed()
    assert fuse.allows()
