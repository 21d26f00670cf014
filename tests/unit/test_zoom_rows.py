"""Zoom's rows: ids in paths, rows as events, times in every form."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from harvester.errors import InvalidEventError, TransientError
from harvester.origin import below
from harvester.sources.zoom_rows import (
    checked_event,
    event_of,
    meeting_data,
    meeting_of,
    moment,
    path_id,
    people,
    rows_of,
    stays_of,
)

SAMPLES = Path(__file__).parent.parent / "fixtures" / "zoom"
READ = datetime(2026, 11, 3, 18, tzinfo=UTC)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def data_of(**row: Any) -> bytes:
    return json.dumps({"meeting": {"uuid": "u", "id": 1, "topic": "t"}, "participant": row}).encode()


@pytest.mark.parametrize(
    ("uuid", "path"),
    [
        ("gm8s9L+PTEC+FG3sFbd1Cw==", "gm8s9L%2BPTEC%2BFG3sFbd1Cw%3D%3D"),
        ("ab/cd==", "ab%2Fcd%3D%3D"),
        ("/abc==", "%252Fabc%253D%253D"),
        ("ab//cd==", "ab%252F%252Fcd%253D%253D"),
    ],
)
def test_a_uuid_is_encoded_once_and_twice_when_it_begins_with_a_slash_or_holds_two(uuid: str, path: str) -> None:
    assert path_id(uuid) == path


@given(st.text(alphabet="ab/+=", min_size=1, max_size=24))
def test_what_is_sent_over_the_wire_names_the_uuid_however_many_slashes_it_has(uuid: str) -> None:
    sent = below(URL("https://api.zoom.us/v2"), f"/metrics/meetings/{path_id(uuid)}/participants").raw_path
    part = sent.removeprefix("/v2/metrics/meetings/").removesuffix("/participants")
    assert "/" not in part
    twice = uuid.startswith("/") or "//" in uuid
    assert unquote(unquote(part) if twice else part) == uuid
    assert twice is (unquote(part) != uuid)


@pytest.mark.parametrize(
    "text",
    [
        "2022-03-01T10:15:14Z",
        "2022-03-01T10:15:14.0000000+00:00",
        "2022-03-01T11:15:14+01:00",
        "2022-03-01T10:15:14",
        " 2022-03-01T10:15:14Z",
    ],
)
def test_a_time_is_read_in_each_of_the_forms_that_were_seen(text: str) -> None:
    assert moment(text) == datetime(2022, 3, 1, 10, 15, 14, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", None, 5, "soon", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_time_is_not_known(text: object) -> None:
    assert moment(text) is None


def test_a_row_of_the_dashboard_becomes_a_meeting_as_the_vendor_gave_it() -> None:
    page = rows_of(sample("v2-metrics-meetings.json"), "meetings")
    assert (len(page.rows), page.token, len(page.refused)) == (1, "Tva2CuIdTgsv8wAnhyAdU3m06Y2HuLQtlh3", 0)
    meeting = meeting_of(page.rows[0], date(2022, 1, 4), "dashboard", "past", READ)
    event = event_of(meeting_data(meeting, 2), "zoom", READ)
    assert (event.type, event.subject) == ("zoom.meeting", "gm8s9L+PTEC+FG3sFbd1Cw==")
    assert event.time == datetime(2022, 1, 4, 8, 4, 27, tzinfo=UTC)
    assert event.version == int(READ.timestamp() * 1000)
    data = msgspec.json.decode(event.data)
    assert data["meeting"] == json.loads(sample("v2-metrics-meetings.json"))["meetings"][0]
    assert (data["from"], data["distinct_participants"]) == ("dashboard", 2)


@pytest.mark.parametrize(("name", "time"), [("metrics", "2022-03-01T10:15:14Z"), ("report", "2022-03-23T06:58:09Z")])
def test_e43_a_participant_becomes_a_session_that_names_its_meeting(name: str, time: str) -> None:
    page = rows_of(sample(f"v2-{name}-meeting-participants.json"), "participants")
    row = rows_of(sample("v2-metrics-meetings.json"), "meetings").rows[0]
    [event], broken = stays_of(meeting_of(row, date(2022, 1, 4), "dashboard", "past", READ), page, "zoom", READ)
    whole = json.loads(sample(f"v2-{name}-meeting-participants.json"))["participants"][0]
    assert broken == []
    assert event.type == "zoom.session"
    assert event.subject == f"gm8s9L+PTEC+FG3sFbd1Cw==/{whole['user_id']}/{time}"
    assert msgspec.json.decode(event.data) == {
        "meeting": {"uuid": "gm8s9L+PTEC+FG3sFbd1Cw==", "id": 93201235621, "topic": "Share Now"},
        "participant": whole,
    }


def test_e44_a_rejoin_is_another_session_and_the_same_person() -> None:
    rows = [{"user_id": "1", "id": "a", "join_time": f"2026-11-02T10:0{n}:00Z"} for n in range(3)]
    rows.append({"user_id": "2", "id": "", "user_name": "Guest", "join_time": "2026-11-02T10:00:00Z"})
    rows.append({"user_id": "3", "id": "w", "status": "in_waiting_room", "join_time": "2026-11-02T10:00:00Z"})
    events = [event_of(data_of(**row), "zoom", READ) for row in rows]
    assert len({event.subject for event in events}) == 5
    assert people(events) == 2


def test_guests_without_any_id_are_sessions_all_the_same() -> None:
    event = event_of(data_of(join_time="2026-11-02T10:00:00Z", id="", user_id=None, participant_uuid="P"), "zoom", READ)
    assert event.subject == "u/P/2026-11-02T10:00:00Z"


def test_a_meeting_without_a_begin_has_that_of_the_day_it_was_listed_for() -> None:
    meeting = meeting_of(
        b'{"uuid":"u","start_time":"","end_time":"","duration":"","participants":0}', date(2026, 11, 2), "dashboard", "past", READ
    )
    event = event_of(meeting_data(meeting, None), "zoom", READ)
    assert event.time == datetime(2026, 11, 2, tzinfo=UTC)
    assert checked_event(bytes(event.data), "zoom", READ) == event


@pytest.mark.parametrize("row", [b"{}", b'{"uuid":" "}', b'{"uuid":null}', b"[]"])
def test_a_meeting_needs_nothing_but_its_uuid(row: bytes) -> None:
    with pytest.raises(InvalidEventError):
        meeting_of(row, date(2026, 11, 2), "dashboard", "past", READ)


def test_only_the_bad_rows_of_a_page_are_refused() -> None:
    page = rows_of(b'{"next_page_token":"t","meetings":[{"uuid":"a"},{"uuid":NaN},\n{"uuid":"b"}]}', "meetings")
    assert (list(page.rows), page.token) == ([b'{"uuid":"a"}', b'{"uuid":"b"}'], "t")
    assert [bad.body for bad in page.refused] == [b'{"uuid":NaN}']


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"participants":[]}', b'{"meetings":null}', b'{"meetings":[{"uuid":"a"}', b"<html>"],
)
def test_f42_what_is_no_page_is_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(TransientError):
        rows_of(body, "meetings")
