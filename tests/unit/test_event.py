"""The envelope: ids that never change, data that keeps every byte, and formats that are not guessed at."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import ConfigError, InvalidEventError
from harvester.event import FORMAT, Event, decode_event, encode_event, event_id

ROW = b'{"id":101,"mediapackageId":"74b6c02f","inpoint":12,"type":"HEARTBEAT"}'
GOLDEN = {
    ("opencast", "opencast.useraction", "101", ROW): "1911be3270e60a1e36ef7cf81a698134",
    ("opencast", "opencast.useraction", "101", b""): "060c97747d8c00ba28254fc5c64ca3c3",
    ("github/acme", "github.pull_request", "7", b"{}"): "043bdb4f857b7fb75638ac86a21806cf",
    ("zürich", "t", "☃", b'{"a":"\xe2\x98\x83"}'): "723b4152a090859a5396c361553e5ac2",
}


def documented_id(source: str, type_: str, subject: str, data: bytes) -> str:
    """BLAKE2b-128 of data, NUL, length:source, length:type, subject."""
    parts = [
        data,
        b"\x00",
        str(len(source)).encode(),
        b":",
        source.encode(),
        str(len(type_)).encode(),
        b":",
        type_.encode(),
        subject.encode(),
    ]
    return blake2b(b"".join(parts), digest_size=16).hexdigest()


def event(data: bytes = ROW, **changes: object) -> Event:
    moment = datetime(2017, 10, 6, 13, 3, 2, 123456, tzinfo=UTC)
    whole = Event(
        id=event_id("opencast", "opencast.useraction", "101", data),
        source="opencast",
        type="opencast.useraction",
        subject="101",
        version=12,
        time=moment,
        read_at=moment + timedelta(minutes=2),
        data=msgspec.Raw(data),
    )
    return msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize("parts", GOLDEN, ids=lambda parts: f"{parts[0]}-{parts[2]}-{len(parts[3])}")
def test_ids_are_the_same_in_every_release(parts: tuple[str, str, str, bytes]) -> None:
    assert event_id(*parts) == GOLDEN[parts]


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["1:a", "0:", "a1:b", "10:"])
payloads = st.dictionaries(names, st.integers() | names, max_size=3).map(lambda row: json.dumps(row).encode())


@given(names, names, names, payloads)
def test_an_id_follows_the_documented_framing(source: str, type_: str, subject: str, data: bytes) -> None:
    assert event_id(source, type_, subject, data) == documented_id(source, type_, subject, data)
    assert event_id(source, type_, subject, msgspec.Raw(data)) == documented_id(source, type_, subject, data)


@given(st.tuples(names, names, names, payloads), st.tuples(names, names, names, payloads))
def test_two_states_have_one_id_only_when_they_are_the_same(
    one: tuple[str, str, str, bytes], other: tuple[str, str, str, bytes]
) -> None:
    assert (event_id(*one) == event_id(*other)) == (one == other)


def test_the_parts_of_an_id_cannot_be_shifted_into_each_other() -> None:
    ids = {
        event_id("a", "bc", "d", b"{}"),
        event_id("ab", "c", "d", b"{}"),
        event_id("a", "b", "cd", b"{}"),
        event_id("", "abc", "d", b"{}"),
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":9223372036854775807,"next":9223372036854775808,"big":-340282366920938463463374607431768211456}',
        b'{"x":0.12345678901234567,"y":1.0,"z":-0.0,"e":1E+2,"tiny":5e-324,"vast":1e400}',
        b'{"b":1,"a":2,"b":3}',
        b'{ "spaces" : [ 1 ,2 ] }',
        '{"text":"\\u00e9 é ☃ 😀 \\ud83d\\ude00 \u2028 \x7f \\/ /"}'.encode(),
        b"{}",
        b"[]",
        b"null",
        b'{"a":' + b"[" * 99 + b"]" * 99 + b"}",
    ],
    ids=["big integers", "floats", "keys", "spaces", "text", "object", "array", "null", "deep"],
)
def test_f44_the_vendors_bytes_come_out_as_they_went_in(data: bytes) -> None:
    sent = event(data)
    received = decode_event(encode_event(sent))
    assert bytes(received.data) == data
    assert (received.id, received.subject, received.version) == (sent.id, sent.subject, sent.version)
    assert (received.time, received.read_at) == (sent.time, sent.read_at)
    assert received.time.utcoffset() == timedelta()


def test_an_envelope_is_one_line_that_begins_with_its_format() -> None:
    body = encode_event(event())
    assert body.startswith(b'{"format":%d,' % FORMAT)
    assert b"\n" not in body


def test_what_enrichers_found_travels_along() -> None:
    context = {"episode": msgspec.Raw(b'{"title":"A \\"b\\""}'), "gone": msgspec.Raw(b"null")}
    received = decode_event(encode_event(event(context=context)))
    assert {name: bytes(value) for name, value in received.context.items()} == {
        "episode": b'{"title":"A \\"b\\""}',
        "gone": b"null",
    }
    assert decode_event(encode_event(event())).context == {}


def test_the_partition_key_holds_source_and_subject() -> None:
    assert event().key == "opencast/101"


@pytest.mark.parametrize(
    "body",
    [
        b'{"format":%d}' % (FORMAT + 1),
        b'{"id":"x","format":18446744073709551616}',
        encode_event(event()).replace(b'"format":%d' % FORMAT, b'"format":%d' % (FORMAT + 1)),
        encode_event(event()).replace(b'"format":%d' % FORMAT, b'"format":%d,"added":[1]' % (FORMAT + 1)),
    ],
    ids=["alone", "far", "same fields", "more fields"],
)
def test_an_envelope_of_a_newer_format_stops_the_process_and_is_no_letter(body: bytes) -> None:
    with pytest.raises(ConfigError, match="upgrade this process"):
        decode_event(body)


GARBAGE = {
    "nothing": b"",
    "text": b"hello",
    "an array": b"[]",
    "null": b"null",
    "another object": b'{"id":1}',
    "bytes": bytes(range(256)),
    "NUL": b"\x00",
    "deep": b"[" * 100_000,
    "deep data": encode_event(event()).replace(ROW, b"[" * 100_000 + b"]" * 100_000),
    "cut": encode_event(event())[:-20],
    "more behind": encode_event(event()) + b"{}",
    "format 0": encode_event(event()).replace(b'"format":1', b'"format":0'),
    "format as text": encode_event(event()).replace(b'"format":1', b'"format":"2"'),
    "id of another type": encode_event(event()).replace(b'"subject":"101"', b'"subject":101'),
    "a version below nothing": encode_event(event()).replace(b'"version":12', b'"version":-12'),
    "a time without zone": encode_event(event()).replace(b".123456Z", b".123456"),
    "no time": encode_event(event()).replace(b"2017-10-06T13:03:02.123456Z", b"2017-13-06T13:03:02Z"),
    "not UTF-8 in a name": encode_event(event()).replace(b'"opencast"', b'"\xff"'),
    "not UTF-8 in data": encode_event(event()).replace(b"HEARTBEAT", b"HEART\xff"),
    "NaN in data": encode_event(event()).replace(b":101,", b":NaN,"),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_f34_what_is_no_envelope_is_an_invalid_event_whatever_it_is(what: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_event(GARBAGE[what])
    assert caught.value.reason == "undecodable"


@given(st.binary(max_size=80))
def test_f34_any_bytes_are_decoded_or_refused_and_nothing_else(body: bytes) -> None:
    with pytest.raises((InvalidEventError, ConfigError)):
        decode_event(body)


@given(st.integers(0, len(encode_event(event())) - 1))
def test_an_envelope_cut_anywhere_is_refused(end: int) -> None:
    with pytest.raises(InvalidEventError):
        decode_event(encode_event(event())[:end])
