"""What books in files promise beyond the contract of every store."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from harvester import bookfile
from harvester.book import encode_book
from harvester.coverage import Book, Coverage, Intervals
from harvester.coverages import open_coverages
from harvester.errors import ConfigError, CoverageResetError, RefusedError
from tests.unit import children
from tests.unit.books import DAY, HOUR, fact, grow, hours
from tests.unit.test_book import sealed


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


def files(directory: Path, pattern: str = "*") -> dict[str, bytes]:
    """What is in the directory."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob(pattern))}


@pytest.fixture
def always_turning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write makes a generation."""
    monkeypatch.setattr(bookfile, "GENERATION_AGE", 0.0)


# Generations


@pytest.mark.usefixtures("always_turning")
async def test_f10_five_generations_are_kept_newest_first(url: str, tmp_path: Path) -> None:
    async with open_coverages(url) as store:
        await grow(store, 0, 9)
    found = files(tmp_path, "s.json*")
    assert list(found) == ["s.json", *(f"s.json.{n}" for n in range(1, 6))]
    ends = [json.loads(body)["streams"]["a"]["read"][0][1] for body in found.values()]
    assert ends == sorted(ends, reverse=True)
    assert len(set(ends)) == 6


async def test_generations_are_turned_at_most_once_a_minute(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json.1"
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 5)
        first = path.read_bytes()
        assert not (tmp_path / "s.json.2").exists()
        old = path.stat().st_mtime - 61
        os.utime(path, (old, old))
        await store.add("s", fact(epoch, 5))
        assert (tmp_path / "s.json.2").read_bytes() == first
        assert path.read_bytes() != first


@pytest.mark.usefixtures("always_turning")
async def test_f10_a_book_with_any_byte_flipped_or_cut_is_read_from_the_generation_before(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    async with open_coverages(url) as store:
        await grow(store, 0, 4)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            found = bookfile.BookFile(path, "s").read()
            assert found.damaged
            assert found.book.streams["a"].read.total == 3 * HOUR
            assert path.read_bytes() == damaged


@pytest.mark.usefixtures("always_turning")
async def test_f10_a_damaged_book_is_told_kept_aside_and_healed_by_the_next_add_only(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 6)
    for name in ("s.json", "s.json.1", "s.json.2"):
        (tmp_path / name).write_bytes(b"{torn")
    before = files(tmp_path)
    async with open_coverages(url) as store:
        with capture_logs() as logs:
            assert await hours(store) == 3
        assert [(each["log_level"], each["file"]) for each in logs] == [("warning", f"{path}.3")]
        assert files(tmp_path) == before
        await store.add("s", fact(epoch, 0))
        assert await hours(store) == 3
    assert (tmp_path / "s.json.damaged").read_bytes() == b"{torn"
    assert (tmp_path / "s.json.3").read_bytes() == before["s.json.3"]
    async with open_coverages(url) as store:
        with capture_logs() as logs:
            assert await hours(store) == 3
        assert logs == []


@pytest.mark.usefixtures("always_turning")
async def test_f10_a_damaged_book_is_told_once_however_often_it_is_read(url: str, tmp_path: Path) -> None:
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 2)
    (tmp_path / "s.json").write_bytes(b"{torn")
    async with open_coverages(url) as store:
        with capture_logs() as logs:
            await store.load("s")
            await store.load("s")
            await store.add("s", fact(epoch, 0))
    assert [line["event"] for line in logs] == ["book damaged, an older one is used"]


@pytest.mark.usefixtures("always_turning")
async def test_f10_a_book_damaged_in_every_generation_stops_all_but_the_operator(url: str, tmp_path: Path) -> None:
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 8)
        names = ["s.json", *(f"s.json.{n}" for n in range(1, 6))]
        for name in names:
            (tmp_path / name).write_bytes(b"")
        before = files(tmp_path)
        for attempt in (store.load("s"), store.add("s", fact(epoch, 8))):
            with pytest.raises(ConfigError, match="harvest coverage reset s") as stopped:
                await attempt
            assert all(str(tmp_path / name) in str(stopped.value) for name in names)
        assert {n: b for n, b in before.items() if ".json" in n} == files(tmp_path, "s.json*")
        await store.reset("s", "a", Coverage(start=DAY))
        assert (await store.load("s")).streams == {"a": Coverage(start=DAY)}
        assert (tmp_path / "s.json.damaged").read_bytes() == b""


@pytest.mark.usefixtures("always_turning")
async def test_a_reset_is_not_undone_by_falling_back_to_what_was_before(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    async with open_coverages(url) as store:
        await grow(store, 0, 6)
        before = path.read_bytes()
        await store.reset("s", "a", Coverage(start=DAY))
        after = await store.load("s")
        assert (tmp_path / "s.json.replaced").read_bytes() == before
        path.write_bytes(b"torn")
        assert await store.load("s") == after
        (tmp_path / "s.json.1").write_bytes(b"torn too")
        with pytest.raises(ConfigError):
            await store.load("s")


@pytest.mark.usefixtures("always_turning")
async def test_e22_deleting_the_book_begins_anew_even_under_a_running_harvester(url: str, tmp_path: Path) -> None:
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 6)
        (tmp_path / "s.json").unlink()
        assert await store.load("s") == Book()
        with pytest.raises(CoverageResetError):
            await store.add("s", fact(epoch, 6))
        await store.add("s", fact("", 9))
        assert (await store.load("s")).epoch != epoch
        assert await hours(store) == 1
        (tmp_path / "s.json").write_bytes(b"torn")
        assert await hours(store) == 1, "a generation from before the deletion was believed"


@pytest.mark.parametrize("age", [0.0, 60.0])
@pytest.mark.parametrize("moment", ["write_durably", "_turn_generations"])
async def test_e22_a_book_that_is_deleted_while_it_is_written_does_not_come_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, age: float
) -> None:
    monkeypatch.setattr(bookfile, "GENERATION_AGE", age)
    place = bookfile if moment == "write_durably" else bookfile.BookFile
    original = getattr(place, moment)

    def late(*args: object) -> object:
        (tmp_path / "s.json").unlink(missing_ok=True)
        return original(*args)

    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 6)
        with monkeypatch.context() as patch:
            patch.setattr(place, moment, late)
            with pytest.raises(CoverageResetError):
                await store.add("s", fact(epoch, 6))
        assert await store.load("s") == Book()
        await store.add("s", fact("", 9))
        assert await hours(store) == 1


async def test_nothing_is_written_when_nothing_is_new(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 3)
        before = path.stat()
        await store.add("s", fact(epoch, 1))
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        await store.add("s", fact(epoch, 4))
        assert path.stat().st_ino != before.st_ino


async def test_a_newer_format_is_refused_and_not_overwritten(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    body = sealed({"format": 2})
    path.write_bytes(body)
    async with open_coverages(url) as store:
        for attempt in (store.load("s"), store.add("s", fact("", 0)), store.reset("s", "a", Coverage())):
            with pytest.raises(ConfigError, match=r"s\.json: the book is of format 2"):
                await attempt
    assert path.read_bytes() == body


async def test_f11_a_book_from_the_future_is_refused(url: str, tmp_path: Path) -> None:
    far = datetime.now(UTC) + timedelta(days=1)
    book = Book(epoch="e", queue="q", streams={"a": Coverage(read=Intervals([(DAY, far)]))})
    (tmp_path / "s.json").write_bytes(encode_book(book))
    async with open_coverages(url) as store:
        with pytest.raises(RefusedError, match="clock"):
            await store.load("s")


# Access


@contextmanager
def no_access(directory: Path) -> Iterator[None]:
    """The directory refuses this process, whoever runs it."""
    directory.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(0o700)


async def test_e17_no_access_is_never_taken_for_nothing(url: str, tmp_path: Path) -> None:
    async with open_coverages(url) as store:
        epoch = await grow(store, 0, 1)
        with no_access(tmp_path):
            for attempt in (
                store.load("s"),
                store.load("other"),
                store.add("s", fact(epoch, 1)),
                store.add("other", fact("", 0)),
            ):
                with pytest.raises(ConfigError, match="Permission denied"):
                    await attempt
            with pytest.raises(ConfigError, match="Permission denied"):
                await open_coverages(f"{url}/below").__aenter__()
        await store.add("s", fact(epoch, 1))
        assert await hours(store) == 2


async def test_a_book_that_is_a_directory_is_told(url: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").mkdir()
    async with open_coverages(url) as store:
        with pytest.raises(ConfigError, match="directory"):
            await store.load("s")


async def test_f13_a_store_without_room_is_busy_and_keeps_what_it_had(tmp_path: Path) -> None:
    code = (
        "import asyncio, resource, sys\n"
        "from datetime import UTC, datetime\n"
        "from harvester.coverage import Book, Coverage\n"
        "from harvester.coverages import open_coverages\n"
        "from harvester.errors import TransientError\n"
        "async def main():\n"
        "    async with open_coverages(sys.argv[1]) as store:\n"
        "        await store.add('s', Book(queue='q', streams={'a': Coverage(notes=b'1')}))\n"
        "        book = await store.load('s')\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "        try:\n"
        "            await store.add('s', Book(epoch=book.epoch, queue='q', streams={'b': Coverage(notes=b'x' * 1000)}))\n"
        "        except TransientError as error:\n"
        "            print(error)\n"
        "        assert await store.load('s') == book\n"
        "asyncio.run(main())\n"
    )
    assert "File too large" in children.run(code, f"file://{tmp_path}").stdout
    assert list(files(tmp_path)) == ["s.json", "s.json.1", "s.lock"]
