"""What every store of coverage does. A new driver adds a line to tests/contracts/stores.py."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from harvester import coverages
from harvester.coverage import Book, Coverage, Intervals
from harvester.errors import ConfigError, CoverageResetError, RefusedError
from harvester.protocols import CoverageStore
from tests.contracts.stores import DRIVERS, KEYS, Driver, prepared
from tests.servers.fixtures import Servers

open_coverages = partial(coverages.open_coverages, access=KEYS)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SOURCE = "github/acme"


@pytest.fixture(params=DRIVERS["coverage"], ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    found = request.param
    assert isinstance(found, Driver)
    return found


@pytest.fixture
async def url(driver: Driver, tmp_path: Path, servers: Servers) -> str:
    return await prepared(driver, tmp_path, servers)


def opened_at(driver: Driver, url: str, now: datetime) -> AbstractAsyncContextManager[CoverageStore]:
    """The store, on a host whose clock stands there."""
    opened: AbstractAsyncContextManager[CoverageStore] = import_module(f"harvester.coverages.{driver.name}").open_coverages(
        url, KEYS, now=lambda: now
    )
    return opened


def hours(*pairs: tuple[int, int]) -> Intervals:
    return Intervals((DAY + start * HOUR, DAY + end * HOUR) for start, end in pairs)


def facts(epoch: str, *pairs: tuple[int, int], stream: str = "pulls", queue: str = "q") -> Book:
    return Book(epoch=epoch, queue=queue, streams={stream: Coverage(start=DAY, read=hours(*pairs))})


async def created(store: CoverageStore) -> Book:
    """The book of SOURCE, with one hour of one stream."""
    await store.add(SOURCE, facts("", (0, 1)))
    return await store.load(SOURCE)


async def test_f09_nothing_stored_is_an_empty_book_without_an_epoch(url: str) -> None:
    async with open_coverages(url) as store:
        assert await store.load(SOURCE) == Book()


async def test_what_was_added_is_loaded_to_the_last_microsecond(url: str) -> None:
    exact = DAY + timedelta(microseconds=1)
    coverage = Coverage(
        start=exact,
        read=Intervals([(exact, exact + HOUR), (exact + 2 * HOUR, exact + 3 * HOUR)]),
        settled=Intervals([(exact, exact + HOUR / 2)]),
        notes=bytes(range(256)),
        notes_at=exact + HOUR,
    )
    streams = {"pulls": coverage, "": Coverage(), "ä/\0..": Coverage(start=DAY)}
    async with open_coverages(url) as store:
        await store.add(SOURCE, Book(queue="q", streams=streams))
    async with open_coverages(url) as store:
        book = await store.load(SOURCE)
    assert book.streams == streams
    assert book.queue == "q"
    assert book.epoch


async def test_books_of_sources_are_apart(url: str) -> None:
    names = ["a", "a/b", "a%2Fb", "..", "a.json", "x" * 300, "x" * 301, "ü"]
    async with open_coverages(url) as store:
        for number, name in enumerate(names):
            await store.add(name, facts("", (number, number + 1)))
        for number, name in enumerate(names):
            assert (await store.load(name)).streams["pulls"].read == hours((number, number + 1))


async def test_adding_is_union_and_leaves_other_streams_alone(url: str) -> None:
    async with open_coverages(url) as store:
        epoch = (await created(store)).epoch
        await store.add(SOURCE, facts(epoch, (1, 2)))
        await store.add(SOURCE, facts(epoch, (5, 6), stream="issues"))
        await store.add(SOURCE, Book(epoch=epoch, streams={"pulls": Coverage(start=DAY - HOUR, settled=hours((0, 1)))}))
        book = await store.load(SOURCE)
    assert book.epoch == epoch
    assert book.queue == "q"
    assert book.streams["pulls"] == Coverage(start=DAY - HOUR, read=hours((0, 2)), settled=hours((0, 1)))
    assert book.streams["issues"].read == hours((5, 6))


async def test_f12_writers_that_add_at_the_same_time_lose_nothing(url: str) -> None:
    async with open_coverages(url) as one, open_coverages(url) as two:
        epoch = (await created(one)).epoch
        adding = [
            store.add(SOURCE, facts(epoch, (2 * n + k, 2 * n + k + 1))) for n in range(15) for k, store in enumerate((one, two))
        ]
        await asyncio.gather(*adding)
        assert (await one.load(SOURCE)).streams["pulls"].read == hours((0, 30))
        assert await one.load(SOURCE) == await two.load(SOURCE)


async def test_f12_of_two_that_create_a_book_one_is_told_to_load_it(url: str) -> None:
    async with open_coverages(url) as one, open_coverages(url) as two:
        results = await asyncio.gather(
            one.add(SOURCE, facts("", (0, 1))), two.add(SOURCE, facts("", (1, 2))), return_exceptions=True
        )
        assert sorted(type(result).__name__ for result in results) == ["CoverageResetError", "NoneType"]


async def test_f11_after_a_reset_what_was_known_before_is_refused(url: str) -> None:
    async with open_coverages(url) as store, open_coverages(url) as other:
        before = await created(store)
        await other.add(SOURCE, facts(before.epoch, (5, 6), stream="issues"))
        await other.reset(SOURCE, "pulls", Coverage(start=DAY + HOUR))
        with pytest.raises(CoverageResetError):
            await store.add(SOURCE, facts(before.epoch, (1, 2)))
        after = await store.load(SOURCE)
        assert after.epoch not in ("", before.epoch)
        assert after.streams["pulls"] == Coverage(start=DAY + HOUR)
        assert after.streams["issues"].read == hours((5, 6))
        await store.add(SOURCE, facts(after.epoch, (1, 2)))


async def test_a_reset_of_what_is_not_stored_begins_a_book(url: str) -> None:
    async with open_coverages(url) as store:
        await store.reset(SOURCE, "pulls", Coverage(start=DAY))
        book = await store.load(SOURCE)
        assert book.epoch
        assert book.streams == {"pulls": Coverage(start=DAY)}
        await store.add(SOURCE, facts(book.epoch, (0, 1)))


async def test_a_book_without_facts_is_free_for_another_queue(url: str) -> None:
    async with open_coverages(url) as store:
        await created(store)
        await store.reset(SOURCE, "pulls", Coverage())
        epoch = (await store.load(SOURCE)).epoch
        await store.add(SOURCE, facts(epoch, (0, 1), queue="another"))
        assert (await store.load(SOURCE)).queue == "another"


async def test_f09_facts_for_another_queue_are_refused_with_the_ways_on(url: str) -> None:
    async with open_coverages(url) as store:
        before = await created(store)
        with pytest.raises(RefusedError, match=r"q.*another.*harvest coverage reset"):
            await store.add(SOURCE, facts(before.epoch, (1, 2), queue="another"))
        assert await store.load(SOURCE) == before


async def test_a_book_that_was_never_loaded_cannot_be_added_to(url: str) -> None:
    async with open_coverages(url) as store:
        with pytest.raises(CoverageResetError):
            await store.add(SOURCE, facts("0123456789abcdef", (0, 1)))
        await created(store)
        with pytest.raises(CoverageResetError):
            await store.add(SOURCE, facts("", (0, 1)))


async def test_f11_a_book_that_lies_in_the_future_is_refused(driver: Driver, url: str) -> None:
    now = DAY + HOUR - timedelta(minutes=5)
    async with opened_at(driver, url, now) as store:
        with pytest.raises(RefusedError):
            await store.add(SOURCE, facts("", (0, 2)))
        assert await store.load(SOURCE) == Book()
        await created(store)
    async with opened_at(driver, url, now - timedelta(microseconds=1)) as store:
        with pytest.raises(RefusedError, match=r"pulls.*harvest coverage reset"):
            await store.load(SOURCE)
        await store.reset(SOURCE, "pulls", Coverage(start=DAY))
        assert (await store.load(SOURCE)).streams["pulls"] == Coverage(start=DAY)


async def test_e21_a_second_lease_is_refused_with_the_name_of_the_first(url: str) -> None:
    async with open_coverages(url) as store, open_coverages(url) as other:
        async with store.lease(SOURCE, "pulls", "host-a pid 1"):
            for each in (store, other):
                with pytest.raises(RefusedError, match="host-a pid 1"):
                    await each.lease(SOURCE, "pulls", "host-b pid 2").__aenter__()
            async with other.lease(SOURCE, "issues", "host-b pid 2"), other.lease("github", "acme+pulls", "host-b pid 2"):
                pass
            assert await other.owners(SOURCE) == {"pulls": "host-a pid 1"}
        async with other.lease(SOURCE, "pulls", "host-b pid 2"):
            assert await store.owners(SOURCE) == {"pulls": "host-b pid 2"}
        assert await store.owners(SOURCE) == {}


async def test_a_cancelled_holder_gives_its_lease_back(url: str) -> None:
    async with open_coverages(url) as store:
        held = asyncio.Event()

        async def hold() -> None:
            async with store.lease(SOURCE, "pulls", "a"):
                held.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await held.wait()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        async with store.lease(SOURCE, "pulls", "b"):
            pass


async def test_a_holder_that_is_cancelled_while_the_store_is_busy_gives_its_lease_back(url: str) -> None:
    async with open_coverages(url) as store:
        for turns in range(8):
            held, leave = asyncio.Event(), asyncio.Event()

            async def hold(held: asyncio.Event = held, leave: asyncio.Event = leave) -> None:
                async with store.lease(SOURCE, "pulls", "a"):
                    held.set()
                    await leave.wait()

            holding = asyncio.create_task(hold())
            await held.wait()
            busy = [asyncio.create_task(store.load(SOURCE)) for _ in range(50)]
            await asyncio.sleep(0)
            leave.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            holding.cancel()
            await asyncio.gather(holding, *busy, return_exceptions=True)
            async with store.lease(SOURCE, "pulls", "b"):
                pass


@pytest.mark.parametrize(
    "url",
    [
        "coverage",
        "ftp://host/x",
        "file://",
        "file:///",
        "file://x?nothing=1",
        "redis://h/x",
        "redis://u:p@h/0",
        "s3://",
        "s3://b?no=1",
    ],
)
def test_a_wrong_url_is_told_before_anything_is_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        open_coverages(url)
    assert list(tmp_path.iterdir()) == []
