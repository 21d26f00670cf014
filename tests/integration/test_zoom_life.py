"""The life of a harvester at a simulated Zoom: what arrived is what is true, for as few calls as can be, within every limit."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harvester.coverage import Interval
from harvester.errors import TransientError
from harvester.event import Event, decode_event
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from harvester.retry import Retry
from harvester.sandbox.serve import RunningZoom, serve
from harvester.sandbox.zoom_settings import ZOOM_REST, ZoomSandboxSettings, ZoomSwitches
from tests.fakes import Clock
from tests.taps import Stores, all_letters, conserve, open_stores
from tests.zoom_account import QUICK
from tests.zoom_university import opened, state, truth

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
DAY = timedelta(days=1)
LISTS = "/v2/metrics/meetings"
STAYS = "/v2/metrics/meetings/{uuid}/participants"
FAULTS = {"429-iso": 0.01, "429-bare": 0.01, "429-date": 0.01, "429-seconds": 0.01, "500": 0.01, "503": 0.01, "reset": 0.01}
FAULTS |= {"truncated": 0.01, "half-json": 0.01, "html": 0.01, "dead-token": 0.01, "dead-page": 0.05}
BAD_ROWS = {"nan": 0.005, "surrogate": 0.003, "not-utf8": 0.003, "deep": 0.002, "nameless": 0.005, "pretty": 0.01, "nul": 0.005}


class Life(NamedTuple):
    """An account and the stores of its harvester, whose every poll is a new process."""

    running: RunningZoom
    stores: Stores
    switches: dict[str, Any]
    retry: Retry

    async def work(self, act: Callable[[Harvest], Any]) -> None:
        book = OpenBook(self.stores.coverages, "zoom", self.stores.queue, pace=timedelta(0))
        await book.load()
        async with opened(self.running.url, retry=self.retry, **self.switches) as source:
            [stream] = await source.streams()
            harvest = Harvest(source, stream, self.stores.queue, book, self.stores.letters, retry=QUICK)
            try:
                await act(harvest)
            finally:
                await book.store()

    async def poll(self, start: datetime, *, tries: int = 30) -> None:
        """One poll, repeated until it is through, as a daemon does."""
        for _ in range(tries):
            try:
                return await self.work(lambda harvest: harvest.poll(start))
            except TransientError as error:
                failed = error
        raise AssertionError("no poll came through") from failed

    async def newest(self) -> dict[str, Event]:
        """The newest event of each subject that is in the queue."""
        found: dict[str, Event] = {}
        at = 0
        while deliveries := await self.stores.queue.peek(at, 1000):
            for delivery in deliveries:
                event = decode_event(delivery.message.body)
                if event.version >= found.get(event.subject, event).version:
                    found[event.subject] = event
            at = int(deliveries[-1].position) + 1
        return found

    async def judge(self, start: datetime, end: datetime, *, kept: bool = False) -> None:
        """Missing, too much and stale: nothing. `kept`: what was read before may be more than the account tells now."""
        true = truth(self.running, Interval(start, end))
        held = {subject: state(event) for subject, event in (await self.newest()).items()}
        untold = {uuid for uuid, meeting in self.running.truth(start, end).meetings.items() if meeting.start_time is None}
        assert len(true) > 500
        assert true.keys() - held.keys() == set()
        assert kept or held.keys() - true.keys() <= untold
        assert {subject for subject in true if held[subject] != true[subject]} == set()
        await conserve(self.stores.queue)

    async def rest(self, start: datetime, *, kept: bool = False) -> None:
        """No meeting begins any more; what is held when all has come to rest is judged."""
        end = self.running.clock.now()
        self.running.sandbox.stop_changing(end)
        for _ in range(9):
            self.running.clock.advance(timedelta(hours=10))
            await self.poll(start)
        assert self.running.clock.now() - end > ZOOM_REST
        await self.judge(start, end, kept=kept)

    async def watermark(self) -> datetime | None:
        streams = (await self.stores.coverages.load("zoom")).streams
        return streams["meetings"].watermark if streams else None

    def calls(self, path: str) -> int:
        return self.running.stats.snapshot().requests_of(path)


@asynccontextmanager
async def life(
    folder: Path, *, source: dict[str, Any] | None = None, retry: Retry = QUICK, **switches: Any
) -> AsyncIterator[Life]:
    world = ZoomSandboxSettings(**{"now": NOW, "speed": 0, "pace": 1e6, "retry_after": 0.01, "slow": 0.0, **switches})
    async with serve(world) as running, open_stores(folder, Clock(NOW + 60 * DAY)) as stores:
        yield Life(running, stores, source or {}, retry)


@pytest.mark.parametrize(
    "switches", [{}, {"plan": "pro"}, {"counts": "final"}, {"hipaa": True}], ids=["dashboard", "reports", "counts", "hipaa"]
)
async def test_a_life_full_of_faults_loses_doubles_and_ages_nothing(tmp_path: Path, switches: dict[str, Any]) -> None:
    async with life(tmp_path, faults=FAULTS | BAD_ROWS, meetings_per_day=40, **switches) as found:
        start = NOW - 2 * DAY
        for _ in range(8):
            await found.poll(start)
            found.running.clock.advance(timedelta(hours=9, minutes=41))
        await found.rest(start)
        wrong = {letter.reason for letter in await all_letters(found.stores.letters)}
        assert wrong >= {"not_json", "not_utf8", "schema", "participants"}


async def test_participants_are_asked_for_once_a_meeting_and_again_only_when_it_changed(tmp_path: Path) -> None:
    async with life(tmp_path, meetings_per_day=60) as found:
        start, edge, least, days = NOW - 3 * DAY, NOW, 0, 0
        known: dict[str, object] = {}
        for _ in range(16):
            now = found.running.clock.now()
            await found.poll(start)
            days += (now.date() - max(start, edge - 3 * DAY).date()).days + 1
            edge = now
            for uuid, meeting in found.running.truth(max(start, now - 3 * DAY), now).meetings.items():
                told = (meeting.participants, meeting.end_time)
                least += meeting.start_time is not None and known.get(uuid) != told
                known[uuid] = told
            found.running.clock.advance(timedelta(hours=6))
        assert found.calls(STAYS) <= 1.05 * least
        assert 2 * days <= found.calls(LISTS) <= 1.05 * 2 * days  # a request that a busy machine cut is repeated
        await found.rest(start)


async def test_what_the_limit_of_the_day_cuts_goes_on_the_next_day_and_asks_for_no_meeting_twice(tmp_path: Path) -> None:
    async with life(tmp_path, meetings_per_day=60, daily=90, late=False) as found:
        start, days = NOW - 6 * DAY, 0
        found.running.sandbox.stop_changing(NOW)
        while (watermark := await found.watermark()) is None or watermark < NOW:
            assert (days := days + 1) < 20
            with suppress(TransientError):
                await found.work(lambda harvest: harvest.poll(start))
            found.running.clock.advance(DAY)
        meetings = found.running.truth(start, NOW).meetings
        assert days > 3
        assert found.calls(STAYS) <= len(meetings) + days
        await found.judge(start, NOW)


async def test_no_limit_of_any_class_is_ever_exceeded(tmp_path: Path) -> None:
    quick = 100
    async with life(tmp_path, retry=Retry(2, 1 / quick), pace=quick, meetings_per_day=84) as found:
        span = Interval(NOW - 10 * DAY, NOW)
        await found.work(lambda harvest: harvest.read([span]))
        assert found.running.stats.snapshot().violations == Counter()
        assert found.calls(STAYS) > 500


async def test_an_account_that_loses_its_dashboard_in_mid_run_is_read_by_reports_from_then_on(tmp_path: Path) -> None:
    async with life(tmp_path, meetings_per_day=40) as found:
        start = NOW - 2 * DAY
        await found.poll(start)
        found.running.sandbox.switch(ZoomSwitches(dashboard=False))
        found.running.clock.advance(DAY)
        await found.poll(start)
        await found.rest(start, kept=True)
