"""What every sink does with meetings and sessions: two tables, keys of text, places on a map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harvester.event import Event
from tests.contracts.sinks import IDEMPOTENT, Driver, Zoom, driver_named
from tests.servers.fixtures import Servers
from tests.zoomevents import UUID, dashboard_meeting, dashboard_participant, meeting_event, report_meeting, session_event

PLACE = {"ip": "203.0.113.7", "city_name": "Boston", "location": [-71.05, 42.36]}
FIRST, AGAIN = f"{UUID}_16778240_2026-11-20T09:01:00Z", f"{UUID}_16778240_2026-11-20T09:50:00Z"


@pytest.fixture(params=["stdout", *IDEMPOTENT])
def driver(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


@pytest.fixture(params=IDEMPOTENT)
def idempotent(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


async def written(driver: Driver, path: Path, *batches: Sequence[Event]) -> list[Zoom]:
    async with driver.open(path) as sink:
        for batch in batches:
            assert list(await sink.write(batch)) == []
    return driver.zoom(path)


def rejoined(**fields: Any) -> Event:
    return session_event(dashboard_participant(join_time="2026-11-20T09:50:00Z", leave_time="2026-11-20T10:00:00Z", **fields))


async def test_e39_e40_e44_a_meeting_and_each_stay_can_be_read(driver: Driver, tmp_path: Path) -> None:
    rows = await written(driver, tmp_path, [meeting_event(), session_event(context=PLACE), rejoined()])
    assert rows == [Zoom(UUID, 42), Zoom(FIRST, 2670, "Boston", [-71.05, 42.36]), Zoom(AGAIN, 600)]


async def test_f06_repeats_and_late_rows_leave_each_thing_once_in_its_newest_state(idempotent: Driver, tmp_path: Path) -> None:
    open_ended = dashboard_participant(leave_time="")
    early, late = session_event(open_ended, version=1), session_event(version=2, context=...)
    before, after = meeting_event(dashboard_meeting(participants=3)), meeting_event(report_meeting(), version=2, given="report")
    rows = await written(idempotent, tmp_path, [before, early], [after, late, rejoined()], [before, early, rejoined()])
    assert rows == [Zoom(UUID, 42), Zoom(FIRST, 2670), Zoom(AGAIN, 600)]
