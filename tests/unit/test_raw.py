"""Raw JSON: only the bad record is lost, and never a byte of a good one is changed."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import InvalidEventError, TransientError
from harvester.raw import MAX_DEPTH, checked, depth, one_line, split

PATH = ("actions", "action")


def page_of(*records: bytes) -> bytes:
    return b'{"actions": {"total": "%d", "action": [' % len(records) + b", ".join(records) + b'], "limit": "100"}, "took": 3}'


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


GOOD = [
    b'{"id": 1}',
    b'{"id":2,"text":"[{]}\\",\\\\"}',
    '{"id":3,"name":"Å☃😀\u2028"}'.encode(),
    b'{"id":184467440737095516160,"x":0.12345678901234567}',
]
BAD = {
    "not a number": (b'{"id": NaN}', "not_json"),
    "infinity": (b'{"id": -Infinity}', "not_json"),
    "a lone high surrogate": (b'{"id": "\\ud800"}', "not_json"),
    "a lone low surrogate": (b'{"id": "\\udc00"}', "not_json"),
    "a high surrogate before a letter": (b'{"id": "\\ud83dx"}', "not_json"),
    "a surrogate as UTF-8": (b'{"id": "\xed\xa0\x80"}', "not_utf8"),
    "a byte that is no UTF-8": (b'{"id": "\xff"}', "not_utf8"),
    "Latin-1": ('{"id": "é"}'.encode("latin-1"), "not_utf8"),
    "NUL in a string": (b'{"id": "a\x00b"}', "not_json"),
    "NUL between tokens": (b'{"id": \x001}', "not_json"),
    "a line break in a string": (b'{"id": "a\nb"}', "not_json"),
    "an unknown escape": (b'{"id": "\\q"}', "not_json"),
    "a comma too many": (b'{"id": 1,}', "not_json"),
    "a key without quotes": (b"{id: 1}", "not_json"),
    "101 levels": (nested(101), "too_deep"),
    "100,000 levels": (nested(100_000), "too_deep"),
}


@pytest.mark.parametrize("what", BAD)
def test_f44_only_the_bad_record_of_a_page_is_lost(what: str) -> None:
    body, reason = BAD[what]
    for at in range(len(GOOD) + 1):
        cut = split(page_of(*GOOD[:at], body, *GOOD[at:]), *PATH)
        assert cut.records == GOOD
        assert [(bad.body, bad.why.reason) for bad in cut.refused] == [(body, reason)]
        assert msgspec.json.decode(cut.envelope) == {"actions": {"total": "5", "action": [], "limit": "100"}, "took": 3}


@pytest.mark.parametrize("what", BAD)
def test_f44_a_bad_record_alone_is_refused_with_its_reason(what: str) -> None:
    body, reason = BAD[what]
    with pytest.raises(InvalidEventError) as caught:
        checked(body)
    assert caught.value.reason == reason


def test_f44_one_bad_object_in_place_of_a_list_is_refused_whole() -> None:
    cut = split(b'{"actions":{"action": {"id": NaN, "list": [1, 2]} }}', *PATH)
    assert cut.records == []
    assert [bad.body for bad in cut.refused] == [b'{"id": NaN, "list": [1, 2]}']


@pytest.mark.parametrize("record", GOOD)
def test_f44_a_good_record_keeps_every_byte(record: bytes) -> None:
    assert checked(record) is record


def test_f44_a_hundred_levels_pass_and_one_more_does_not() -> None:
    assert checked(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(InvalidEventError, match="deeper than 100"):
        checked(nested(MAX_DEPTH + 1))


def test_brackets_in_text_do_not_count_as_levels() -> None:
    record = b'{"text": "' + b"[" * 500 + b'\\"]"}'
    assert depth(record) == 1
    assert checked(record) == record


def test_a_record_with_line_breaks_becomes_one_line_with_its_numbers_and_text_untouched() -> None:
    record = b'{\r\n  "id": 184467440737095516160,\n  "x": 1.2345678901234567e-8,\n  "text": "a\\nb \\u00e9"\n}\n'
    assert checked(record) == b'{"id":184467440737095516160,"x":1.2345678901234567e-8,"text":"a\\nb \\u00e9"}'
    assert one_line(b'{"id" : 1}') == b'{"id" : 1}'


def test_a_page_cut_at_any_byte_is_transient() -> None:
    page = page_of(*GOOD, b'{"id": NaN}')
    for end in range(len(page)):
        with pytest.raises(TransientError):
            split(page[:end], *PATH)
    assert split(page, *PATH).records == GOOD


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"null",
        b'"actions"',
        b"<!DOCTYPE html><html><body onload=\"go('{[')\">Sign in: <a href='x'>here</a></body></html>",
        b'{"error": "unavailable"}',
        b'{"actions": null}',
        page_of(b'{"id": NaN}') + b"<html>",
        b'{"actions": {"action": "", "more": [{"id": NaN}]}}',
        b'{"actions": {"action": null, "more": [{"id": NaN}]}}',
        b'{"actions": ""}',
        b'{"actions": [{"total": 0}]}',
        b'{"actions": 0, "others": {"total": NaN}}',
        b'{"actions": 0, "others": {"action": [{"id": NaN}]}}',
        b'[{"actions": {"action": [{"id": NaN}]}}]',
    ],
    ids=lambda page: page[:40].decode(),
)
def test_f42_a_page_without_the_records_is_transient_and_never_another_list(page: bytes) -> None:
    with pytest.raises(TransientError, match=r"actions\.action"):
        split(page, *PATH)


@pytest.mark.parametrize(
    "page",
    [
        b'{"actions": {"total": "0", "limit": "10"}}\n',
        b'{"actions": {}}',
        b'{"actions": {"total": 0}, "others": {"action": [{"id": NaN}]}}',
    ],
)
def test_a_whole_page_without_the_last_key_has_no_records(page: bytes) -> None:
    assert split(page, *PATH) == (page, [], [])
    for end in range(len(page.strip())):
        with pytest.raises(TransientError):
            split(page[:end], *PATH)


def test_an_unclosed_text_full_of_quotes_is_judged_in_linear_time() -> None:
    page = b'{"actions": {"action": [{"text": "' + b'x\\"' * 200_000
    began = time.process_time()
    with pytest.raises(TransientError):
        split(page, *PATH)
    assert time.process_time() - began < 2  # quadratic, it would be hours


def values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | texts()
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4), max_leaves=12
    )


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
        ['"action":', "[{", "}]", "\\", '\\"', "\n"]
    )


records = st.dictionaries(texts(), values(), max_size=4)
bad_records = st.sampled_from([body for body, _ in BAD.values() if len(body) < 1000])


@given(st.lists(records, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_splitting_gives_what_parsing_gives(rows: list[dict[str, Any]], ascii_only: bool, indent: int | None) -> None:
    page = json.dumps(
        {"before": rows[:1], "actions": {"total": 1, "action": rows}}, ensure_ascii=ascii_only, indent=indent
    ).encode()
    cut = split(page, *PATH)
    assert cut.refused == []
    assert [json.loads(record) for record in cut.records] == rows
    assert all(b"\n" not in record for record in cut.records)
    assert json.loads(cut.envelope) == {"before": rows[:1], "actions": {"total": 1, "action": []}}


@given(st.lists(records.map(lambda row: json.dumps(row).encode()) | bad_records, max_size=6))
def test_every_record_of_a_page_is_either_whole_or_refused_in_order(bodies: list[bytes]) -> None:
    cut = split(page_of(*bodies), *PATH)
    bad = {body for body, _ in BAD.values()}
    assert cut.records == [body for body in bodies if body not in bad]
    assert [refused.body for refused in cut.refused] == [body for body in bodies if body in bad]


@given(st.binary(max_size=60))
def test_what_is_checked_is_one_line_of_strict_json(body: bytes) -> None:
    try:
        record = checked(body)
    except InvalidEventError:
        return
    assert b"\n" not in record
    assert b"\r" not in record
    assert json.loads(record) == json.loads(body)


@given(st.binary(max_size=80))
def test_a_page_of_any_bytes_is_split_or_transient(page: bytes) -> None:
    try:
        cut = split(b'{"actions":{"action":[' + page + b"]}}", *PATH)
    except TransientError:
        return
    for record in cut.records:
        json.loads(record)
