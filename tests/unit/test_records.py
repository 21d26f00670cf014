"""Records: what a reader gets of an event, and what follows from a record class."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.records import gives_records, opencast, records_of
from consumers.records.opencast import MAX_PROXIES, UserAction, media_package, useraction
from consumers.records.record import Record, columns, document, document_id, enrichment, index_name, row
from harvester.errors import InvalidEventError
from harvester.event import Event
from tests.useractions import FOUND, action, event_of, useraction_event

INGESTED = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
HUGE = 2**63


def read(event: Event) -> dict[str, Any]:
    body = document(useraction(event), event, INGESTED)
    assert b"\n" not in body
    assert b"\r" not in body
    decoded = msgspec.json.decode(body)
    assert isinstance(decoded, dict)
    return decoded


def test_e15_the_document_has_the_predecessors_fields_and_the_header() -> None:
    event = useraction_event(101, context=FOUND | {"course": "Economics", "description": "About"})
    assert read(event) == {
        "action_id": 101,
        "timestamp": "2017-10-06T13:04:43+00:00",
        "mpid": "74b6c02f-afbb-42bc-8145-344153a1792e",
        "session_id": "node01abc",
        "huid": "81234567",
        "useragent": "Mozilla/5.0",
        "ua": {},
        "action": {"type": "HEARTBEAT", "inpoint": 12, "outpoint": 12, "length": 0, "is_playing": True},
        "ip": "203.0.113.7",
        "proxy1": "198.51.100.2",
        "is_live": False,
        "episode": {
            "title": "Lecture 10",
            "duration": 11520000,
            "start": "2015-07-22T15:59:00Z",
            "course": "Economics",
            "series": "20150333383",
            "year": "2015",
            "term": "03",
            "cdn": "33383",
            "crn": "33383",
            "type": "L10",
            "description": "About",
        },
        "@timestamp": "2017-10-06T13:04:43Z",
        "event": {
            "id": event.id,
            "dataset": "opencast.useraction",
            "module": "opencast",
            "ingested": "2026-11-23T15:00:00Z",
            "enrichment": "complete",
        },
    }


@pytest.mark.parametrize("context", [None, ..., {}], ids=["pending", "nothing to find", "found but empty"])
def test_an_unknown_episode_is_an_empty_object(context: Any) -> None:
    assert read(useraction_event(context=context))["episode"] == {}


@pytest.mark.parametrize(
    ("context", "mark"), [(None, "pending"), (..., "not_found"), ({}, "complete")], ids=["pending", "nothing to find", "found"]
)
def test_f6_a_document_and_a_row_say_what_became_of_their_enrichment(context: Any, mark: str) -> None:
    event = useraction_event(context=context)
    assert read(event)["event"]["enrichment"] == mark
    assert msgspec.json.decode(row(useraction(event), event, INGESTED, 25))["event"]["enrichment"] == mark


def test_of_several_enrichers_the_one_that_knows_least_marks_the_document() -> None:
    class Both(Record, index="both", table="both", key="id", enrichers=("one", "two")):
        id: int

    def mark(**context: bytes) -> Any:
        event = msgspec.structs.replace(useraction_event(), context={k: msgspec.Raw(v) for k, v in context.items()})
        return enrichment(Both(id=1), event)

    assert mark(one=b"1", two=b"2") == "complete"
    assert mark(one=b"null", two=b"2") == mark(one=b"1", two=b"null") == "not_found"
    assert mark(one=b"null") == mark(two=b"1") == mark() == "pending"


@pytest.mark.parametrize("series", ["4b9c6f57-e4af-43dd-ad6e-fee3644fbef4", "2015033338", "Cats", "2015033338٣٣", None])
def test_q63_year_term_and_cdn_come_only_from_a_series_of_eleven_digits(series: str | None) -> None:
    episode = read(useraction_event(context={"title": "x", "series": series}))["episode"]
    assert episode.keys() <= {"title", "series"}


def test_an_episode_that_is_none_rejects_the_event() -> None:
    with pytest.raises(InvalidEventError, match="context holds no episode"):
        useraction(useraction_event(context={"duration": "long"}))


def test_the_flat_session_of_opencast_1_6_is_read_like_the_nested_one() -> None:
    found = useraction(useraction_event(sessionId="abc", userId=7, userIp="192.0.2.1", userAgent="Firefox"))
    assert (found.session_id, found.huid, found.ip, found.useragent) == ("abc", "7", "192.0.2.1", "Firefox")
    assert found.proxies == {}


@pytest.mark.parametrize("unknown", ["-omitted-", "None", "", None, "\0"])
def test_q64_unknown_people_are_null(unknown: str | None) -> None:
    session = {"sessionId": unknown, "userId": unknown, "userIp": unknown, "userAgent": unknown}
    found = read(useraction_event(sessionId=session))
    assert (found["session_id"], found["huid"], found["ip"], found["useragent"]) == (None, None, None, None)
    assert "proxy1" not in found


def test_a_session_that_is_missing_altogether_costs_no_event() -> None:
    record = action()
    del record["sessionId"]
    found = useraction(event_of(msgspec.json.encode(record)))
    assert (found.session_id, found.huid, found.ip, found.useragent, found.proxies) == (None, None, None, None, {})


def test_retyped_scalars_come_back_as_the_schema_has_them() -> None:
    session = {"sessionId": 42, "userId": 3.5, "userIp": 10, "userAgent": True}
    found = useraction(
        useraction_event(101, id="101", mediapackageId=123, sessionId=session, inpoint="5", outpoint=7.0, length="-3", type=False)
    )
    assert (found.action_id, found.mpid, found.session_id, found.huid, found.ip) == (101, "123", "42", "3.5", "10")
    assert found.useragent == "true"
    assert (found.action.type, found.action.inpoint, found.action.outpoint, found.action.length) == ("false", 5, 7, -3)


def test_outpoint_defaults_to_inpoint_and_length_to_their_difference() -> None:
    first = useraction(useraction_event(inpoint=9, outpoint=None, length=None)).action
    second = useraction(useraction_event(inpoint=9, outpoint=4, length=None)).action
    assert (first.outpoint, first.length) == (9, 0)
    assert (second.outpoint, second.length) == (4, -5)


@pytest.mark.parametrize(
    ("value", "playing", "live"),
    [
        *[(True, True, False), (False, False, False), (None, False, False), ("whatever", False, False)],
        *[(0, False, False), (1, True, False), (2, True, True), (2.0, True, True)],
        *[("true", True, False), ("false", False, False), ("2", True, True), ("live", True, True)],
    ],
)
def test_live_is_only_what_dce_marks_as_live(value: Any, playing: bool, live: bool) -> None:
    found = useraction(useraction_event(isPlaying=value))
    assert (found.action.is_playing, found.is_live) == (playing, live)


@pytest.mark.parametrize(
    ("listed", "ip", "proxies"),
    [
        ("192.0.2.1", "192.0.2.1", {}),
        ("192.0.2.1,10.0.0.1 , 10.0.0.2", "192.0.2.1", {"proxy1": "10.0.0.1", "proxy2": "10.0.0.2"}),
        ("unknown, 10.0.0.1", "unknown", {"proxy1": "10.0.0.1"}),
        ("192.0.2.1,, ,10.0.0.1", "192.0.2.1", {"proxy1": "10.0.0.1"}),
        (", 10.0.0.1", None, {"proxy1": "10.0.0.1"}),
        ("192.0.2.1\0, 10.0.0.1\0", "192.0.2.1", {"proxy1": "10.0.0.1"}),
    ],
)
def test_the_forwarded_list_gives_the_client_and_its_proxies(listed: str, ip: str | None, proxies: dict[str, str]) -> None:
    found = useraction(useraction_event(sessionId={"userIp": listed}))
    assert (found.ip, found.proxies) == (ip, proxies)


def test_a_forged_forwarded_list_makes_no_fields_at_will_and_loses_nothing() -> None:
    addresses = [f"10.0.{n // 256}.{n % 256}" for n in range(1000)]
    found = useraction(useraction_event(sessionId={"userIp": ",".join(addresses)}))
    assert len(found.proxies) == MAX_PROXIES
    assert [found.ip, *",".join(found.proxies.values()).split(",")] == addresses


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE - 1, 2**64, 10**30, str(HUGE), "9" * 5000, 1e19, 0.5, "12a", "", "١٢", "1_0", True, None]
)
@pytest.mark.parametrize("field", ["id", "inpoint"])
def test_f44_a_number_that_does_not_fit_is_refused_and_never_rounded(field: str, value: Any) -> None:
    with pytest.raises(InvalidEventError):
        useraction(useraction_event(**{field: value}))


@pytest.mark.parametrize("number", [HUGE - 1, -HUGE, 0, 2**53 + 1])
def test_f44_64_bit_ids_keep_every_digit(number: int) -> None:
    assert read(useraction_event(101, id=number))["action_id"] == number
    assert read(useraction_event(101, id=str(number)))["action_id"] == number


@pytest.mark.parametrize("field", ["id", "mediapackageId", "inpoint", "type"])
def test_f42_an_action_without_a_required_field_is_refused(field: str) -> None:
    record = action()
    del record[field]
    with pytest.raises(InvalidEventError) as caught:
        useraction(event_of(msgspec.json.encode(record)))
    assert caught.value.reason == "schema"


BAD_BYTES = [
    b"",
    b"null",
    b"[]",
    b"17",
    b"{",
    b'{"id": NaN}',
    b'{"id": {}}',
    b'{"type": "\xff"}',
    b'{"type": "\\ud800"}',
    b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("data", BAD_BYTES, ids=range(len(BAD_BYTES)))
def test_f44_bad_bytes_are_an_invalid_event_and_nothing_else(data: bytes) -> None:
    event = event_of(data)
    with pytest.raises(InvalidEventError):
        useraction(event)
    assert media_package(event) is None


def test_f44_nul_is_dropped_and_other_controls_are_escaped() -> None:
    event = useraction_event(type="a\0b\n\x1b[31m\u2028", mediapackageId="m\0p", sessionId={"userAgent": "\0"})
    found = read(event)
    assert found["action"]["type"] == "ab\n\x1b[31m\u2028"
    assert (found["mpid"], found["useragent"]) == ("mp", None)
    assert media_package(event) == "mp"
    assert b"\x1b" not in document(useraction(event), event, INGESTED)


def outcome(event: Event) -> str:
    """The record, or why there is none."""
    try:
        return repr(useraction(event))
    except InvalidEventError as error:
        return f"{error.reason}: {error}"


def test_opencast_1_an_action_without_address_and_player_state_is_a_record_all_the_same() -> None:
    bare = {name: value for name, value in action().items() if name != "isPlaying"}
    bare["sessionId"] = {name: value for name, value in bare["sessionId"].items() if name != "userIp"}
    event = event_of(msgspec.json.encode(bare))
    found = msgspec.json.decode(document(useraction(event), event, INGESTED))
    assert (found["action_id"], found["action"]["is_playing"], found["ip"]) == (101, False, None)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)


@given(st.dictionaries(st.sampled_from([*action()]), SCALARS | st.dictionaries(st.just("userIp"), SCALARS)))
def test_f42_whatever_a_field_turns_into_the_stream_goes_on(fields: dict[str, Any]) -> None:
    event = useraction_event(101, **{"outpoint": 12, **fields})
    try:
        record = useraction(event)
    except InvalidEventError:
        return
    assert msgspec.json.decode(document(record, event, INGESTED))["mpid"] == record.mpid


@given(
    st.dictionaries(st.sampled_from(["inpoint", "outpoint", "length"]), st.integers(-HUGE, HUGE - 1)),
    st.dictionaries(
        st.sampled_from(["type", "mediapackageId"]), st.text(max_size=12) | st.sampled_from(["None", "-omitted-", "a\0b"])
    ),
    st.sampled_from([True, False, 0, 1, 2, 3]),
)
def test_a_row_that_needs_no_conversion_says_the_same_as_one_that_does(
    numbers: dict[str, Any], texts: dict[str, Any], playing: int
) -> None:
    fields = {"outpoint": 12, "isPlaying": playing, **numbers, **texts}
    usual, retyped = useraction_event(101, **fields), useraction_event(101, **fields, id="101")
    assert media_package(usual) == media_package(retyped)
    assert outcome(usual) == outcome(retyped).replace("'101'", "101")


def test_a_row_that_was_read_for_its_recording_is_nobody_elses() -> None:
    event = useraction_event(101)
    forged = msgspec.structs.replace(useraction_event(101, type="FORGED", mediapackageId="other"), id=event.id)
    assert media_package(event) == media_package(event) != media_package(forged) == "other"
    assert useraction(event).action.type == "HEARTBEAT"
    assert media_package(forged) == "other"
    assert useraction(forged).action.type == useraction(forged).action.type == "FORGED"


def test_rows_whose_record_nobody_makes_are_not_kept_for_ever() -> None:
    for number in range(opencast._AHEAD + 10):
        media_package(useraction_event(number))
    assert len(opencast._read_ahead) <= opencast._AHEAD


def test_ids_are_bare_for_the_source_that_is_named_like_its_kind_and_prefixed_for_others() -> None:
    bare, other = useraction_event(101), useraction_event(101, source="opencast/law")
    assert document_id(useraction(bare), bare) == "101"
    assert document_id(useraction(other), other) == "opencast/law:101"


def test_the_index_is_named_after_the_day_of_the_event() -> None:
    def name(time: datetime) -> str:
        event = msgspec.structs.replace(useraction_event(), time=time)
        return index_name(useraction(event), event)

    midnight = datetime(2017, 10, 7, tzinfo=UTC)
    assert name(midnight - timedelta(microseconds=1)) == "useractions-2017.10.06"
    assert name(midnight) == name(midnight + timedelta(hours=23)) == "useractions-2017.10.07"


def test_columns_are_the_fields_flattened_with_portable_types() -> None:
    kinds = {column.name: column.kind for column in columns(UserAction)}
    assert kinds["action_id"] == "integer"
    assert kinds["timestamp"] == kinds["episode_start"] == kinds["event_time"] == kinds["event_ingested"] == "timestamp"
    assert kinds["action_is_playing"] == kinds["is_live"] == "boolean"
    assert kinds["proxies"] == "json"
    assert kinds["huid"] == kinds["episode_crn"] == kinds["event_id"] == kinds["event_dataset"] == kinds["event_module"] == "text"


def test_every_column_says_what_it_means() -> None:
    assert [column.name for column in columns(UserAction) if not column.text] == []


def test_every_columns_path_leads_to_its_value_in_a_row() -> None:
    event = useraction_event(context=FOUND)
    line = msgspec.json.decode(row(useraction(event), event, INGESTED, 25))
    for column in columns(UserAction):
        at: Any = line
        for name in column.path:
            at = at.get(name) if at is not None else None
    assert (line["event_rank"], line["@timestamp"], line["proxies"]) == (25, "2017-10-06T13:04:43Z", {"proxy1": "198.51.100.2"})


def test_a_record_class_with_names_that_do_not_fit_is_refused_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="key 'nothing'"):

        class NoKey(Record, index="a", table="a", key="nothing"):
            id: int

    with pytest.raises(TypeError, match="hours"):

        class Hourly(Record, index="a-{time:%Y.%m.%d.%H}", table="a", key="id"):
            id: int

    with pytest.raises(TypeError, match="'id' is no time"):

        class NoTime(Record, index="a", table="a", key="id", partition="id"):
            id: int

    with pytest.raises(TypeError, match=r"one of .*nobody"):

        class NoColumn(Record, index="a", table="a", key="id", cluster=("nobody",)):
            id: int

    class Inner(msgspec.Struct):
        id: int

    with pytest.raises(TypeError, match="two columns"):

        class Twice(Record, index="a", table="a", key="thing_id"):
            thing_id: int
            thing: Inner


def test_fields_of_other_records_are_flattened_too() -> None:
    class Meeting(Record, index="meetings", table="meetings", key="uuid"):
        uuid: Annotated[str, "id"]
        score: float | None
        tags: list[str]
        ended: datetime | None

    event = useraction_event()
    meeting = Meeting(uuid="x", score=None, tags=["a"], ended=None)
    assert [c.kind for c in columns(Meeting)][:4] == ["text", "number", "json", "timestamp"]
    found = msgspec.json.decode(document(meeting, event, INGESTED))
    assert found["ended"] is None
    assert "enrichment" not in found["event"]
    assert index_name(meeting, event) == "meetings"


def test_a_type_nobody_wrote_a_record_for_gives_none() -> None:
    event = msgspec.structs.replace(useraction_event(), type="opencast.unheard")
    assert not gives_records(event)
    assert records_of(event) == ()
    known = useraction_event()
    assert gives_records(known)
    assert [type(record) for record in records_of(known)] == [UserAction]
