"""What every store of objects does. A new driver adds a line to tests/contracts/stores.py."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from harvester import objects as objects_
from harvester.errors import ConfigError, ConflictError
from harvester.protocols import Objects
from tests.contracts.stores import DRIVERS, KEYS, Driver, prepared
from tests.servers.fixtures import Servers

open_objects = partial(objects_.open_objects, access=KEYS)


@pytest.fixture(params=DRIVERS["objects"], ids=str)
async def url(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> str:
    driver = request.param
    assert isinstance(driver, Driver)
    return await prepared(driver, tmp_path, servers)


async def names(objects: Objects, prefix: str = "", after: str = "") -> list[str]:
    return [name async for name in objects.names(prefix, after)]


async def test_what_was_put_is_got_and_what_was_not_is_none(url: str) -> None:
    async with open_objects(url) as objects:
        tag = await objects.put("a/b%2F=c_1.json", bytes(range(256)))
        await objects.put("empty", b"")
    async with open_objects(url) as objects:
        found = await objects.get("a/b%2F=c_1.json")
        assert found == (bytes(range(256)), tag)
        empty = await objects.get("empty")
        assert empty is not None
        assert empty.body == b""
        assert await objects.get("a/b") is None
        assert await objects.get("none") is None


async def test_a_write_on_a_condition_that_does_not_hold_is_lost_and_changes_nothing(url: str) -> None:
    async with open_objects(url) as objects:
        first = await objects.put("a", b"1", replaces="")
        with pytest.raises(ConflictError):
            await objects.put("a", b"2", replaces="")
        second = await objects.put("a", b"3", replaces=first)
        with pytest.raises(ConflictError):
            await objects.put("a", b"4", replaces=first)
        with pytest.raises(ConflictError):
            await objects.put("none", b"4", replaces=first)
        assert await objects.get("a") == (b"3", second)
        assert await objects.get("none") is None
        await objects.delete(["a"])
        with pytest.raises(ConflictError):
            await objects.put("a", b"5", replaces=second)
        await objects.put("a", b"6", replaces="")


async def test_what_another_wrote_since_is_not_deleted_as_what_was_read(url: str) -> None:
    async with open_objects(url) as objects:
        old = await objects.put("a", b"1")
        new = await objects.put("a", b"2")
        assert not await objects.delete_as("a", old)
        assert await objects.get("a") == (b"2", new)
        assert await objects.delete_as("a", new)
        assert await objects.get("a") is None
        assert not await objects.delete_as("a", new)


async def test_of_writers_at_the_same_time_each_but_one_is_told_that_it_lost(url: str) -> None:
    async with open_objects(url) as one, open_objects(url) as two:
        done = await asyncio.gather(
            *(store.put("a", str(n).encode(), replaces="") for n, store in enumerate([one, two] * 5)), return_exceptions=True
        )
    assert sorted(type(result).__name__ for result in done) == ["ConflictError"] * 9 + ["str"]


async def test_names_come_by_prefix_in_order_behind_any_of_them(url: str) -> None:
    async with open_objects(url) as objects:
        put = ["b/2", "a", "b/10", "b0", "b/1/x", "ab/c"]
        for name in put:
            await objects.put(name, b"x")
        assert await names(objects) == sorted(put)
        assert await names(objects, "b/") == ["b/1/x", "b/10", "b/2"]
        assert await names(objects, "b/1") == ["b/1/x", "b/10"]
        assert await names(objects, "b/", "b/1/x") == ["b/10", "b/2"]
        assert await names(objects, "c") == []


async def test_more_than_a_page_of_names_is_listed_and_deleted(url: str) -> None:
    async with open_objects(url) as objects:
        many = [f"many/{n:04}" for n in range(1100)]
        for first in range(0, 1100, 50):
            await asyncio.gather(*(objects.put(name, b"") for name in many[first : first + 50]))
        assert await names(objects, "many/") == many
        await objects.delete([*many[:-1], "never/there"])
        assert await names(objects, "many/") == many[-1:]
        await objects.delete([])


@pytest.mark.parametrize(
    "url",
    [
        "objects",
        "ftp://host/x",
        "file://",
        "file://x?nothing=1",
        "s3://",
        "s3://k:s@b/x",
        "s3://b?no=1",
        "gs://",
        "gs://k@b",
        "gs://b?endpoint=x",
    ],
)
def test_a_wrong_url_is_told_before_anything_is_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        open_objects(url)
    assert list(tmp_path.iterdir()) == []
