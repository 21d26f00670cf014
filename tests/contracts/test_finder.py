"""What every sink does that can be asked for one thing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumers.protocols import Finder, Held
from harvester.event import Event
from tests import services
from tests.contracts.sinks import Driver, driver_named
from tests.contracts.test_sink import names
from tests.servers.fixtures import Servers
from tests.useractions import FOUND, useraction_event
from tests.zoomevents import dashboard_meeting, meeting_event, session_event

FINDERS = ("duckdb", "postgres", *services.ELASTICSEARCH)


@pytest.fixture(params=FINDERS)
def driver(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


async def found(driver: Driver, path: Path, name: str, source: str = "") -> Sequence[Held]:
    async with driver.open(path) as sink:
        assert isinstance(sink, Finder)
        return await sink.find(name, source)


async def write(driver: Driver, path: Path, *events: Event) -> None:
    async with driver.open(path) as sink:
        assert list(await sink.write(events)) == []


async def test_a_thing_is_found_by_its_key_and_by_its_event_id(driver: Driver, tmp_path: Path) -> None:
    event, began = useraction_event(101, version=30, context=FOUND), datetime.now(UTC).replace(microsecond=0)
    await write(driver, tmp_path, useraction_event(100), event, useraction_event(1010))
    (by_key,), (by_id,) = await found(driver, tmp_path, "101"), await found(driver, tmp_path, event.id)
    assert by_key == by_id
    assert by_key[:5] == ("opencast", "101", event.id, 30, event.time)
    assert began <= by_key.ingested <= datetime.now(UTC)
    assert by_key.enrichment == "complete"
    assert "useractions" in by_key.place


async def test_a_meeting_and_a_stay_in_it_are_found_apart_whatever_is_in_their_keys(driver: Driver, tmp_path: Path) -> None:
    uuid = "/aB//c+d=="
    meeting, stay = meeting_event(dashboard_meeting(uuid=uuid)), session_event(uuid=uuid)
    await write(driver, tmp_path, meeting, stay, meeting_event())
    keys = {uuid: meeting, f"{uuid}_16778240_2026-11-20T09:01:00Z": stay}
    for key, event in keys.items():
        (by_key,), (by_id,) = await found(driver, tmp_path, key, "zoom"), await found(driver, tmp_path, event.id)
        assert by_key == by_id
        assert by_key[:4] == ("zoom", key, event.id, event.version)


@pytest.mark.parametrize(("context", "mark"), [(None, "pending"), (..., "not_found"), (FOUND, "complete")])
async def test_what_is_held_says_what_became_of_its_enrichment(driver: Driver, tmp_path: Path, context: Any, mark: str) -> None:
    await write(driver, tmp_path, useraction_event(1, context=context))
    assert [held.enrichment for held in await found(driver, tmp_path, "1")] == [mark]


async def test_only_the_newest_state_is_found(driver: Driver, tmp_path: Path) -> None:
    old, new = useraction_event(1, version=3), useraction_event(1, version=5)
    await write(driver, tmp_path, old)
    await write(driver, tmp_path, new)
    assert await found(driver, tmp_path, old.id) == []
    assert [(held.event_id, held.version) for held in await found(driver, tmp_path, "1")] == [(new.id, 5)]


async def test_of_two_sources_with_the_same_key_both_are_found_or_the_one_asked_for(driver: Driver, tmp_path: Path) -> None:
    await write(driver, tmp_path, useraction_event(1), useraction_event(1, source="opencast/law"))
    assert {held.source for held in await found(driver, tmp_path, "1")} == {"opencast", "opencast/law"}
    assert [held.source for held in await found(driver, tmp_path, "1", "opencast/law")] == ["opencast/law"]
    assert await found(driver, tmp_path, "1", "zoom") == []


async def test_looking_where_nothing_was_written_finds_nothing_and_makes_nothing(driver: Driver, tmp_path: Path) -> None:
    assert await found(driver, tmp_path, "1") == []
    assert names(tmp_path) == []


HOSTILE = ["1' OR '1'='1", "'; DROP TABLE useractions; --", "1e2", "100.0", " 100", "9" * 40, "*", "a\0b", "%", "", "1 OR 1:1"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_a_name_that_nothing_has(driver: Driver, tmp_path: Path, name: str) -> None:
    await write(driver, tmp_path, useraction_event(1), useraction_event(100))
    assert await found(driver, tmp_path, name) == []
    assert await found(driver, tmp_path, "1", name or "'") == []
    assert len(await found(driver, tmp_path, "1")) == 1
