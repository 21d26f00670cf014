"""Raw JSON: a vendor's page cut into records without changing a byte of them."""

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from harvester.errors import InvalidEventError, TransientError

MAX_DEPTH = 100
# A string that is not closed is one token to the end: trying again at each of its escaped quotes would take quadratic time.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},:]', re.DOTALL)
_OPEN = (b"{", b"[")
_CLOSE = (b"}", b"]")
_any_value = msgspec.json.Decoder(msgspec.Raw)


class Refused(NamedTuple):
    """A record that may not be passed on: its bytes as they came, and why."""

    body: bytes
    why: InvalidEventError


class Split(NamedTuple):
    """A page in pieces: what surrounds the records, the records, and those that are no JSON."""

    envelope: bytes
    records: list[bytes]
    refused: list[Refused]


def checked(record: bytes) -> bytes:
    """One record as it may travel: valid UTF-8, strict JSON, one line, at most 100 levels deep. Else InvalidEventError."""
    try:
        record.decode()
    except UnicodeDecodeError as error:
        raise InvalidEventError(f"not UTF-8: {error}", reason="not_utf8") from error
    if depth(record) > MAX_DEPTH:
        raise InvalidEventError(f"nested deeper than {MAX_DEPTH} levels", reason="too_deep")
    try:
        _any_value.decode(record)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(f"not JSON: {error}", reason="not_json") from error
    return one_line(record)


def one_line(record: bytes) -> bytes:
    """The record without line breaks: a bulk body has one line a document."""
    return msgspec.json.format(record, indent=-1) if b"\n" in record or b"\r" in record else record


def depth(record: bytes) -> int:
    """How deep arrays and objects are nested; exact only when it could matter."""
    brackets = record.count(b"{") + record.count(b"[")
    if brackets <= MAX_DEPTH:
        return brackets
    return max(level for _, level in _tokens(record))


def split(page: bytes, *path: str) -> Split:
    """Cut a page that the strict parser refused, so that only its bad records are lost to the stream.

    `path` leads to the records (one object, or an array; none when its last key is absent). Raises TransientError when the
    page itself is no whole JSON: truncated, or HTML.
    """
    found = _value(page, path)
    if found is None:
        return Split(page, [], [])
    start, end = found
    records: list[bytes] = []
    refused: list[Refused] = []
    for body in _elements(page, start, end):
        try:
            records.append(checked(body))
        except InvalidEventError as why:
            refused.append(Refused(body, why))
    return Split(page[:start] + b"[]" + page[end:], records, refused)


def _value(page: bytes, path: tuple[str, ...]) -> tuple[int, int] | None:
    """Where the object or array at `path` begins and ends; None when a whole page has all of the path but its last key."""
    matched = inside = 0
    begin = end = -1
    last, absent = b"", False
    for token, level in _tokens(page):
        char = token[0]
        if begin < 0 and matched == len(path):
            if char not in _OPEN:
                break
            begin, inside = token.start(), level - 1
        elif begin < 0 < level and char == b":":
            matched = min(matched, level - 1)  # a key beside one of the path: that one's value is over
            matched += level == matched + 1 and last == b'"%s"' % path[matched].encode()
        elif begin < 0 and char == b"}":
            absent = absent or level == matched == len(path) - 1 > 0
        elif begin >= 0 > end and level == inside:
            end = token.end()
        if level == 0 and (absent or end > 0) and not page[token.end() :].strip():
            return (begin, end) if end > 0 else None
        last = char
    raise TransientError(f"the answer is no whole JSON with {'.'.join(path)} in it ({len(page)} bytes)")


def _elements(page: bytes, start: int, end: int) -> Iterator[bytes]:
    if page[start : start + 1] == b"{":
        yield page[start:end]
        return
    begin = start + 1
    for token, level in _tokens(page, start, end):
        if (level == 1 and token[0] == b",") or level == 0:
            body = page[begin : token.start()].strip()
            if body:
                yield body
            begin = token.end()


def _tokens(text: bytes, start: int = 0, end: int = sys.maxsize) -> Iterator[tuple[re.Match[bytes], int]]:
    """Each token, and how deep the nesting is behind it."""
    level = 0
    for token in _TOKEN.finditer(text, start, end):
        level += (token[0] in _OPEN) - (token[0] in _CLOSE)
        yield token, level
