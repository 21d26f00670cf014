"""What dead letters in a file promise beyond the contract of every store."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harvester.letters import open_letters, sqlite
from harvester.protocols import Letter
from harvester.redact import know
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

    def counted(*arguments: Any) -> Any:
        after, letters = page(*arguments)
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


async def test_a_file_made_before_letters_were_taken_in_turn_is_read(tmp_path: Path) -> None:
    async with open_letters(f"sqlite:///{tmp_path}/letters.db"):
        pass
    with closing(sqlite3.connect(tmp_path / "letters.db")) as connection:
        connection.execute("DROP INDEX letters_in_turn")
    async with open_letters(f"sqlite:///{tmp_path}/letters.db") as letters:
        await letters.add(
            [Letter(id="a", group="g", stage="write", reason="r", error="", body=b"", first=NOW, last=NOW, due=NOW)]
        )
        assert [letter.id async for letter in letters.scan("g", NOW)] == ["a"]


async def test_a_page_of_what_is_due_costs_a_page_however_many_wait(tmp_path: Path) -> None:
    """Sorting all that is due to find the first, or reading what is left out, would be work without end for 100,000 of them."""
    async with open_letters(f"sqlite:///{tmp_path}/letters.db"):
        pass
    with closing(sqlite3.connect(tmp_path / "letters.db")) as connection:
        values = {"grp": "g", "until": 1, "due": 0, "after": 0, "without": "enrich", "limit": 200}
        plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {sqlite._SCAN_DUE}", values)]
    assert len(plan) == 1
    assert "letters_in_turn (grp=? AND due" in plan[0]


async def test_s05_no_secret_is_stored_with_the_error_that_repeats_it(tmp_path: Path) -> None:
    know(["c4nary-passw0rd"])
    try:
        error = "400 for _bulk: c4nary-passw0rd, Basic aGFydmVzdGVyOmM0bmFyeQ==, at https://u:c4nary-userinfo@host/x"
        letter = Letter(id="1", group="g", stage="write", reason="r", error=error, body=b"", first=NOW, last=NOW)
        async with open_letters(f"sqlite:///{tmp_path}/letters.db") as letters:
            await letters.add([letter])
            (stored,) = [each async for each in letters.scan("g")]
    finally:
        know([])
    assert stored.error == "400 for _bulk: ***, Basic ***, at https://u:***@host/x"
    assert await asyncio.to_thread(lambda: [p for p in tmp_path.iterdir() if b"c4nary" in p.read_bytes()]) == []


async def test_what_was_begun_is_in_the_file_when_it_is_closed_though_nobody_waits_for_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/letters.db"
    async with open_letters(url) as letters:
        adding = []
        for id_ in ("written now", "gathered meanwhile"):
            about: Any = {"group": "g", "stage": "write", "reason": "r", "error": "", "body": b"", "first": NOW, "last": NOW}
            adding.append(asyncio.create_task(letters.add([Letter(id=id_, **about)])))
            for _ in range(5):
                await asyncio.sleep(0)
        for task in adding:
            task.cancel()
        await asyncio.gather(*adding, return_exceptions=True)
    assert await ids(url, "g") == ["written now", "gathered meanwhile"]
