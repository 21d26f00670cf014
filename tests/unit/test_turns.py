"""Turns: a lease whose term passed is given back by him who held it, once he looks."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harvester import turns
from harvester.coverages import open_coverages
from harvester.errors import RefusedError, TransientError
from harvester.lock import me
from harvester.turns import Owners, Turn


class Fading:
    """Leases whose terms pass when they are told to, as those of a server do."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.away = False
        self.looks = 0

    @asynccontextmanager
    async def lease(self, _: str, stream: str, owner: str) -> AsyncIterator[None]:
        if self.held.setdefault(stream, owner) != owner:
            raise RefusedError(f"{stream} is held by {self.held[stream]}")
        yield
        if self.held.get(stream) == owner:
            del self.held[stream]

    async def owners(self, _: str) -> Mapping[str, str]:
        self.looks += 1
        if self.away:
            raise TransientError("away")
        return {**self.held}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Fading:
    monkeypatch.setattr(turns, "LOOK_EVERY", 0.0)
    return Fading()


async def test_f12_a_turn_that_another_took_meanwhile_is_given_back_and_his_lease_is_left_alone(store: Fading) -> None:
    told: list[bool] = []
    turn = Turn(Owners(store, "s"), "a", told.append)  # type: ignore[arg-type]
    await turn.take()
    assert await turn.kept()
    store.held["a"] = "the other"  # frozen past the term, and thawed
    assert not await turn.kept()
    assert (told, store.held) == ([True, False], {"a": "the other"})
    with pytest.raises(RefusedError):
        await turn.take()
    del store.held["a"]
    await turn.take()
    await turn.give_back()
    assert (told, store.held) == ([True, False, True, False], {})


async def test_a_turn_is_kept_while_nobody_can_tell_who_has_it(store: Fading) -> None:
    turn = Turn(Owners(store, "s"), "a")  # type: ignore[arg-type]
    await turn.take()
    store.away = True
    assert await turn.kept()
    store.away = False
    del store.held["a"]
    assert await turn.kept()


async def test_five_thousand_turns_cost_one_look(store: Fading) -> None:
    owners = Owners(store, "s", every=60)  # type: ignore[arg-type]
    found = [Turn(owners, f"{n}") for n in range(5000)]
    for turn in found:
        await turn.take()
    assert all([await turn.kept() for turn in found])
    assert store.looks == 1


async def test_a_turn_is_a_lease_of_the_real_store_that_another_is_refused(tmp_path: Path) -> None:
    async with open_coverages(f"file://{tmp_path}") as store:
        turn = Turn(Owners(store, "s"), "a")
        await turn.take()
        with pytest.raises(RefusedError, match=r".*pid"):
            await Turn(Owners(store, "s"), "a").take()
        assert await turn.owner() == me()
        await turn.give_back()
        assert await store.owners("s") == {}
