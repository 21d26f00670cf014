"""Both loops on real files, with a death at every awaited call in turn: nothing is lost, doubled or stale.

And the proof can fail: with publish and cover, or write and commit, in the wrong order it finds a loss.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import consumers.consume
import harvester.harvest
from tests.fakes import MINUTE, NOON
from tests.simulation import BROKEN, REFUSED, START, TIMING, Fuse, World


async def scenario(world: World, fuse: Fuse) -> None:
    """History, a live edge, late and grown rows, a broken and a refused one; who dies is started again."""
    vendor = world.vendor
    vendor.fill(START, 5, timedelta(minutes=4))
    vendor.fill(NOON - 2 * MINUTE, 2, MINUTE)
    vendor.put(BROKEN, NOON - 3 * MINUTE)
    vendor.broken[BROKEN] = b'{"subject":"broken"}'
    vendor.put(REFUSED, NOON - MINUTE)
    vendor.put("late", NOON - 5 * MINUTE, seen=NOON + 20 * MINUTE)
    vendor.put("row6", NOON, 3, seen=NOON + 10 * MINUTE)
    acts = (world.harvest, world.consume)
    for _ in range(2):
        for act in acts:
            while not await world.live(fuse, act):
                continue
        world.clock.advance(TIMING.settle + 12 * MINUTE)
    await world.settle()


async def disturbed(folder: Path, at: int) -> tuple[World, int]:
    """A world with a death at that moment, and how many moments there were before the end."""
    world, fuse = World(folder), Fuse(at)
    await scenario(world, fuse)
    return world, fuse.passed


@pytest.mark.slow
async def test_f01_f51_a_death_at_any_awaited_call_loses_doubles_and_ages_nothing(tmp_path: Path) -> None:
    undisturbed, moments = await disturbed(tmp_path, 0)
    assert (undisturbed.wrong(), undisturbed.deaths) == ({}, 0)
    assert moments > 60
    for at in range(1, moments + 1):
        world, _ = await disturbed(tmp_path, at)
        assert (at, world.wrong()) == (at, {})
        assert await world.letters() == ['{"subject":"broken"}'], at
        # A busy machine needs a few calls more or less: the last moments may lie behind the end of a run.
        assert world.deaths == 1 or at > 0.8 * moments, at


@pytest.mark.parametrize(
    ("module", "switch"), [(harvester.harvest, "_COVER_FIRST"), (consumers.consume, "_COMMIT_FIRST")], ids=["cover", "commit"]
)
async def test_with_the_order_switched_the_same_proof_finds_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, switch: str
) -> None:
    _, moments = await disturbed(tmp_path, 0)
    monkeypatch.setattr(module, switch, True)
    undisturbed, _ = await disturbed(tmp_path, 0)
    assert undisturbed.wrong() == {}
    for at in range(1, moments + 1):
        world, _ = await disturbed(tmp_path, at)
        if world.wrong():
            assert all(found is None for found, _ in world.wrong().values())
            return
    pytest.fail("no death lost anything: the proof proves nothing")


class Life(RuleBasedStateMachine):
    """Whatever the vendor does, and whenever processes die."""

    folder: Path

    @initialize(rows=st.integers(0, 8))
    def begin(self, rows: int) -> None:
        self.world = World(self.folder)
        self.world.vendor.fill(START - 10 * MINUTE, rows, 7 * MINUTE)

    @rule(ago=st.integers(0, 30), ties=st.integers(1, 3))
    def insert(self, ago: int, ties: int) -> None:
        """Rows of one moment, shown now: late by so many minutes."""
        for _ in range(ties):
            self.world.vendor.put(f"row{len(self.world.vendor.rows)}", self.world.clock() - ago * MINUTE)

    @rule(which=st.integers(0, 50))
    def grow(self, which: int) -> None:
        """A row that may still grow gets a new state."""
        vendor, now = self.world.vendor, self.world.clock()
        young = [s for s, row in vendor.rows.items() if now - row.time <= TIMING.settle]
        if young:
            subject = young[which % len(young)]
            vendor.put(subject, now, max(s.version for s in vendor.rows[subject].states) + 1)

    @rule(minutes=st.sampled_from([0.5, 1, 5, 17, 45]))
    def wait(self, minutes: float) -> None:
        self.world.clock.advance(minutes * MINUTE)

    @rule(death=st.integers(0, 25), again=st.integers(0, 25))
    def harvest(self, death: int, again: int) -> None:
        self._live(death, "harvest")
        if death and again % 2:
            self._live(again, "harvest")

    @rule(death=st.integers(0, 25))
    def consume(self, death: int) -> None:
        self._live(death, "consume")

    @rule(death=st.integers(0, 60))
    def everything(self, death: int) -> None:
        self._live(death, "everything")

    def _live(self, death: int, act: str) -> None:
        asyncio.run(self.world.live(Fuse(death), getattr(self.world, act)))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            asyncio.run(self.world.settle())
            before_start = {s for s, row in self.world.vendor.rows.items() if row.time < START}
            assert {s: v for s, v in self.world.wrong().items() if s not in before_start} == {}


@pytest.mark.slow
def test_whatever_the_vendor_does_and_whenever_processes_die_the_sink_ends_with_the_truth(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    class Here(Life):
        folder = tmp_path_factory.mktemp("lives")

    run_state_machine_as_test(Here, settings=settings(max_examples=25, stateful_step_count=15, deadline=None))
