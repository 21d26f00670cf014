"""What every sink does whose records can be brought up to date about another thing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers.amending import Amender, Amendment
from consumers.records.opencast import Episode, UserAction, series_parts
from consumers.records.opencast_episode import Recording
from harvester.event import Event
from harvester.sources.opencast_episodes import episode_event, gone_event
from tests import services
from tests.contracts.sinks import Driver, driver_named
from tests.servers.fixtures import Servers
from tests.useractions import FOUND, action, useraction_event

AMENDERS = ("duckdb", *services.ELASTICSEARCH)
MPID = action()["mediapackageId"]
RENAMED = series_parts(
    Episode(title="Lecture 10, edition 2", start=datetime(2015, 7, 22, 15, 59, tzinfo=UTC), series="20150333383")
)


@pytest.fixture(params=AMENDERS)
def driver(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


async def write(driver: Driver, path: Path, *events: Event) -> None:
    async with driver.open(path) as sink:
        assert list(await sink.write(events)) == []


async def amend(driver: Driver, path: Path, content: Episode = RENAMED, *, read_at: datetime | None = None) -> int:
    change = Amendment(UserAction, "opencast", "mpid", MPID, "episode", content, read_at or datetime.now(UTC))
    async with driver.open(path) as sink:
        assert isinstance(sink, Amender)
        return await sink.amend([change])


def titles(driver: Driver, path: Path) -> dict[tuple[str, int], Any]:
    return {(row["source"], row["id"]): row["title"] for row in driver.rows(path)}


async def test_records_say_what_the_thing_is_now_and_all_else_stays(driver: Driver, tmp_path: Path) -> None:
    other = useraction_event(103, context=FOUND, mediapackageId="another")
    elsewhere = useraction_event(104, context=FOUND, source="opencast/two")
    await write(driver, tmp_path, *(useraction_event(n, version=n, context=FOUND) for n in (101, 102)), other, elsewhere)
    before = driver.rows(tmp_path)
    assert await amend(driver, tmp_path) == 2
    new = {("opencast", 101): RENAMED.title, ("opencast", 102): RENAMED.title}
    assert driver.rows(tmp_path) == [row | {"title": new.get((row["source"], row["id"]), row["title"])} for row in before]


async def test_twice_is_once(driver: Driver, tmp_path: Path) -> None:
    await write(driver, tmp_path, useraction_event(101, context=FOUND))
    assert [await amend(driver, tmp_path), await amend(driver, tmp_path)] == [1, 0]
    assert await amend(driver, tmp_path, read_at=datetime.now(UTC) + timedelta(seconds=5)) == 0, "it says so already"


async def test_what_was_written_after_the_look_up_is_left_alone(driver: Driver, tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(milliseconds=5)
    await write(driver, tmp_path, useraction_event(101, context=FOUND))
    assert await amend(driver, tmp_path, read_at=began) == 0
    assert titles(driver, tmp_path) == {("opencast", 101): "Lecture 10"}


async def test_an_older_look_up_never_replaces_a_newer(driver: Driver, tmp_path: Path) -> None:
    await write(driver, tmp_path, useraction_event(101, context=FOUND))
    began = datetime.now(UTC)
    newer = began + timedelta(seconds=1)
    assert await amend(driver, tmp_path, read_at=newer) == 1
    assert await amend(driver, tmp_path, Episode(title="older"), read_at=began) == 0
    assert titles(driver, tmp_path) == {("opencast", 101): RENAMED.title}


async def test_every_newer_state_still_replaces_it_and_no_older(driver: Driver, tmp_path: Path) -> None:
    await write(driver, tmp_path, useraction_event(101, version=20, context=FOUND))
    for number in range(3):
        assert await amend(driver, tmp_path, Episode(title=f"edition {number}")) == 1
    await write(driver, tmp_path, useraction_event(101, version=19, context=FOUND))
    assert titles(driver, tmp_path) == {("opencast", 101): "edition 2"}
    await write(driver, tmp_path, useraction_event(101, version=21))
    [row] = driver.rows(tmp_path)
    assert (row["outpoint"], row["title"]) == (21, None), "a growing row grows on, however often it was rewritten"


async def test_what_was_pending_is_complete_and_a_late_poorer_repeat_does_not_undo_it(driver: Driver, tmp_path: Path) -> None:
    pending = useraction_event(101)
    await write(driver, tmp_path, pending, useraction_event(102, context=...))
    assert await amend(driver, tmp_path) == 2
    await write(driver, tmp_path, pending)
    assert titles(driver, tmp_path) == {("opencast", 101): RENAMED.title, ("opencast", 102): RENAMED.title}


async def test_more_than_a_page_of_records_is_rewritten(driver: Driver, tmp_path: Path) -> None:
    await write(driver, tmp_path, *(useraction_event(number, context=FOUND) for number in range(1, 1203)))
    assert await amend(driver, tmp_path) == 1202
    assert set(titles(driver, tmp_path).values()) == {RENAMED.title}


async def test_where_nothing_is_written_yet_nothing_is_to_be_done(driver: Driver, tmp_path: Path) -> None:
    assert await amend(driver, tmp_path) == 0
    async with driver.open(tmp_path) as sink:
        assert isinstance(sink, Amender)
        assert list(await sink.changed(Recording, "opencast", datetime(2026, 1, 1, tzinfo=UTC))) == []


async def test_what_changed_since_is_told_deleted_things_too(driver: Driver, tmp_path: Path) -> None:
    def recording(mpid: str, day: int, source: str = "opencast") -> Event:
        hit = msgspec.json.encode({"mediapackage": {"id": mpid}, "modified": f"2026-01-{day:02}T00:00:00Z"})
        return episode_event(mpid, msgspec.Raw(hit), None, source, datetime(2026, 2, 1, tzinfo=UTC))

    gone = gone_event(msgspec.Raw(b'{"id":"gone","kind":"event-deleted","updated":1767657600000}'), "opencast", datetime.now(UTC))
    await write(driver, tmp_path, recording("old", 2), recording("new", 4), recording("other", 5, "opencast/two"), gone)
    async with driver.open(tmp_path) as sink:
        assert isinstance(sink, Amender)
        assert list(await sink.changed(Recording, "opencast", datetime(2026, 1, 3, tzinfo=UTC))) == ["gone", "new"]
