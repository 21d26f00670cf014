"""Raw JSON: a vendor's page cut into records without changing a byte of them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from harvester.errors import InvalidEventError, TransientError

MAX_DEPTH = 100
# A string that is not closed is one token to the end: trying again at each of its escaped quotes would take quadratic time.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},:]', re.DOTALL)
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
    level = deepest = 0
    for token in _TOKEN.finditer(record):
        char = token[0]
        if char in (b"{", b"["):
            level += 1
            deepest = max(deepest, level)
        elif char in (b"}", b"]"):
            level -= 1
    return deepest


def split(page: bytes, *path: str) -> Split:
    """Cut a page that the strict parser refused, so that only its bad records are lost to the stream.

    `path` leads to the records (one object, or an array). Raises TransientError when the page itself is no whole JSON:
    truncated, or HTML.
    """
    start, end = _value(page, path)
    records: list[bytes] = []
    refused: list[Refused] = []
    for body in _elements(page, start, end):
        try:
            records.append(checked(body))
        except InvalidEventError as why:
            refused.append(Refused(body, why))
    return Split(page[:start] + b"[]" + page[end:], records, refused)


def _value(page: bytes, path: tuple[str, ...]) -> tuple[int, int]:
    """Where the object or array at `path` begins and ends, in a page that closes what it opens."""
    level = matched = inside = 0
    begin = end = -1
    last = b""
    for token in _TOKEN.finditer(page):
        char = token[0]
        if begin < 0 and matched == len(path):
            if char not in (b"{", b"["):
                break
            begin, inside = token.start(), level
        if char == b":" and begin < 0 < level:
            matched = min(matched, level - 1)  # a key beside one of the path: that one's value is over
            if level == matched + 1 and last == b'"%s"' % path[matched].encode():
                matched += 1
        elif char in (b"{", b"["):
            level += 1
        elif char in (b"}", b"]"):
            level -= 1
            if end < 0 <= begin and level == inside:
                end = token.end()
            if level == 0 and end > 0 and not page[token.end() :].strip():
                return begin, end
        last = char
    raise TransientError(f"the answer is no whole JSON with {'.'.join(path)} in it ({len(page)} bytes)")


def _elements(page: bytes, start: int, end: int) -> Iterator[bytes]:
    if page[start : start + 1] == b"{":
        yield page[start:end]
        return
    level, begin = 0, start + 1
    for token in _TOKEN.finditer(page, start, end):
        char = token[0]
        if char in (b"{", b"["):
            level += 1
        elif char in (b"}", b"]"):
            level -= 1
        if (char == b"," and level == 1) or level == 0:
            body = page[begin : token.start()].strip()
            if body:
                yield body
            begin = token.end()
