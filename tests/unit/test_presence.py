"""A book that names a queue which is not here: refused, unless the queue came meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harvester.access import Access
from harvester.commands import presence
from harvester.coverage import Book, Coverage, Intervals
from harvester.coverages import open_coverages
from harvester.errors import RefusedError
from harvester.protocols import CoverageStore
from harvester.settings import CoreSettings, load
from tests.fakes import HOUR, NOON

READ = Coverage(start=NOON - HOUR, read=Intervals([(NOON - HOUR, NOON)]))


@pytest.fixture
async def core(tmp_path: Path) -> CoreSettings:
    found = load(CoreSettings, environ={}, cwd=tmp_path).get(CoreSettings)
    places = {"queue_url": f"sqlite:///{tmp_path}/queue.db", "coverage_url": f"file://{tmp_path}/coverage"}
    core = found.model_copy(update=places)
    async with open_coverages(core.coverage_url) as store:
        await store.add("opencast", Book(queue="q", streams={"useractions": READ}))
    return core


async def test_a_book_of_a_queue_that_is_not_here_is_refused_and_no_queue_is_made(core: CoreSettings, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"queue q.*harvest coverage reset"):
        await presence.refuse_new_queue(core, ["opencast"])
    assert not (tmp_path / "queue.db").exists()


async def test_f12_of_two_that_begin_at_once_none_is_refused_for_the_queue_that_the_other_has_just_made(
    core: CoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def meanwhile(url: str, access: Access) -> AsyncIterator[CoverageStore]:
        (tmp_path / "queue.db").touch()
        async with open_coverages(url, access) as store:
            yield store

    monkeypatch.setattr(presence, "open_coverages", meanwhile)
    await presence.refuse_new_queue(core, ["opencast"])
