"""One source of the daemon: the death of one stream touches no other, and a pause hands the stream over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harvester import measures, pauses, service
from harvester.commands import live, parts
from harvester.commands.daemon import Daemon
from harvester.commands.live import harvesting
from harvester.coverage import Coverage, Interval, Intervals
from harvester.errors import RefusedError
from harvester.lock import me
from harvester.pauses import Switchboard
from harvester.protocols import Page
from harvester.settings import CoreSettings, load
from harvester.sources.opencast import OpencastSettings
from harvester.states import States
from harvester.wake import Wake, Wakes
from tests.fakes import HOUR, NOON, TIMING, Clock, Vendor, VendorStream
from tests.taps import open_stores, until

SETTINGS = {
    "HARVESTER_OPENCAST_URL": "http://127.0.0.1:1",
    "HARVESTER_OPENCAST_USER": "u",
    "HARVESTER_OPENCAST_PASSWORD": "p",
    "HARVESTER_OPENCAST_START": "20260110110000",
    "HARVESTER_POLL_INTERVAL": "0.001",
    "HARVESTER_COVERAGE_PACE": "0",
}


class Named(VendorStream):
    """A stream of the vendor under a name of its own, that dies while it is told to."""

    def __init__(self, vendor: Vendor, name: str) -> None:
        super().__init__(vendor, TIMING, covers=False)
        self.name = name
        self.fetches = 0
        self.error: Exception | None = None

    async def fetch(self, window: Interval, notes: bytes) -> AsyncIterator[Page]:
        self.fetches += 1
        if self.error is not None:
            raise self.error
        async for page in super().fetch(window, notes):
            yield page


class Two(Vendor):
    """A vendor of two streams, and how often it was opened."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.name = "opencast"
        self.one, self.other = Named(self, "one"), Named(self, "other")
        self.opened = 0

    async def streams(self) -> Any:
        return [self.one, self.other]


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Two:
    clock = Clock(NOON)
    found = Two(clock)
    found.fill(NOON - HOUR, 4)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[Two]:
        found.opened += 1
        yield found

    monkeypatch.setattr(parts, "open_source", opened)
    return found


@pytest.fixture
async def begin(vendor: Two, tmp_path: Path) -> AsyncIterator[Callable[..., Daemon]]:
    """Starts a daemon that harvests the vendor."""
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(tmp_path, vendor.clock))
        tasks: list[asyncio.Task[None]] = []
        boards: list[Switchboard] = []

        def begun(wakes: Wakes | None = None) -> Daemon:
            loaded = load(CoreSettings, OpencastSettings, environ=SETTINGS, cwd=tmp_path)
            board, stop = Switchboard(), asyncio.Event()
            boards.append(board)
            board.apply({})
            kept = parts.Stores(stores.queue, stores.coverages, stores.letters)
            daemon = Daemon(loaded, kept, States(), board, stop, {}, (), wakes or {})
            tasks.append(asyncio.create_task(harvesting("opencast", daemon)))
            return daemon

        yield begun
        for board in boards:
            board.stop()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks, return_exceptions=True)


def state(daemon: Daemon, name: str) -> str:
    return daemon.states.component(name, "stream").standing().state


