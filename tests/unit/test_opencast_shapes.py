"""What Jettison makes of rows, and what we make of them: every shape of a page, every type of a field, no byte changed."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import InvalidEventError, TransientError
from harvester.event import Event, event_id
from harvester.sources.opencast_rows import offset_of, rows, useraction_event
from tests.opencast_table import HOUR, UTC_ZONE, Table, actions_of, record

READ_AT = datetime(2026, 11, 3, 18, tzinfo=UTC)
BIG = 98765432109876543210123


def event(body: bytes) -> Event:
    return useraction_event(body, "opencast", READ_AT, UTC_ZONE)


def page(*bodies: bytes, total: str = '"2"') -> bytes:
    return b'{"actions":{"total":%b,"offset":"0","limit":"10","action":[%b]}}' % (total.encode(), b",".join(bodies))


def with_field(name: str, value: str) -> bytes:
    """A record in which one field is this JSON text."""
    fields = json.loads(record(101))
    fields[name] = "PLACE"
    return json.dumps(fields).replace('"PLACE"', value).encode()


# --- pages


def test_no_rows_are_a_page_without_the_key() -> None:
    assert rows(b'{"actions": {"total": "0", "offset": "0", "limit": "10"}}') == (0, [], ())


def test_one_row_is_an_object() -> None:
    total, found, refused = rows(b'{"actions":{"total":"1","action":' + record(1) + b"}}")
    assert (total, [bytes(r) for r in found], refused) == (1, [record(1)], ())


@pytest.mark.parametrize("amount", [0, 1, 2, 7])
def test_many_rows_are_a_list_of_any_length(amount: int) -> None:
    bodies = [record(number) for number in range(amount)]
    assert [bytes(r) for r in rows(page(*bodies)).rows] == bodies


@pytest.mark.parametrize(
    ("text", "total"), [('"17"', 17), ("17", 17), ("17.0", 17), ("null", None), ('"many"', None), ('""', None)]
)
def test_the_total_is_text_or_a_number(text: str, total: int | None) -> None:
    assert rows(page(record(1), total=text)).total == total


def test_a_record_keeps_every_byte() -> None:
    body = b'{"id":1,  "created":"2026-11-03T11:20:00Z","x":0.12345678901234567,"n":%d,"t":"\xc3\xa9 \\u00e9 \\/"}' % BIG
    [row] = rows(page(body)).rows
    assert bytes(row) == body
    assert bytes(event(bytes(row)).data) == body
    assert event(bytes(row)).id == event_id("opencast", "opencast.useraction", "1", body)


def test_line_breaks_in_a_page_end_up_in_no_record() -> None:
    pretty = json.dumps(json.loads(page(record(1), record(2))), indent=2).replace("\n", "\r\n").encode()
    found = rows(pretty)
    assert [bytes(r) for r in found.rows] == [record(1), record(2)]
    assert found.total == 2


def test_a_line_break_behind_the_page_changes_no_record() -> None:
    spaced = record(1).replace(b",", b", ")
    assert [bytes(r) for r in rows(page(spaced) + b"\r\n").rows] == [spaced]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html><html><body>Please log in</body></html>",
        b'{"error":"database is down"}',
        b'{"actions":"none"}',
        b'{"actions":{"total":"1","action":null}}',
        b'{"actions":{"total":"1","action":""}}',
        b'{"actions":{"total":"1","action":17}}',
        b'{"actions":{"total":["1"],"action":[]}}',
        page(record(1), record(2))[:-1],
        page(record(1), record(2))[:150],
        page(record(1)) + b"<html>",
    ],
    ids=lambda body: body[:40].decode() + str(len(body)),
)
def test_f42_what_is_no_whole_page_is_transient_and_passes_nothing_on(body: bytes) -> None:
    with pytest.raises(TransientError):
        rows(body)


# --- one bad record among many

BAD = {
    "NaN": (with_field("speed", "NaN"), "not_json"),
    "a lone surrogate": (with_field("userAgent", r'"cut \ud83d"'), "not_json"),
    "invalid UTF-8": (record(101).replace(b"node01", b"n\xdcde"), "not_utf8"),
    "101 levels": (with_field("tree", "[" * 100 + "]" * 100), "too_deep"),
    "100,000 levels": (with_field("tree", "[" * 100_000 + "]" * 100_000), "too_deep"),
    "a huge outpoint": (with_field("outpoint", str(BIG)), "schema"),
    "an id of 5,000 digits": (with_field("id", "9" * 5000), "schema"),
    "an id of 5,000 digits as text": (with_field("id", f'"{"9" * 5000}"'), "schema"),
    "a number out of range": (with_field("outpoint", "1e400"), "schema"),
    "no id": (record(101).replace(b'"id":101,', b""), "schema"),
    "an empty id": (with_field("id", '""'), "schema"),
    "an omitted id": (with_field("id", '"-omitted-"'), "schema"),
    "an id that is true": (with_field("id", "true"), "schema"),
    "an id with a fraction": (with_field("id", "1.5"), "schema"),
    "an id that two numbers share": (with_field("id", "1e22"), "schema"),
    "an id that only Python takes for a number": (with_field("id", '"1_01"'), "schema"),
    "an outpoint that is true": (with_field("outpoint", "true"), "schema"),
    "no created": (record(101).replace(b'"created":', b'"creator":'), "schema"),
    "an empty created": (record(101, ""), "schema"),
    "a created that is a number": (with_field("created", "1762168800000"), "schema"),
    "a day that is none": (record(101, "2026-02-30T11:20:00Z"), "schema"),
    "a moment before all time": (record(101, "0001-01-01T00:00:00+14:00"), "schema"),
    "a moment after all time": (record(101, "9999-12-31T23:59:59-14:00"), "schema"),
    "no object": (b'"text"', "schema"),
    "null": (b"null", "schema"),
}


@pytest.mark.parametrize("what", BAD)
async def test_f44_one_bad_record_among_many_is_broken_alone_with_its_bytes(what: str) -> None:
    body, reason = BAD[what]
    good = [record(number) for number in (1, 2, 3)]
    for at in range(len(good) + 1):
        served = page(*good[:at], body, *good[at:], total='"4"')
        table = Table()
        table.answer = lambda query, served=served: served if query["offset"] == "0" else page(total='"4"')  # type: ignore[method-assign, misc]
        pages = [p async for p in actions_of(table).fetch(HOUR, b"")]
        assert [e.subject for p in pages for e in p.events] == ["1", "2", "3"]
        assert [(b.body, b.reason) for p in pages for b in p.broken] == [(body, reason)]
        assert all(b.error for p in pages for b in p.broken)


@pytest.mark.parametrize("what", BAD)
def test_f44_a_letter_tried_again_is_refused_for_the_same_reason(what: str) -> None:
    body, reason = BAD[what]
    with pytest.raises(InvalidEventError) as caught:
        actions_of(Table()).event(body, READ_AT)
    assert caught.value.reason == reason


def test_a_letter_that_was_mended_becomes_the_event_that_fetch_makes() -> None:
    assert actions_of(Table()).event(record(1), READ_AT) == event(record(1))
    assert bytes(actions_of(Table()).event(record(1).replace(b",", b",\n"), READ_AT).data) == record(1)


# --- fields that Jettison retypes


@pytest.mark.parametrize("text", ["101", '"101"', "101.0", '"0101"', '"+101"'])
def test_an_id_is_the_same_subject_as_int_float_or_text(text: str) -> None:
    assert event(with_field("id", text)).subject == "101"


def test_f44_an_id_beyond_64_bits_keeps_every_digit() -> None:
    assert event(with_field("id", str(BIG))).subject == str(BIG)
    assert event(with_field("id", f'"{BIG}"')).subject == str(BIG)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("12", 12),
        ('"12"', 12),
        ("12.0", 12),
        ('"12.0"', 12),
        ("12.9", 12),
        ("null", 7),
        ("-3", 0),
        ('"soon"', 0),
        (str(2**61 - 1), 2**61 - 1),
    ],
)
def test_the_outpoint_is_the_version_as_int_float_or_text(text: str, version: int) -> None:
    body = with_field("outpoint", text).replace(b'"inpoint": 0', b'"inpoint": "7"')
    assert event(body).version == version


def test_without_an_outpoint_the_inpoint_is_the_version() -> None:
    fields = json.loads(record(1, inpoint=7))
    del fields["outpoint"]
    assert event(json.dumps(fields).encode()).version == 7
    del fields["inpoint"]
    assert event(json.dumps(fields).encode()).version == 0


@pytest.mark.parametrize(
    "session",
    [
        {"sessionId": {"sessionId": "node01abc", "userId": 81234567, "userIp": "203.0.113.7, 198.51.100.2"}},
        {"sessionId": "node01abc", "userId": 81234567, "userIp": "203.0.113.7"},
        {"sessionId": 12345678, "userId": "0081234567", "userIp": True},
        {"sessionId": "-omitted-", "userId": "-omitted-", "userIp": "-omitted-"},
        {"sessionId": {"sessionId": "-omitted-", "userId": "-omitted-", "userIp": "-omitted-"}},
        {},
    ],
    ids=["nested", "flat", "retyped", "omitted, flat", "omitted, nested", "none"],
)
def test_a_session_of_any_shape_goes_through_untouched(session: dict[str, Any]) -> None:
    fields = {key: value for key, value in json.loads(record(101)).items() if key != "sessionId"} | session
    body = json.dumps(fields, separators=(",", ":")).encode()
    assert bytes(event(body).data) == body
    assert event(body).subject == "101"


@pytest.mark.parametrize("field", [name for name in json.loads(record(1)) if name not in ("id", "created")])
@pytest.mark.parametrize("value", [None, True, 7, 1.5, "text", "", [], {}, [{"x": None}]], ids=str)
def test_f42_a_type_change_of_any_field_is_an_event_or_one_broken_record(field: str, value: Any) -> None:
    body = record(101, **{field: value})
    try:
        assert bytes(event(body).data) == body
    except InvalidEventError:
        assert field in ("inpoint", "outpoint")


def test_a_grown_footprint_is_the_same_subject_with_a_higher_version_and_a_new_id() -> None:
    before, after = event(record(101, outpoint=10, length=10)), event(record(101, outpoint=30, length=30))
    assert before.subject == after.subject
    assert before.time == after.time
    assert before.version < after.version
    assert before.id != after.id


def test_ids_do_not_depend_on_when_or_how_a_record_was_read() -> None:
    [raw] = rows(page(record(1))).rows
    later = useraction_event(raw, "opencast", datetime(2027, 1, 1, tzinfo=UTC), ZoneInfo("Europe/Vienna"))
    assert later.id == event(record(1)).id
    assert useraction_event(record(1), "opencast/law", READ_AT, UTC_ZONE).id != event(record(1)).id


def test_the_server_tells_its_offset_by_created() -> None:
    offset = offset_of(record(1, "2026-11-03T06:20:00-05:00"))
    assert offset is not None
    assert offset.total_seconds() == -5 * 3600
    assert offset_of(record(1, "2026-11-03T06:20:00")) is None
    assert offset_of(b"null") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["id", "created", "inpoint", "outpoint", "x"]), json_values))
def test_f42_any_record_is_an_event_or_invalid_and_nothing_else(fields: dict[str, Any]) -> None:
    body = json.dumps(fields).encode()
    try:
        made = actions_of(Table()).event(body, READ_AT)
    except InvalidEventError:
        return
    assert made.version >= 0
    assert made.time.tzinfo is UTC
    assert msgspec.json.decode(made.data) == msgspec.json.decode(body)
