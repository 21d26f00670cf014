"""What every store of dead letters does. A new driver adds a line to tests/contracts/stores.py."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from harvester import letters as letters_
from harvester.errors import ConfigError
from harvester.protocols import DeadLetters, Letter, letter_id
from tests.contracts.stores import DRIVERS, KEYS, Driver, prepared
from tests.servers.fixtures import Servers

open_letters = partial(letters_.open_letters, access=KEYS)
THEN = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(params=DRIVERS["letters"], ids=str)
async def url(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> str:
    driver = request.param
    assert isinstance(driver, Driver)
    return await prepared(driver, tmp_path, servers)


def letter(name: str, *, group: str = "g", due: datetime | None = None, first: datetime = THEN) -> Letter:
    return Letter(
        id=letter_id(group, name, b""),
        group=group,
        stage="write",
        reason="schema",
        error=f"InvalidEventError: {name}",
        body=b"\0\xff" + name.encode(),
        key=f"opencast/{name}",
        stream="useractions",
        position="17",
        event_id=name,
        first=first,
        last=first,
        due=due,
        version="0.1.0",
    )


async def names(letters: DeadLetters, group: str = "g", due: datetime | None = None, *, without: str = "") -> list[str]:
    return [each.event_id async for each in letters.scan(group, due, without=without)]


async def test_a_letter_comes_back_as_it_was_written_even_to_another_process(url: str) -> None:
    plain = Letter(id="x", group="s", stage="read", reason="not_json", error="", body=b"", first=THEN, last=THEN)
    full = letter("a", due=THEN + SECOND)
    async with open_letters(url) as letters:
        await letters.add([full, plain])
    async with open_letters(url) as letters:
        assert [each async for each in letters.scan("g")] == [full]
        assert [each async for each in letters.scan("s")] == [plain]


async def test_f34_a_letter_added_again_says_what_failed_this_time_and_stays_what_it_is(url: str) -> None:
    first = letter("a", due=THEN)
    again = msgspec.structs.replace(
        first,
        stage="enrich",
        reason="pending",
        error="another",
        version="0.2.0",
        body=b"other",
        key="other",
        position="18",
        first=THEN + SECOND,
        last=THEN + SECOND,
        due=THEN + 2 * SECOND,
    )
    async with open_letters(url) as letters:
        await letters.add([first])
        await letters.add([again])
        (found,) = [each async for each in letters.scan("g")]
    assert found == msgspec.structs.replace(again, attempts=2, body=first.body, key=first.key, position="17", first=THEN)


async def test_f34_the_count_of_attempts_is_the_same_whether_a_retry_counts_itself_or_not(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter("a")])
        (found,) = [each async for each in letters.scan("g")]
        await letters.add([msgspec.structs.replace(found, attempts=found.attempts + 1)])
        await letters.add([letter("a")])
        (found,) = [each async for each in letters.scan("g")]
    assert found.attempts == 3


async def test_batches_added_at_the_same_time_are_all_durable(url: str) -> None:
    async with open_letters(url) as letters:
        await asyncio.gather(*(letters.add([letter(f"{batch}.{n}") for n in range(10)]) for batch in range(30)))
    async with open_letters(url) as letters:
        assert sorted(await names(letters)) == sorted(f"{batch}.{n}" for batch in range(30) for n in range(10))


async def test_a_batch_whose_owner_is_gone_holds_up_no_other_and_nothing_is_left_behind(url: str) -> None:
    async with open_letters(url) as letters:
        for _ in range(20):
            gone = [asyncio.create_task(letters.add([letter("gone")])) for _ in range(3)]
            await asyncio.sleep(0)
            for task in gone:
                task.cancel()
            await letters.add([letter("there")])
            assert "there" in await names(letters)
        last = [asyncio.create_task(letters.add([letter(name)])) for name in ("last", "of all")]
        await asyncio.sleep(0.001)
        last += [asyncio.create_task(letters.add([letter(f"{n}")])) for n in range(3)]
        await asyncio.sleep(0)
        for task in last:
            task.cancel()
        await asyncio.gather(*last, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_one_batch_may_hold_a_letter_twice(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter("a"), letter("b"), letter("a")])
        assert [(each.event_id, each.attempts) async for each in letters.scan("g")] == [("a", 2), ("b", 1)]


async def test_a_late_repeat_does_not_move_the_last_attempt_back(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter("a", first=THEN)])
        await letters.add([letter("a", first=THEN - SECOND)])
        (found,) = [each async for each in letters.scan("g")]
    assert (found.first, found.last) == (THEN, THEN)


async def test_letters_are_scanned_by_group_oldest_first(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter("c"), letter("a"), letter("z", group="other")])
        await letters.add([letter("b")])
        assert await names(letters) == ["c", "a", "b"]
        assert await names(letters, "") == ["c", "a", "z", "b"]
        assert await names(letters, "unknown") == []


async def test_only_what_is_due_by_then_is_scanned_when_asked_so_the_longest_due_first(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add(
            [letter("later", due=THEN + SECOND), letter("now", due=THEN), letter("person"), letter("x", group="o", due=THEN)]
        )
        await letters.add([letter("too", due=THEN)])
        assert await names(letters, "g", THEN - SECOND) == []
        assert await names(letters, "g", THEN) == ["now", "too"]
        assert await names(letters, "g", THEN + SECOND) == ["now", "too", "later"]


async def test_what_is_due_can_be_scanned_without_one_stage(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter("a", due=THEN), msgspec.structs.replace(letter("b", due=THEN), stage="enrich")])
        assert await names(letters, "g", THEN, without="enrich") == ["a"]
        assert await names(letters, "g", THEN, without="write") == ["b"]


async def test_a_scan_of_what_is_due_goes_on_while_its_letters_are_removed_or_put_off(url: str) -> None:
    async with open_letters(url) as letters:
        # More than a page, and all due at once or not at all in the order of adding.
        await letters.add([letter(f"{n:04}", due=THEN + (n % 3) * SECOND) for n in range(270)])
        seen: list[str] = []
        async for each in letters.scan("g", THEN + 2 * SECOND):
            seen.append(each.event_id)
            if len(seen) % 90 == 0:
                await letters.remove([letter(name).id for name in seen[-45:]])
                await letters.add([letter(name, due=THEN + 3 * SECOND) for name in seen[-90:-45]])
        assert seen == sorted((f"{n:04}" for n in range(270)), key=lambda name: (int(name) % 3, name))
        assert len(await names(letters)) == 135


async def test_letters_are_counted_by_group_and_reason(url: str) -> None:
    async with open_letters(url) as letters:
        assert await letters.counts() == {}
        pending = [msgspec.structs.replace(letter(name), reason="pending") for name in "cd"]
        await letters.add([letter("a"), letter("b"), letter("x", group="o"), *pending])
        assert await letters.counts() == {"g": {"schema": 2, "pending": 2}, "o": {"schema": 1}}


async def test_requeue_makes_letters_due_and_remove_ends_them(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter(name) for name in "abc"])
        await letters.requeue([letter("a").id, letter("b").id, "unknown"], THEN)
        assert await names(letters, "g", THEN) == ["a", "b"]
        await letters.remove([letter("a").id, "unknown"])
        assert await names(letters) == ["b", "c"]
        await letters.remove([])
        await letters.requeue([], THEN)
        await letters.add([])
        assert await names(letters) == ["b", "c"]


async def test_what_is_finished_ends_unless_it_was_added_again_since_it_was_read(url: str) -> None:
    async with open_letters(url) as letters, open_letters(url) as others:
        await letters.add([letter(name, due=THEN) for name in "abcd"])
        read = [each async for each in letters.scan("g", THEN)]
        await others.add([letter("b", due=THEN + SECOND)])
        await others.remove([letter("c").id, letter("d").id])
        await others.add([letter("c", first=THEN + SECOND)])
        await letters.finish([*read, letter("unknown")])
        assert [(each.event_id, each.attempts) async for each in letters.scan("g")] == [("b", 2), ("c", 1)]
        assert await letters.counts() == {"g": {"schema": 2}}
        await letters.finish([each async for each in letters.scan("g")])
        await letters.finish([])
        assert await names(letters) == []
        assert await letters.counts() == {}


async def test_a_scan_goes_on_while_its_letters_are_removed_and_others_added(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([letter(f"{n:04}") for n in range(250)])
        seen = []
        async for each in letters.scan("g"):
            seen.append(each.event_id)
            if len(seen) % 50 == 0:
                await letters.remove([letter(name).id for name in seen[-50:]])
                await letters.add([letter(seen[-1])])
            if len(seen) == 300:
                break
        assert seen[:250] == [f"{n:04}" for n in range(250)]


async def test_f34_an_error_is_cut_at_one_kib_without_breaking_a_character(url: str) -> None:
    async with open_letters(url) as letters:
        await letters.add([msgspec.structs.replace(letter("a"), error="x" + "ü" * 1000)])
        (found,) = [each async for each in letters.scan("g")]
    assert found.error == "x" + "ü" * 511


@pytest.mark.parametrize("url", ["letters.db", "ftp://host/letters", "sqlite:///l.db?nothing=1", "s3://", "file://"])
def test_a_wrong_url_is_told_before_anything_is_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        open_letters(url)
    assert list(tmp_path.iterdir()) == []