def runs(daemon: Daemon) -> bool:
    return state(daemon, "opencast/one") == "running"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of the supervisor lasts."""
    monkeypatch.setattr(service, "_LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(service, "_wait_after", lambda *_: 0.001)


@pytest.mark.usefixtures("quick")
async def test_f52_a_stream_that_dies_again_and_again_is_degraded_and_its_sibling_never_restarted(
    vendor: Two, begin: Callable[[], Daemon]
) -> None:
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    vendor.one.error = ValueError("a mistake")
    await until(lambda: state(daemon, "opencast/one") == "degraded", 30)
    fetched = vendor.other.fetches
    vendor.clock.advance(timedelta(minutes=30))
    await until(lambda: vendor.other.fetches > fetched, 30)
    assert state(daemon, "opencast/other") == "running"
    assert daemon.states.component("opencast", "source").standing().state == "running"
    assert vendor.opened == 1
    vendor.one.error = None
    worked = daemon.states.component("opencast/one", "stream").standing().last_success
    await until(lambda: daemon.states.component("opencast/one", "stream").standing().last_success != worked, 30)


@pytest.mark.usefixtures("quick")
async def test_f52_what_needs_a_person_in_one_stream_does_not_end_or_restart_the_others(
    vendor: Two, begin: Callable[[], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_START", 0.0)
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    vendor.one.error = RefusedError("the span is too long")
    await until(lambda: state(daemon, "opencast/one") == "stopped", 30)
    fetched = vendor.other.fetches
    vendor.clock.advance(timedelta(minutes=30))
    await until(lambda: vendor.other.fetches > fetched, 30)
    assert vendor.opened == 1


class Watched(Wake):
    """Until when the stream meant to sleep, each time that it did."""

    def __init__(self, pause: timedelta = timedelta()) -> None:
        super().__init__(pause)
        self.untils: list[float] = []

    async def sleep(self, halt: asyncio.Event, until: float) -> bool:
        self.untils.append(until)
        return await super().sleep(halt, until)


class Impatient(Watched):
    """Twice in three times there is news."""

    async def sleep(self, halt: asyncio.Event, until: float) -> bool:
        self.untils.append(until)
        await asyncio.sleep(0.001)
        return not halt.is_set() and len(self.untils) % 3 != 0


async def test_a_notice_has_its_stream_polled_early_and_no_other(
    vendor: Two, begin: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "HARVESTER_POLL_INTERVAL", "3600")
    wake, other = Watched(timedelta(milliseconds=10)), Watched()
    begin({"opencast/one": wake, "opencast/other": other})
    await until(lambda: wake.untils and other.untils, 30)
    fetched, others = vendor.one.fetches, vendor.other.fetches
    wake.notice()
    await until(lambda: len(wake.untils) == 2, 30)
    assert vendor.one.fetches > fetched
    assert wake.due is None
    assert vendor.other.fetches == others
    assert len(other.untils) == 1


async def test_how_often_a_stream_is_polled_is_told_of_every_stream_also_where_it_wants_longer_pauses(
    vendor: Two, begin: Callable[..., Daemon]
) -> None:
    vendor.other.timing = TIMING._replace(pause=timedelta(days=1))
    begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    seconds = [
        measures.REGISTRY.get_sample_value("harvester_stream_pause_seconds", {"source": "opencast", "stream": stream})
        for stream in ("one", "other")
    ]
    assert seconds == [float(SETTINGS["HARVESTER_POLL_INTERVAL"]), 86400.0]


async def test_what_is_polled_early_is_polled_at_its_usual_time_all_the_same(
    vendor: Two, begin: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "HARVESTER_POLL_INTERVAL", "3600")
    wake = Impatient()
    begin({"opencast/one": wake})
    await until(lambda: len(wake.untils) > 6, 30)
    assert len(set(wake.untils[:3])) == len(set(wake.untils[3:6])) == 1
    assert wake.untils[0] < wake.untils[3] < wake.untils[6]


async def test_a_paused_stream_gives_its_lease_back_and_its_sibling_goes_on(vendor: Two, begin: Callable[[], Daemon]) -> None:
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    store = daemon.stores.coverages
    with pytest.raises(RefusedError):
        async with store.lease("opencast", "one", "a person"):
            pass
    daemon.board.apply({"opencast/one": pauses.Pause(NOON, "ann")})
    await until(lambda: state(daemon, "opencast/one") == "paused", 30)
    async with store.lease("opencast", "one", "a person"):
        fetched, others = vendor.one.fetches, vendor.other.fetches
        vendor.clock.advance(timedelta(minutes=30))
        await until(lambda: vendor.other.fetches > others, 30)
        assert vendor.one.fetches == fetched


async def test_who_resumes_while_another_works_waits_for_him_and_sees_what_he_read(
    vendor: Two, begin: Callable[[], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LEASE_AGAIN", 0.01)
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    store = daemon.stores.coverages
    daemon.board.apply({"opencast/one": pauses.Pause(NOON, "ann")})
    await until(lambda: state(daemon, "opencast/one") == "paused", 30)
    async with store.lease("opencast", "one", "a person"):
        daemon.board.apply({})
        await until(lambda: state(daemon, "opencast/one") == "standby", 30)
        assert "a person" in daemon.states.component("opencast/one", "stream").standing().reason
        await store.add("opencast", msgspec.structs.replace(await store.load("opencast"), streams={"one": vendor_read()}))
    await until(lambda: state(daemon, "opencast/one") == "running", 30)
    assert daemon.live["opencast"].book.coverage("one").start == NOON - 9 * HOUR


def vendor_read() -> Coverage:
    return Coverage(start=NOON - 9 * HOUR, read=Intervals([(NOON - 9 * HOUR, NOON)]))


async def test_a_paused_source_is_let_go_of_and_all_its_streams_rest(vendor: Two, begin: Callable[[], Daemon]) -> None:
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    daemon.board.apply({"opencast": pauses.Pause(NOON, "ann")})
    await until(lambda: "opencast" not in daemon.live, 30)
    await until(lambda: state(daemon, "opencast/one") == state(daemon, "opencast/other") == "paused", 30)
    daemon.board.apply({})
    await until(lambda: state(daemon, "opencast/one") == state(daemon, "opencast/other") == "running", 30)
    assert vendor.opened == 2


async def test_a_source_is_let_go_of_although_a_stream_of_it_waits_for_a_person(
    vendor: Two, begin: Callable[[], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_START", 0.0)
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    vendor.one.error = RefusedError("the span is too long")
    for _ in range(5):
        await until(lambda: state(daemon, "opencast/one") == "stopped", 30)
        daemon.board.apply({"opencast": pauses.Pause(NOON, "ann")})
        await until(lambda: "opencast" not in daemon.live, 30)
        async with daemon.stores.coverages.lease("opencast", "one", "a person"):
            await until(lambda: state(daemon, "opencast/one") == "paused", 30)
        daemon.board.apply({})


async def test_e21_at_the_start_a_lease_of_another_ends_the_process(vendor: Two, begin: Callable[[], Daemon]) -> None:
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    board = Switchboard()
    board.apply({})
    second = daemon._replace(board=board, states=States(), live={})
    with pytest.raises(ExceptionGroup) as found:
        await asyncio.wait_for(harvesting("opencast", second), 30)
    assert found.group_contains(RefusedError, match="is being harvested by", depth=None)


async def test_f12_on_a_shared_store_a_second_daemon_stands_by_and_takes_over_when_the_first_ends(
    vendor: Two, begin: Callable[[], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LEASE_AGAIN", 0.01)
    monkeypatch.setattr(live, "shared", lambda _: True)
    first = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    second = begin()
    await until(lambda: state(second, "opencast/one") == state(second, "opencast/other") == "standby", 30)
    standing = second.states.component("opencast/one", "stream").standing()
    assert (standing.reason, standing.wrong) == (f"{me()} harvests it", False)
    first.board.stop()
    await until(lambda: state(second, "opencast/one") == state(second, "opencast/other") == "running", 30)
    assert await second.stores.coverages.owners("opencast") != {}


async def test_f12_without_leases_two_daemons_harvest_the_same_streams(
    vendor: Two, begin: Callable[[], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "HARVESTER_LEASES", "false")
    first, second = begin(), begin()
    for daemon in (first, second):
        await until(partial(runs, daemon), 30)
        assert await daemon.stores.coverages.owners("opencast") == {}


async def test_what_needs_a_person_after_a_long_pause_ends_no_process_that_works(
    vendor: Two, begin: Callable[[], Daemon]
) -> None:
    daemon = begin()
    await until(lambda: vendor.other.fetches and vendor.one.fetches, 30)
    board, states = Switchboard(), States()
    board.apply({"opencast": pauses.Pause(NOON, "ann")})
    second = daemon._replace(board=board, states=states, live={})
    task = asyncio.create_task(harvesting("opencast", second))
    await until(lambda: states.component("opencast", "source").standing().state == "paused", 30)
    board.apply({})  # and now another process holds the leases
    await until(lambda: state(second, "opencast/one") == "standby" or task.done(), 30)
    assert not task.done()
    board.stop()
    await asyncio.wait_for(task, 30)
