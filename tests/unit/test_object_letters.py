"""Letters as objects: what becomes of names and letters when writers and readers cross, or stop half way."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harvester.errors import ConfigError
from harvester.letters import objects as module
from harvester.letters.objects import ObjectLetters
from harvester.objects.file import FileObjects, FileOptions
from harvester.protocols import Letter, letter_id

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def letter(name: str, due: datetime | None = None) -> Letter:
    return Letter(
        id=letter_id("g", name, b""),
        group="g",
        stage="write",
        reason="schema",
        error="",
        body=name.encode(),
        event_id=name,
        first=THEN,
        last=THEN,
        due=due,
    )


class Paused:
    """Objects that let somebody else act just before a letter itself is written."""

    def __init__(self, objects: FileObjects) -> None:
        self._objects = objects
        self.before: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        if name.startswith("ids/") and self.before is not None:
            act, self.before = self.before, None
            await act()
        return await self._objects.put(name, body, replaces=replaces)


@pytest.fixture
def objects(tmp_path: Path) -> FileObjects:
    return FileObjects(tmp_path, FileOptions())


async def found(letters: ObjectLetters, due: datetime | None = None) -> list[str]:
    return [each.event_id async for each in letters.scan("g", due)]


async def test_a_scan_between_the_names_and_the_letter_hides_no_letter(objects: FileObjects) -> None:
    paused = Paused(objects)
    writer, reader = ObjectLetters(paused), ObjectLetters(objects)

    async def scanned() -> None:
        assert await found(reader) == []
        assert await found(reader, THEN) == []

    paused.before = scanned
    await writer.add([letter("a", THEN)])
    assert (await found(reader), await found(reader, THEN)) == (["a"], ["a"])
    await writer.add([letter("a")])

    async def waits() -> None:
        assert await found(reader, THEN + SECOND) == []

    paused.before = waits
    await writer.requeue([letter("a").id], THEN)
    assert await found(reader, THEN) == ["a"]


async def test_a_writer_that_stood_still_for_long_stands_its_names_up_again(
    objects: FileObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = Paused(objects)
    writer = ObjectLetters(paused)

    async def swept() -> None:
        await objects.delete([name async for name in objects.names("turns/")])
        monkeypatch.setattr(module, "_STALE", -1.0)

    paused.before = swept
    await writer.add([letter("a")])
    assert await found(writer) == ["a"]


async def test_names_whose_letter_never_came_are_removed_in_the_end(
    objects: FileObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = ObjectLetters(objects)
    await letters.add([letter("a", THEN)])
    await objects.delete([f"ids/{letter('a').id}"])
    assert await found(letters) == []
    assert len([name async for name in objects.names("")]) == 2
    monkeypatch.setattr(module, "_STALE", -1.0)
    assert (await found(letters), await found(letters, THEN)) == ([], [])
    assert [name async for name in objects.names("")] == []


async def test_a_letter_that_lost_its_names_is_found_when_it_is_added_again(objects: FileObjects) -> None:
    letters = ObjectLetters(objects)
    await letters.add([letter("a")])
    await objects.delete([name async for name in objects.names("turns/")])
    assert await found(letters) == []
    await letters.add([letter("a")])
    assert await found(letters) == ["a"]


async def test_members_that_add_a_letter_at_the_same_time_lose_no_attempt(objects: FileObjects) -> None:
    paused = Paused(objects)
    one, other = ObjectLetters(paused), ObjectLetters(objects)

    async def first() -> None:
        await other.add([letter("a", THEN)])

    paused.before = first
    await one.add([letter("a", THEN + SECOND)])
    (kept,) = [each async for each in one.scan("g")]
    assert (kept.attempts, kept.due) == (2, THEN + SECOND)
    assert len([name async for name in objects.names("")]) == 3  # the letter, its turn, its due


async def test_a_letter_of_a_newer_format_or_damaged_stops_with_what_to_do(objects: FileObjects) -> None:
    letters = ObjectLetters(objects)
    await letters.add([letter("a")])
    for body, told in ((msgspec.json.encode({"format": 2}), "upgrade this process"), (b"{", "is damaged.*restore it")):
        await objects.put(f"ids/{letter('a').id}", body)
        with pytest.raises(ConfigError, match=told):
            await found(letters)
