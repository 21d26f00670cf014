"""Objects in a folder: what survives when the machine loses its power."""

import asyncio
import time
from pathlib import Path

import pytest

from harvester.disk import sync_directory
from harvester.objects import open_objects
from harvester.objects.file import cannot


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose names were made durable, in order."""
    found: list[Path] = []

    def sync(path: Path) -> None:
        sync_directory(path)
        found.append(path)

    monkeypatch.setattr("harvester.objects.file.sync_directory", sync)
    return found


async def test_a_new_object_is_durable_with_every_folder_that_it_is_in(tmp_path: Path, synced: list[Path]) -> None:
    store = tmp_path / "var/archive"
    async with open_objects(f"file://{store}") as objects:
        await objects.put("a/b/one", b"1")
    # Each folder is synced after what was made in it, and what holds it before the object is.
    assert set(synced) == {tmp_path, tmp_path / "var", store, store / "a", store / "a/b"}
    assert synced[-1] == store / "a/b"
    assert synced.index(store) < synced.index(store / "a") < len(synced) - 1


async def test_folders_that_are_known_to_be_durable_cost_nothing_and_those_of_others_are_synced_once(
    tmp_path: Path, synced: list[Path]
) -> None:
    async with open_objects(f"file://{tmp_path}/store") as objects:
        await objects.put("a/one", b"1")
        synced.clear()
        await objects.put("a/two", b"2")
        assert synced == [tmp_path / "store/a"]
    synced.clear()
    async with open_objects(f"file://{tmp_path}/store") as objects:  # of a process that may have died before its sync
        await objects.put("a/three", b"3")
    assert tmp_path / "store" in synced


async def test_a_folder_that_somebody_took_away_is_made_again(tmp_path: Path) -> None:
    async with open_objects(f"file://{tmp_path}/store") as objects:
        await objects.put("a/b/one", b"1")
        await objects.delete(["a/b/one"])
        (tmp_path / "store/a/b").rmdir()
        (tmp_path / "store/a").rmdir()
        await objects.put("a/b/one", b"2")
        assert (await objects.get("a/b/one") or b"")[0] == b"2"


def test_why_no_objects_can_be_kept_in_a_folder_is_told_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_text("no folder")
    assert cannot(tmp_path / "a/b") == ""
    assert cannot(tmp_path / "plain/b") == f"{tmp_path}/plain is no folder"
    monkeypatch.setattr("os.access", lambda *_: False)  # who runs the tests may be root
    assert cannot(tmp_path / "a/b") == f"this process may not write into {tmp_path}"
    assert [*tmp_path.iterdir()] == [tmp_path / "plain"]


async def test_many_writes_of_one_process_wait_for_each_other_and_none_is_refused_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.objects.file.sync_directory", lambda _: time.sleep(0.01))  # a slow disk
    url = f"file://{tmp_path}/store?patience=0.02"
    async with open_objects(url) as one, open_objects(url) as other:  # the archive's, and that of the checkpoint beside it
        puts = [store.put(f"{number}", b"1", replaces="") for number, store in enumerate([one, other] * 8)]
        await asyncio.gather(*puts)
        assert len([name async for name in one.names("")]) == len(puts)
