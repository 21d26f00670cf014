"""What dead letters in a file promise beyond the contract of every store."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harvester.letters import open_letters, sqlite
from harvester.protocols import Letter
from tests.unit import children

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ADD = """
import asyncio, sys
from datetime import UTC, datetime
from harvester.letters import open_letters
from harvester.protocols import Letter

async def main(url, name):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with open_letters(url) as letters:
        for n in range(20):
            pair = [f"{name}{n}{half}" for half in "ab"]
            about = {"group": name, "stage": "write", "reason": "r", "error": "", "body": b"", "first": now, "last": now}
            await letters.add([Letter(id=id_, **about) for id_ in pair])
            print(*pair, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def ids(url: str, group: str) -> list[str]:
    async with open_letters(url) as letters:
        return [letter.id async for letter in letters.scan(group)]


@pytest.mark.parametrize("place", ["letters.before_add", "letters.after_add"])
async def test_f34_a_kill_while_adding_keeps_whole_batches_and_all_that_were_acknowledged(tmp_path: Path, place: str) -> None:
    url = f"sqlite:///{tmp_path}/letters.db"
    done = await asyncio.to_thread(children.run, ADD, url, "g", crash_at=f"{place}:4")
    acknowledged = done.stdout.split()
    assert len(acknowledged) == 6
    assert await ids(url, "g") == acknowledged + (["g3a", "g3b"] if place == "letters.after_add" else [])


async def test_two_processes_add_at_the_same_time_and_lose_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/letters.db"
    done = await asyncio.gather(*(asyncio.to_thread(children.run, ADD, url, name) for name in ("x", "y")))
    for name, child in zip(("x", "y"), done, strict=True):
        assert await ids(url, name) == child.stdout.split()


async def test_a_scan_holds_only_a_few_letters_however_large_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_PAGE_BYTES", 2500)
    asked: list[int] = []
    page = sqlite._page

    def counted(*arguments: object) -> tuple[int, list[Letter]]:
        after, letters = page(*arguments)  # type: ignore[arg-type]
        asked.append(len(letters))
        return after, letters

    monkeypatch.setattr(sqlite, "_page", counted)
    async with open_letters(f"sqlite:///{tmp_path}/letters.db") as letters:
        large = [
            Letter(id=f"{n}", group="g", stage="read", reason="r", error="", body=b"x" * 1000, first=NOW, last=NOW)
            for n in range(7)
        ]
        await letters.add(large)
        assert [letter async for letter in letters.scan("")] == large
    assert asked == [3, 3, 1, 0]


async def test_letters_are_counted_by_group_and_reason(tmp_path: Path) -> None:
    async with sqlite.open_sqlite(tmp_path / "letters.db", sqlite.SqliteOptions()) as letters:
        assert await letters.counts() == {}
        for number, (group, reason) in enumerate([("g", "schema"), ("g", "schema"), ("g", "pending"), ("h", "schema")]):
            await letters.add(
                [Letter(id=f"{number}", group=group, stage="write", reason=reason, error="", body=b"", first=NOW, last=NOW)]
            )
        assert await letters.counts() == {"g": {"schema": 2, "pending": 1}, "h": {"schema": 1}}
