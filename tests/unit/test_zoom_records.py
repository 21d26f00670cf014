"""Records of Zoom, for rows of the dashboard and of reports, with all the holes they have."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.records import gives_records, records_of
from consumers.records.mapping import mapping
from consumers.records.record import document, document_id, enrichment, index_name, row
from consumers.records.zoom import Meeting, Session, meeting, participant_address, session
from harvester.errors import InvalidEventError
from harvester.event import Event
from tests.zoomevents import (
    UUID,
    dashboard_meeting,
    dashboard_participant,
    meeting_event,
    report_meeting,
    report_participant,
    session_event,
)

INGESTED = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
SAMPLES = Path(__file__).parents[1] / "fixtures/zoom"
PLACE = {"ip": "203.0.113.7", "country_code2": "US", "city_name": "Boston", "location": [-71.05, 42.36]}


def read(event: Event) -> dict[str, Any]:
    (record,) = records_of(event)
    found = msgspec.json.decode(document(record, event, INGESTED))
    assert isinstance(found, dict)
    return found


def sample(name: str, key: str) -> dict[str, Any]:
    found = msgspec.json.decode((SAMPLES / f"{name}.json").read_bytes())[key][0]
    assert isinstance(found, dict)
    return found


def test_e39_a_meeting_has_the_predecessors_fields() -> None:
    event = meeting_event(distinct_participants=30)
    assert read(event) == {
        "uuid": UUID,
        "meeting_uuid": UUID,
        "meeting_series_id": "93201235621",
        "series_id": "93201235621",
        "link": "https://zoom.us/j/93201235621",
        "topic": "Algebra",
        "host": {"host_id": None, "host": "Jill Chill", "email": "jchill@example.edu", "user_type": "Licensed"},
        "start_time": "2026-11-20T09:00:00+00:00",
        "end_time": "2026-11-20T10:01:05+00:00",
        "duration": 3665,
        "participant_sessions": 42,
        "distinct_participants": 30,
        "has_pstn": False,
        "has_voip": True,
        "has_3rd_party_audio": False,
        "has_video": True,
        "has_screen_share": True,
        "recording": False,
        "read_from": "dashboard",
        "@timestamp": "2026-11-20T09:00:00Z",
        "event": {"id": event.id, "dataset": "zoom.meeting", "module": "zoom", "ingested": "2026-11-23T15:00:00Z"},
    }


def test_e39_a_report_gives_the_same_meeting_and_null_for_what_it_does_not_tell() -> None:
    found = read(meeting_event(report_meeting(), given="report"))
    same = read(meeting_event())
    assert {name for name in same if same[name] != found[name]} == {
        *{"host", "has_pstn", "has_voip", "has_3rd_party_audio", "has_video", "has_screen_share", "recording"},
        *{"read_from", "event"},
    }
    assert found["host"] == {"host_id": None, "host": "Jill Chill", "email": "jchill@example.edu", "user_type": None}
    assert found["recording"] is found["has_video"] is None


def test_e39_the_hosts_account_is_there_where_the_meeting_was_listed_for_it() -> None:
    event = meeting_event(report_meeting(), given="report")
    data = msgspec.json.decode(event.data) | {"host_id": "KdYKjnimT4KPd8FFgQt9FQ"}
    told = msgspec.structs.replace(event, data=msgspec.Raw(msgspec.json.encode(data)))
    assert read(told)["host"]["host_id"] == "KdYKjnimT4KPd8FFgQt9FQ"


def test_e40_a_session_has_the_predecessors_fields() -> None:
    event = session_event(context=PLACE)
    found = read(event)
    assert found == {
        "session_id": f"{UUID}_16778240_2026-11-20T09:01:00Z",
        "meeting": UUID,
        "meeting_uuid": UUID,
        "series_id": "93201235621",
        "id": "zJKyaiAyTNC-MWjiWC18KQ",
        "user_id": "16778240",
        "user_name": "Sam Student",
        "email": "sstudent@example.edu",
        "role": "attendee",
        "status": "in_meeting",
        "device": "Windows",
        "os": None,
        "client": None,
        "ip_address": "203.0.113.7",
        "location": "Boston (US )",
        "country": "US",
        "city": "Boston",
        "network_type": "Wifi",
        "data_center": None,
        "audio_quality": None,
        "video_quality": None,
        "screen_share_quality": None,
        "join_time": "2026-11-20T09:01:00+00:00",
        "leave_time": "2026-11-20T09:45:30+00:00",
        "duration": 2670,
        "share_application": False,
        "share_desktop": True,
        "share_whiteboard": False,
        "recording": False,
        "geoip": PLACE,
        "@timestamp": "2026-11-20T09:00:00Z",
        "event": {"id": event.id, "dataset": "zoom.session", "module": "zoom", "ingested": "2026-11-23T15:00:00Z"},
    }


def test_e40_without_a_file_there_is_no_place_and_an_unknown_address_has_null() -> None:
    assert "geoip" not in read(session_event())
    assert read(session_event(context=...))["geoip"] is None
    unasked = session_event()
    assert "geoip" not in msgspec.json.decode(row(session(unasked), unasked, INGESTED, 2))
    with pytest.raises(InvalidEventError, match="no place"):
        session(session_event(context={"ip": 7}))


def test_a_place_that_is_not_known_leaves_nothing_pending() -> None:
    for event in (session_event(), session_event(context=...), session_event(context=PLACE)):
        assert enrichment(session(event), event) is None


def test_e41_both_documents_carry_both_names() -> None:
    first, second = read(meeting_event()), read(session_event())
    assert first["meeting_uuid"] == second["meeting_uuid"] == second["meeting"] == first["uuid"] == UUID
    assert first["series_id"] == second["series_id"] == first["meeting_series_id"] == "93201235621"


@pytest.mark.parametrize("number", [123456789, "123456789", 1234567890, 12345678901])
def test_e42_numbers_of_every_length_work_and_give_the_rooms_link(number: int | str) -> None:
    found = read(meeting_event(dashboard_meeting(id=number)))
    assert (found["series_id"], found["link"]) == (str(number), f"https://zoom.us/j/{number}")


def test_e43_f06_who_comes_back_has_another_session_and_one_row_has_one_name_in_all_its_forms() -> None:
    def name(**fields: Any) -> str:
        event = session_event(dashboard_participant(**fields))
        return document_id(session(event), event)

    first = name()
    assert first == f"{UUID}_16778240_2026-11-20T09:01:00Z"
    assert name(join_time="2026-11-20T09:50:00Z") != first != name(user_id="16778241")
    assert name(join_time="2026-11-20T09:01:00.0000000+00:00", user_id=16778240) == first
    reported = session_event(report_participant())
    assert document_id(session(reported), reported) == first
    assert index_name(session(reported), reported) == "sessions-2026.11.20"


def test_e44_participants_are_never_taken_from_the_number_of_sessions() -> None:
    found = read(meeting_event(dashboard_meeting(participants=42)))
    assert (found["participant_sessions"], found["distinct_participants"]) == (42, None)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        *[("00:56", 56), ("56:00", 3360), ("75:10", 4510), ("01:02:03", 3723), ("1:02:03", 3723), ("100:00:00", 360_000)],
        *[(62, 3665), (61, 3665), (5, 300), ("5", 300), ("4 mins", 240), (0, 0)],
        *[("", 3665), (None, 3665), ("soon", 3665), ("1:99", 3665), (-3, 3665), (True, 3665), ([], 3665), ("9" * 5000, 3665)],
    ],
)
def test_q54_a_duration_is_in_seconds_whatever_it_came_as(told: Any, seconds: int) -> None:
    assert read(meeting_event(dashboard_meeting(duration=told)))["duration"] == seconds


def test_q54_f05_a_length_over_a_day_is_told_in_full_and_an_end_before_its_start_gives_none() -> None:
    long = dashboard_participant(join_time="2026-11-20T09:00:00Z", leave_time="2026-11-22T10:00:01Z")
    assert read(session_event(long))["duration"] == 49 * 3600 + 1
    wrong = dashboard_participant(join_time="2026-11-20T09:00:00Z", leave_time="2026-11-20T08:00:00Z")
    assert read(session_event(wrong))["duration"] is None
    assert read(meeting_event(dashboard_meeting(duration="", end_time="")))["duration"] is None


@pytest.mark.parametrize("unknown", ["", "None", "-omitted-", " ", None, {}, []])
def test_q54_q64_holes_and_hidden_people_are_null(unknown: Any) -> None:
    hidden = dict.fromkeys(["id", "user_name", "email", "ip_address", "location", "leave_time", "participant_user_id"], unknown)
    found = read(session_event(dashboard_participant(**hidden)))
    names = ["id", "user_name", "email", "ip_address", "location", "country", "city", "leave_time", "duration"]
    assert [found[name] for name in names] == [None] * len(names)
    meeting_found = read(
        meeting_event(dashboard_meeting(host=unknown, email=unknown, topic=unknown, id=unknown, start_time=unknown))
    )
    assert meeting_found["host"]["host"] is meeting_found["host"]["email"] is meeting_found["topic"] is None
    assert meeting_found["link"] is meeting_found["start_time"] is None


def test_f02_nothing_but_the_uuid_is_required() -> None:
    bare = read(meeting_event({"uuid": UUID}))
    assert (bare["uuid"], bare["duration"], bare["participant_sessions"], bare["recording"]) == (UUID, None, None, None)
    assert read(session_event({}))["session_id"] == f"{UUID}__2026-11-20T09:00:00Z"
    for broken in (meeting_event({"id": 7}), meeting_event({"uuid": ""}), session_event(uuid="")):
        with pytest.raises(InvalidEventError, match="no uuid"):
            records_of(broken)


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"{}", b'{"meeting": 7, "participant": []}', b'{"meeting": {"uuid": "\xff"}}']
)
def test_f44_bad_bytes_are_an_invalid_event_and_nothing_else(data: bytes) -> None:
    for event in (meeting_event(), session_event()):
        broken = msgspec.structs.replace(event, data=msgspec.Raw(data))
        with pytest.raises(InvalidEventError):
            records_of(broken)
        assert participant_address(broken) is None


@pytest.mark.parametrize(
    ("location", "city", "country"),
    [
        *[("Boston (US )", "Boston", "US"), ("San Jose (US)", "San Jose", "US"), ("United States", None, "United States")],
        *[("(US)", None, "(US)"), ("", None, None)],
    ],
)
def test_e40_the_location_gives_city_and_country(location: str, city: str | None, country: str | None) -> None:
    found = read(session_event(dashboard_participant(location=location)))
    assert (found["city"], found["country"]) == (city, country)


def test_flags_of_older_rows_are_booleans_too() -> None:
    found = read(meeting_event(dashboard_meeting(has_recording=1, has_video="true", has_pstn="FALSE", has_voip="maybe")))
    assert (found["recording"], found["has_video"], found["has_pstn"], found["has_voip"]) == (True, True, False, None)
    assert read(meeting_event({"uuid": UUID, "recording": 1}))["recording"] is True


def test_the_vendors_samples_become_records() -> None:
    given = read(meeting_event(sample("v2-metrics-meetings", "meetings")))
    assert (given["duration"], given["start_time"]) == (56, "2022-01-04T08:04:27+00:00")
    stay = read(session_event(sample("v2-metrics-meeting-participants", "participants")))
    assert (stay["duration"], stay["country"], stay["os"], stay["role"]) == (141, "United States", "iOS", "host")
    reported = read(session_event(sample("v2-report-meeting-participants", "participants")))
    assert (reported["duration"], reported["user_name"], reported["email"]) == (259, "example", "jchill@example.com")


def test_e66_times_are_dates_and_names_are_keywords() -> None:
    meetings, sessions = mapping(Meeting)["properties"], mapping(Session)["properties"]
    assert meetings["start_time"] == meetings["end_time"] == sessions["join_time"] == sessions["leave_time"] == {"type": "date"}
    assert sessions["city"]["type"] == sessions["user_name"]["type"] == meetings["uuid"]["type"] == "keyword"
    assert sessions["ip_address"] == {"type": "ip", "ignore_malformed": True}
    assert sessions["geoip"]["properties"]["location"] == {"type": "geo_point"}
    assert gives_records(meeting_event())
    assert gives_records(session_event())


ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12) | st.sampled_from([[], {}])
)


@given(
    st.dictionaries(st.sampled_from([*dashboard_meeting()]), ANYTHING),
    st.dictionaries(st.sampled_from([*dashboard_participant(), *report_participant()]), ANYTHING),
)
def test_f42_whatever_a_field_turns_into_the_stream_goes_on(of_meeting: dict[str, Any], of_session: dict[str, Any]) -> None:
    for event in (
        meeting_event(dashboard_meeting(**of_meeting | {"uuid": UUID})),
        session_event(dashboard_participant(**of_session)),
    ):
        assert read(event)["meeting_uuid"] == UUID


def test_the_pure_functions_are_those_of_the_registry() -> None:
    assert records_of(meeting_event()) == (meeting(meeting_event()),)
    assert records_of(session_event()) == (session(session_event()),)
