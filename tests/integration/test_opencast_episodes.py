"""The life of the stream of recordings: renamed, taken back and published again in mid-run, what arrived is what is true."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest

from harvester.errors import PermanentError, TransientError
from harvester.event import Event, decode_event
from harvester.harvest import Harvest
from harvester.openbook import OpenBook
from harvester.retry import Retry
from harvester.sandbox.serve import Running, serve
from harvester.sandbox.settings import REST, SandboxSettings, Switches
from harvester.sandbox.tobira import HARVEST
from tests.fakes import Clock
from tests.opencast_table import opened
from tests.site import HOUR, NOON, Site, stamp, world
from tests.taps import Stores, all_letters, conserve, open_stores

NOW = datetime(2026, 11, 3, 18, tzinfo=UTC)
START = NOW - timedelta(days=1)
FAULTS = {"429-seconds": 0.03, "500": 0.03, "503": 0.03, "reset": 0.03, "truncated": 0.03, "half-json": 0.03, "html": 0.03}
RECORDS = {"nan": 0.01, "surrogate": 0.01, "not-utf8": 0.01, "deep": 0.01, "no-created": 0.01, "pretty": 0.02, "nul": 0.02}
AT_ONCE = Retry(attempts=8, scale=0)


class Life(NamedTuple):
    """An Opencast and the stores of its harvester, whose every poll is a new process."""

    running: Running
    stores: Stores
    switches: dict[str, Any]

    async def work(self, act: Callable[[Harvest], Any]) -> None:
        book = OpenBook(self.stores.coverages, "opencast", self.stores.queue, pace=timedelta(0))
        await book.load()
        async with opened(self.running.url, retry=AT_ONCE, streams="episodes", batch_size=20, **self.switches) as source:
            [stream] = await source.streams()
            harvest = Harvest(source, stream, self.stores.queue, book, self.stores.letters, retry=AT_ONCE)
            try:
                await act(harvest)
            finally:
                await book.store()

    async def poll(self) -> None:
        """One poll, repeated until it is through, as a daemon does."""
        for _ in range(60):
            try:
                return await self.work(lambda harvest: harvest.poll(START))
            except (TransientError, PermanentError) as error:
                failed = error
        raise AssertionError("no poll came through") from failed

    async def polls(self, amount: int, seed: str) -> None:
        dice = Random(seed)
        for _ in range(amount):
            await self.poll()
            self.running.clock.advance(timedelta(seconds=dice.choice((60, 120, 600, 3600)) * (0.5 + dice.random())))

    async def rest(self) -> None:
        """Nothing is changed any more; what is there comes into the index and is read for good."""
        self.running.sandbox.stop_changing()
        for by in (timedelta(), 5 * REST):  # pieces of six hours, six hours after their end
            self.running.clock.advance(by)
            await self.poll()

    async def newest(self) -> dict[str, Event]:
        """The newest event of each recording that is in the queue; of equals the later, as a sink takes it."""
        found: dict[str, Event] = {}
        for delivery in await self.stores.queue.peek(0, 1_000_000):
            event = decode_event(delivery.message.body)
            if event.version >= found.get(event.subject, event).version:
                found[event.subject] = event
        return found

    async def judge(self) -> None:
        """Missing, too much and stale: nothing; broken ones are letters."""
        true = self.running.sandbox.episodes(START)
        held = await self.newest()
        fit = {mpid: e for mpid, e in true.items() if not e.broken}
        assert len(fit) > 50
        assert {mpid for mpid, e in fit.items() if mpid not in held} == set()
        assert held.keys() - true.keys() == set()
        assert {mpid for mpid, e in fit.items() if told(held[mpid]) != (e.deleted, "" if e.deleted else e.title.lower())} == set()
        broken = {letter.body for letter in await all_letters(self.stores.letters)}
        assert bool(broken) == any(e.broken for e in true.values())
        await conserve(self.stores.queue)


def told(event: Event) -> tuple[bool, str]:
    """Whether it is deleted, and its title. The sandbox's Jettison takes some titles for something else."""
    data = msgspec.json.decode(event.data)
    return "deleted" in data, "" if "deleted" in data else str(data["search"]["mediapackage"]["title"]).lower()


@asynccontextmanager
async def life(folder: Path, *, source: dict[str, Any] | None = None, **switches: Any) -> AsyncIterator[Life]:
    usual = {"now": NOW, "speed": 0, "retry_after": 0, "slow": 0, "history": timedelta(days=3), "episode_changes": 400}
    async with (
        serve(SandboxSettings(**{**usual, **switches})) as running,
        open_stores(folder, Clock(NOW + timedelta(days=30))) as stores,
    ):
        given = {name: value.format(url=running.url) for name, value in (source or {}).items()}
        yield Life(running, stores, given)


@pytest.mark.parametrize(
    "switches",
    [{}, {"search": "16"}, {"search": "16", "tobira": "none", "takes_back": False}, {"tobira": "forbidden", "takes_back": False}],
    ids=["feed", "feed, 16", "search, 16", "search before 16"],
)
async def test_a_life_full_of_faults_loses_doubles_and_ages_no_recording(tmp_path: Path, switches: dict[str, Any]) -> None:
    async with life(tmp_path, faults=FAULTS | RECORDS, **switches) as found:
        await found.polls(12, str(switches))
        await found.rest()
        await found.judge()


