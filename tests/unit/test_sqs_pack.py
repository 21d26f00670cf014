"""What stands in one SQS message."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import ConfigError
from harvester.protocols import Message
from harvester.queues.sqs_pack import ENTRIES, FRAME, LARGEST, Parcel, batches, packed, parcels, plain, taken, unpacked

TEXT = st.text(max_size=20)
BODIES = st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode), st.just(b"harvester-pack/1 "))
MESSAGES = st.builds(Message, TEXT, BODIES, st.dictionaries(TEXT, TEXT, max_size=2))
NOISE = random.Random(25).randbytes(2 * LARGEST)


def legal(text: str) -> bool:
    """What the API reference says that a message may hold."""
    return bool(text) and all(
        c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000" for c in text
    )


def weight(parcel: Parcel) -> int:
    """As SQS counts: body, and name, type and value of each attribute."""
    attributes = sum(len(name.encode()) + len("String") + len(value.encode()) for name, value in parcel.attributes.items())
    return len(parcel.body.encode()) + attributes


@given(st.lists(MESSAGES, min_size=1, max_size=8), st.sampled_from([1, 3, 1000]), st.sampled_from([256, LARGEST]))
def test_whatever_is_packed_is_legal_no_larger_than_told_and_comes_out_as_it_went_in(
    messages: list[Message], most: int, most_bytes: int
) -> None:
    made = list(parcels(messages, most, most_bytes))
    assert all(legal(text) for parcel in made for text in (parcel.body, *parcel.attributes.values()))
    assert all(weight(parcel) <= parcel.size for parcel in made)
    assert [message for parcel in made for message in unpacked(parcel.body, parcel.attributes)] == messages


@given(st.binary(max_size=30))
def test_plain_is_what_may_stand_in_a_line_of_a_message(body: bytes) -> None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        assert not plain(body)
        return
    assert plain(body) == ("\n" not in text and "\r" not in text and (legal(text) or not text))


def test_bodies_that_are_text_only_together_are_not_taken_for_text() -> None:
    messages = [Message("a", "é".encode()[:1]), Message("b", "é".encode()[1:])]
    assert unpacked(packed(messages)) == messages


def test_a_pack_can_be_read_by_people() -> None:
    messages = [Message("opencast/1", b'{"id":1}'), Message("opencast/2", b'{"id":2}')]
    assert packed(messages) == 'harvester-pack/1 {"keys": ["opencast/1", "opencast/2"]}\n{"id":1}\n{"id":2}'


def test_one_event_a_message_is_the_envelope_itself() -> None:
    (parcel,) = parcels([Message("k", b'{"id":1}', {"a": "b"})], 1, LARGEST)
    assert parcel.body == '{"id":1}'
    assert parcel.attributes == {"key": "k", "headers": '{"a": "b"}'}


@pytest.mark.parametrize(
    "body", ["", "{}", "harvester-pack/", "harvester-pack/x {}\na", 'harvester-pack/1 {"keys": ["a"]}', "harvester-pack/1 [",
             'harvester-pack/1 {"keys": ["a"], "base64": [0]}\n*', 'harvester-pack/1 {"keys": ["a"], "headers": {"7": {}}}\nx',
             'harvester-pack/1 {"keys": ["a", "b"]}\nx', "harvester-pack/1 []\nx"]
)  # fmt: skip
def test_what_is_no_whole_pack_is_one_message_and_no_crash(body: str) -> None:
    if body == 'harvester-pack/1 {"keys": ["a"]}':
        assert unpacked(body) == [Message("a", b"")]
    else:
        assert unpacked(body) == [Message("", body.encode())]


def test_a_pack_of_a_newer_format_stops_the_process() -> None:
    with pytest.raises(ConfigError, match="format 2"):
        unpacked('harvester-pack/2 {"keys": ["a"]}\nx')


@pytest.mark.parametrize("body", [b"x" * (LARGEST - FRAME), NOISE[: (LARGEST - FRAME) * 3 // 4 - 64]], ids=["text", "binary"])
def test_f22_the_largest_that_is_said_to_fit_fits(body: bytes) -> None:
    message = Message("", body[: len(body) - taken(Message("", b""))])
    assert taken(message) <= LARGEST - FRAME
    for most in (1, 1000):
        (parcel,) = parcels([message], most, LARGEST)
        assert weight(parcel) <= parcel.size <= LARGEST


def test_f22_ten_messages_whose_sum_is_over_go_in_several_batches() -> None:
    made = [Parcel("x" * 200_000, {}, 200_000) for _ in range(10)]
    found = list(batches(made))
    assert [parcel for batch in found for parcel in batch] == made
    assert all(sum(parcel.size for parcel in batch) <= LARGEST for batch in found)
    assert [len(batch) for batch in found] == [5, 5]


def test_a_batch_has_ten_messages_at_most() -> None:
    assert [len(batch) for batch in batches(Parcel("x", {}, 1) for _ in range(25))] == [ENTRIES, ENTRIES, 5]


def test_f22_one_byte_decides_whether_a_batch_is_full() -> None:
    for size, amount in ((LARGEST // 2, 1), (LARGEST // 2 + 1, 2)):
        assert len(list(batches([Parcel("", {}, size)] * 2))) == amount


def test_keys_of_events_are_json_and_nothing_else() -> None:
    head = packed([Message("\ud7ff\0\ufffe\U0001f600", b"x")]).partition("\n")[0].partition(" ")[2]
    assert head.isascii()
    assert json.loads(head) == {"keys": ["\ud7ff\0\ufffe\U0001f600"]}
