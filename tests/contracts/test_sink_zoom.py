"""What every sink does with meetings and sessions: two tables, keys of text, places on a map."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harvester.errors import InvalidEventError
from harvester.event import Event
from tests.contracts.sinks import DRIVERS, IDEMPOTENT, Driver, Zoom, driver_named
from tests.contracts.test_sink import HOSTILE, ROOT
from tests.servers.fixtures import Servers
from tests.zoomevents import UUID, dashboard_meeting, dashboard_participant, meeting_event, report_meeting, session_event

PLACE = {"ip": "203.0.113.7", "city_name": "Boston", "location": [-71.05, 42.36]}
FIRST, AGAIN = f"{UUID}_16778240_2026-11-20T09:01:00Z", f"{UUID}_16778240_2026-11-20T09:50:00Z"

MEETING, STAY = Zoom(UUID, 42, "Algebra"), Zoom(FIRST, 2670, "Sam Student")


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
    boston = ("zoom", "Boston", [-71.05, 42.36])
    assert rows == [MEETING, Zoom(FIRST, 2670, "Sam Student", *boston), Zoom(AGAIN, 600, "Sam Student")]


async def test_f06_repeats_and_late_rows_leave_each_thing_once_in_its_newest_state(idempotent: Driver, tmp_path: Path) -> None:
    open_ended = dashboard_participant(leave_time="")
    early, late = session_event(open_ended, version=1), session_event(version=2, context=...)
    before, after = meeting_event(dashboard_meeting(participants=3)), meeting_event(report_meeting(), version=2, given="report")
    rows = await written(idempotent, tmp_path, [before, early], [after, late, rejoined()], [before, early, rejoined()])
    assert rows == [MEETING, STAY, Zoom(AGAIN, 600, "Sam Student")]


async def test_f30_every_batch_delivered_twice_is_there_once(idempotent: Driver, tmp_path: Path) -> None:
    events = [session_event(dashboard_participant(user_id=str(number))) for number in range(300)]
    events += [meeting_event(dashboard_meeting(uuid=f"{number}/=="), version=number) for number in range(100)]
    rows = await written(idempotent, tmp_path, events[:350], events[:350], events[100:], events[350:])
    assert len(rows) == len({row.key for row in rows}) == 400


async def test_of_several_states_in_one_batch_the_newest_stays(idempotent: Driver, tmp_path: Path) -> None:
    meetings = [meeting_event(dashboard_meeting(participants=n), version=n) for n in (3, 42, 5)]
    stays = [session_event(dashboard_participant(leave_time=f"2026-11-20T09:45:{s}Z"), version=s) for s in (10, 30, 20)]
    assert await written(idempotent, tmp_path, [*meetings, *stays], [meetings[0], stays[0]]) == [MEETING, STAY]


async def test_f31_a_broken_event_among_many_is_rejected_alone(driver: Driver, tmp_path: Path) -> None:
    events = [session_event(dashboard_participant(user_id=str(number))) for number in range(200)]
    broken = events[77] = session_event(uuid="")
    nameless = meeting_event({"topic": "Algebra"})
    async with driver.open(tmp_path) as sink:
        rejections = await sink.write([nameless, *events, meeting_event()])
    assert [rejection.event for rejection in rejections] == [nameless, broken]
    assert all(isinstance(rejection.error, InvalidEventError) for rejection in rejections)
    assert len(driver.zoom(tmp_path)) == 200


async def test_two_accounts_with_the_same_meeting_do_not_meet(driver: Driver, tmp_path: Path) -> None:
    both = [(one, msgspec.structs.replace(one, source="zoom/law")) for one in (meeting_event(), session_event())]
    rows = await written(driver, tmp_path, [event for pair in both for event in pair])
    assert rows == [kept for one in (MEETING, STAY) for kept in (one, one._replace(source="zoom/law"))]


async def test_f44_hostile_text_arrives_without_nul_and_blanks_around_it(driver: Driver, tmp_path: Path) -> None:
    events = [session_event(dashboard_participant(user_id=f"{n:02}", user_name=text)) for n, text in enumerate(HOSTILE)]
    events += [meeting_event(dashboard_meeting(uuid=f"{n:02}", topic=text)) for n, text in enumerate(HOSTILE)]
    rows = await written(driver, tmp_path, events)
    expected = [text.replace("\0", "").strip() for text in HOSTILE]
    assert [row.text for row in rows if row.key.startswith(UUID)] == expected
    assert [row.text for row in rows if not row.key.startswith(UUID)] == expected


async def test_a_meeting_of_which_little_is_told_is_written(driver: Driver, tmp_path: Path) -> None:
    bare = meeting_event({"uuid": UUID, "start_time": "", "end_time": "", "duration": "", "participants": 0}, day="2026-11-20")
    guest = session_event({"join_time": "2026-11-20T09:01:00Z", "user_id": "16778240", "id": "", "email": "", "user_name": ""})
    assert await written(driver, tmp_path, [bare, guest]) == [Zoom(UUID, 0, None), Zoom(FIRST, None, None)]


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.contracts.sinks import DRIVERS
from tests.contracts.test_sink_zoom import state

async def main():
    async with DRIVERS["duckdb"].open(Path(sys.argv[1])) as sink:
        for version in (1, 2, 3):
            await sink.write(state(version))

asyncio.run(main())
"""


def state(version: int) -> list[Event]:
    """A meeting and fifty stays, as they are told at the `version`th reading."""
    leave = f"2026-11-20T09:45:{version}0Z"
    stays = [dashboard_participant(user_id=f"{n:02}", leave_time=leave) for n in range(50)]
    meeting = meeting_event(dashboard_meeting(participants=version), version=version)
    return [meeting, *(session_event(stay, version=version) for stay in stays)]


async def test_a_kill_in_a_write_and_the_same_write_again_is_the_truth(tmp_path: Path) -> None:
    number = 2
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CHILD, str(tmp_path)],
        env={**os.environ, "HARVESTER_CRASH_AT": f"sink.in_write:{number}"},
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL
    rows = await written(DRIVERS["duckdb"], tmp_path, state(number))
    assert [row.number for row in rows] == [number, *[2660 + number * 10 - 20] * 50]