async def test_with_workflows_every_recording_has_what_they_say(tmp_path: Path) -> None:
    async with life(tmp_path, source={"admin_url": "{url}"}, late=False) as found:
        await found.polls(3, "workflows")
        await found.rest()
        await found.judge()
        workflows = [msgspec.json.decode(event.data).get("workflow") for event in (await found.newest()).values()]
        assert sum(each is not None for each in workflows) > 30


async def test_the_interface_that_is_taken_away_in_mid_run_and_given_back_costs_nothing(tmp_path: Path) -> None:
    async with life(tmp_path, takes_back=False) as found:
        for way in ("admin", "forbidden", "none", "admin"):
            found.running.sandbox.switch(Switches(tobira=way))
            await found.polls(2, way)
        await found.rest()
        await found.judge()


async def test_a_poll_in_which_nothing_changed_costs_one_call_beside_the_probe(tmp_path: Path) -> None:
    async with life(tmp_path, episode_changes=0) as found:
        await found.poll()
        found.running.clock.advance(HOUR)
        found.running.stats.reset()
        await found.poll()
        assert found.running.stats.snapshot().requests.keys() == {HARVEST}
        assert found.running.stats.snapshot().requests_of(HARVEST) == 2


def test_what_the_table_holds_follows_every_rename_and_deletion(tmp_path: Path) -> None:
    with world(episode_changes=400, history=timedelta(days=3), late=False) as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_STREAMS="useractions,episodes")
        since = NOON - timedelta(days=2)
        for _ in range(3):
            done = site.harvest("once", "opencast", "--stream", "episodes", "--since", stamp(since))
            assert done.code == 0, done.err
            assert site.consume().code == 0
            vendor.advance(HOUR * 5)
        vendor.stop_changing()
        vendor.advance(HOUR)
        assert site.harvest("once", "opencast", "--stream", "episodes", "--since", stamp(since)).code == 0
        assert site.consume().code == 0
        true = vendor.running.sandbox.episodes(since)
        held = {mpid: rest for mpid, *rest in site.rows("mpid, deleted, lower(title), updated", "episodes")}
        assert held.keys() == true.keys()
        assert any(e.deleted for e in true.values())
        for mpid, e in true.items():
            modified = e.modified.replace(tzinfo=None)
            assert held[mpid] == [e.deleted, None if e.deleted else e.title.lower(), modified], mpid
        assert len(site.rows("mpid", "episodes")) == len(held), "each once"


def test_actions_alone_are_harvested_unless_recordings_are_asked_for(tmp_path: Path) -> None:
    with world() as vendor:
        site = Site(tmp_path, vendor.url)
        assert site.harvest("once", "opencast").code == 0
        assert site.harvest("once", "opencast", "--stream", "episodes").code == 2
        both = {"HARVESTER_OPENCAST_STREAMS": "useractions, episodes"}
        assert site.harvest("useractions", **both).code == 0
        assert vendor.running.stats.snapshot().requests_of(HARVEST) == 0, "who wants actions asks for nothing else"
        alone = {"HARVESTER_OPENCAST_STREAMS": "episodes"}
        vendor.running.sandbox.switch(Switches(usertracking=False))
        assert site.harvest("once", "opencast", **alone).code == 0, "no plugin is needed for it"
        assert site.harvest("once", "opencast", HARVESTER_OPENCAST_STREAMS="lectures").code == 3


def test_an_account_without_the_role_is_warned_once_and_served_by_search(tmp_path: Path) -> None:
    with world(tobira="forbidden", search="16", episode_changes=400, history=timedelta(days=3), late=False) as vendor:
        site = Site(tmp_path, vendor.url, HARVESTER_OPENCAST_STREAMS="episodes")
        done = site.harvest("once", "opencast", "--since", stamp(NOON - timedelta(days=1)))
        assert done.code == 0, done.err
        assert done.err.count("no deletions") == 1
        assert site.consume().code == 0
        true = vendor.running.sandbox.episodes(NOON - timedelta(days=1))
        assert {mpid for (mpid,) in site.rows("mpid", "episodes")} == {mpid for mpid, e in true.items() if not e.deleted}


def test_a_pseudonymous_installation_has_the_same_recordings(tmp_path: Path) -> None:
    columns = "mpid, title, course, deleted, updated, live_start, CAST(slides AS VARCHAR), event_rank"
    with world(episode_changes=100, history=timedelta(days=2), late=False) as vendor:
        held = []
        for name, privacy in (
            ("clear", {}),
            ("veiled", {"HARVESTER_PRIVACY": "pseudonymous", "HARVESTER_PRIVACY_KEY": "k" * 40}),
        ):
            settings = {"HARVESTER_OPENCAST_STREAMS": "episodes", "HARVESTER_OPENCAST_ADMIN_URL": vendor.url, **privacy}
            site = Site(tmp_path / name, vendor.url, **settings)
            assert site.harvest("once", "opencast", "--since", stamp(NOON - timedelta(days=1))).code == 0
            assert site.consume().code == 0
            held.append(sorted(site.rows(columns, "episodes")))
        assert len(held[0]) > 30
        assert held[0] == held[1], "nothing that a recording says is about people"
