"""The life of a harvester at a simulated GitHub: what arrived is what is true, through faults, kills, renames and deletions."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harvester.coverage import EPOCH, Interval
from harvester.errors import HarvesterError, PermanentError
from harvester.event import Event, decode_event
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from harvester.retry import Retry, Wait
from harvester.sandbox.github import GitHubSandbox
from harvester.sandbox.serve import RunningGitHub, listening, serve
from tests import fakes
from tests.github_acme import State, comments, opened, pulls, remarks, state, world
from tests.github_organisation import QUICK, Clock, read
from tests.taps import Stores, all_letters, conserve, open_stores

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
FAULTS = {"500": 0.02, "502": 0.03, "reset": 0.02, "truncated": 0.02, "half-json": 0.01, "html": 0.01, "429-seconds": 0.01}
ALWAYS = Interval(EPOCH, NOW + timedelta(days=1000))


class Life(NamedTuple):
    """An organisation and the stores of its harvester, whose every poll is a new process."""

    running: RunningGitHub
    stores: Stores
    switches: dict[str, Any]

    async def poll(self, *, killed_after: float | None = None) -> None:
        """Every stream once, each until it is through or refused for good; or all of them until they are killed."""
        book = OpenBook(self.stores.coverages, "github", self.stores.queue, pace=timedelta(0))
        await book.load()
        async with opened(self.running.url, **self.switches) as source:
            streams = await self._told(source)
            ways = [Harvest(source, one, self.stores.queue, book, self.stores.letters, retry=QUICK) for one in streams]
            working = asyncio.gather(*(self._through(way) for way in ways))
            with suppress(TimeoutError):
                async with asyncio.timeout(killed_after):
                    await working

    async def _told(self, source: Any) -> Any:
        while True:
            with suppress(HarvesterError):
                return await source.streams()

    async def _through(self, way: Harvest) -> None:
        for _ in range(50):
            try:
                return await way.poll(NOW - timedelta(days=60))
            except PermanentError:
                return None  # a repository that is gone
            except HarvesterError as error:
                failed = error
        raise AssertionError("no poll came through") from failed

    def calls(self) -> int:
        """Requests so far."""
        return sum(sum(outcomes.values()) for outcomes in self.running.stats.snapshot().requests.values())

    async def newest(self) -> dict[tuple[str, str], Event]:
        """The newest event of each thing that is in the queue."""
        found: dict[tuple[str, str], Event] = {}
        at = 0
        while deliveries := await self.stores.queue.peek(at, 1000):
            for delivery in deliveries:
                event = decode_event(delivery.message.body)
                key = event.type, event.subject
                if event.version >= found.get(key, event).version:
                    found[key] = event
            at = int(deliveries[-1].position) + 1
        return found

    def true(self) -> Mapping[str, State]:
        """What must be held of the repositories that are there."""
        gone = {key for key, row in self.running.truth().repositories.items() if row["gone"]}
        told = {**pulls(self.running, ALWAYS), **comments(self.running, ALWAYS), **remarks(self.running, ALWAYS)}
        there = {key: value for key, value in told.items() if key.partition("/")[0] not in gone}
        rows = self.running.truth().repositories
        return there | {key: ("repository", row["gone"]) for key, row in rows.items()}


@asynccontextmanager
async def life(folder: Path, *, source: dict[str, Any] | None = None, **switches: Any) -> AsyncIterator[Life]:
    usual: dict[str, Any] = {"repositories": 10, "history": timedelta(days=15), "pulls_per_day": 2, "retry_after": 0.01}
    async with (
        serve(world(NOW, **{**usual, **switches})) as running,
        open_stores(folder, fakes.Clock(NOW + timedelta(days=60))) as stores,
    ):
        yield Life(running, stores, source or {})


@pytest.mark.parametrize("mode", ["graphql", "rest"])
async def test_a_life_of_faults_kills_renames_and_deletions_loses_doubles_and_ages_nothing(tmp_path: Path, mode: str) -> None:
    async with life(tmp_path, source={"mode": mode}) as living:
        for step in range(5):
            living.running.sandbox.set_faults(FAULTS if step % 2 else {})
            if step < 2:
                await living.poll(killed_after=0.5)
            await living.poll()
            living.running.clock.advance(timedelta(hours=12))
        living.running.sandbox.set_faults({})
        living.running.sandbox.stop_changing()
        for _ in range(3):  # until everything is settled and swept
            living.running.clock.advance(timedelta(hours=13))
            await living.poll()
        newest = await living.newest()
        held = {subject: state(event) for (_, subject), event in newest.items()}
        true = living.true()
        assert len(true) > 300
        assert true.keys() - held.keys() == set()
        assert {subject for subject in true if held[subject] != true[subject]} == set()
        ever = {f"{key.partition('/')[0]}/{row['sha']}" for key, row in living.running.truth().pr_commits.items()}
        gone = {key for key, row in living.running.truth().repositories.items() if row["gone"]}
        extra = {key for key in held.keys() - true.keys() if key.partition("/")[0] not in gone}
        assert extra <= ever | living.running.truth().pr_commits.keys()  # of before a force-push
        assert gone
        assert {letter.reason for letter in await all_letters(living.stores.letters)} <= {"gone"}
        await conserve(living.stores.queue)


async def test_an_idle_day_costs_a_few_calls_a_repository(tmp_path: Path) -> None:
    async with life(tmp_path, repositories=4, traps=False, history=timedelta(days=4)) as living:
        living.running.sandbox.stop_changing()
        for _ in range(3):
            await living.poll()
            living.running.clock.advance(timedelta(hours=13))
        living.running.clock.advance(timedelta(days=30))  # nothing was closed lately any more
        await living.poll()
        before = living.calls()
        living.running.clock.advance(timedelta(hours=6))
        await living.poll()
        polled = living.calls() - before
        living.running.clock.advance(timedelta(hours=19))
        await living.poll()
        settled = living.calls() - before - polled
    assert polled <= 4  # the list of repositories twice, and the canary
    assert settled <= 4 + 4 * (3 + 3)  # what settles, and the sweep with a batch of open ones


async def test_no_limit_is_ever_exceeded_and_what_others_spend_is_left_to_them() -> None:
    clock, told = Clock(), list[Wait]()
    usual: dict[str, Any] = {"repositories": 5, "history": timedelta(days=6), "pulls_per_day": 10, "traps": False, "imported": 30}
    settings = world(NOW, **usual, speed=1, pace=1, hourly=150, points=36, used_elsewhere=30)
    sandbox = GitHubSandbox(settings, ticker=clock.monotonic)
    limits = {"hourly_limit": 100, "reserve": 5, "mode": "graphql", "max_workers": 4}
    async with listening(sandbox.app(), "127.0.0.1", 0) as url:
        patient = Retry(attempts=2, scale=1)
        async with opened(url, patient, pacing=clock.pacing, on_wait=told.append, **limits) as source:
            streams = await source.streams()
            window = Interval(NOW - timedelta(days=60), NOW)
            got = await asyncio.gather(*(read(one, window) for one in streams if not one.name.startswith("sweep")))
            pages = await asyncio.gather(*(source._organisations.one(700000001) for _ in range(230)))
    assert all(pages)
    assert sum(len(one.events) for one in got) > 500
    assert sandbox.stats.snapshot().violations == {}
    assert sandbox.stats.snapshot().early == 0
    assert {outcome for each in sandbox.stats.snapshot().requests.values() for outcome in each} == {"200", "304"}
    assert {wait.reason for wait in told} == {"rate_limited"}
    for why in ("HARVESTER_GITHUB_HOURLY_LIMIT", "are kept back"):
        assert any(why in wait.text for wait in told)
