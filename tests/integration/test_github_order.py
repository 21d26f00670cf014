"""A collection writes the archive before every warehouse, also while others publish to its queue, or read the archive's group."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harvester.commands import github_draining
from harvester.commands.parts import Stores
from harvester.commands.run import feed
from harvester.loading import Loaded
from tests.github_site import held, organisation, site_of, true

LOADED = cast("Loaded", None)


def test_b43_what_a_daemon_publishes_after_the_archive_was_written_waits_for_it(tmp_path: Path) -> None:
    fed = list[str]()

    async def interrupted(name: str, loaded: Loaded, stores: Stores, stop: asyncio.Event, **more: Any) -> Mapping[str, int]:
        counts = await feed(name, loaded, stores, stop, **more)
        fed.append(name)
        await stores.queue.publish([one.message for one in await stores.queue.peek(-3, 3)])
        return counts

    def lags() -> Mapping[str, int]:
        return {group["name"]: group["lag"] for group in site.harvest("queue", "groups", "--json").json}

    with organisation() as github, pytest.MonkeyPatch.context() as patch:
        site = site_of(tmp_path, github)
        patch.setattr(github_draining, "feed", interrupted)
        assert site.harvest("github", "backfill", "--days", "11").code == 0
        patch.undo()
        assert fed == ["archive", "duckdb"]
        assert lags() == {"archive": 6, "duckdb": 6}
        assert held(site) == true(github)
        assert site.harvest("github", "collect").code == 0
        assert lags() == {"archive": 0, "duckdb": 0}


async def test_b43_what_another_member_of_the_archives_group_took_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = [{"0": 3, "1": 1}, {"0": 3, "1": 4}]

    class Two:
        async def reached(self, _: str) -> Mapping[str, int]:
            return reached.pop(0) if len(reached) > 1 else reached[0]

        async def ends(self) -> Mapping[str, int]:
            return {"0": 3, "1": 4}

    async def nothing(*_: object) -> github_draining.Drained:
        return github_draining.Drained({})

    monkeypatch.setattr(github_draining, "drain", nothing)
    monkeypatch.setattr(github_draining, "PAUSE", 0.0)
    stores = cast("Stores", SimpleNamespace(queue=Two()))
    done = [(name, done.why) async for name, done in github_draining.drained(["archive", "duckdb"], "archive", LOADED, stores)]
    assert done == [("archive", ""), ("duckdb", "")]
    reached[:] = [{"0": 3, "1": 1}]
    done = [(name, done.why) async for name, done in github_draining.drained(["archive", "duckdb"], "archive", LOADED, stores)]
    assert [name for name, _ in done] == ["archive"]
    assert "another member" in done[0][1]
