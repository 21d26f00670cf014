"""The bytes of a book and the rules by which it changes."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.book import TOLERANCE, check_clock, decode_book, encode_book, merged, replaced
from harvester.coverage import EPOCH, Book, Coverage, Intervals
from harvester.errors import ConfigError, CoverageResetError, RefusedError

DAY = datetime(2026, 3, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BOOK = Book(
    epoch="0011223344556677",
    queue="c0ffee",
    streams={
        "useractions": Coverage(
            start=DAY,
            read=Intervals(
                [(DAY, DAY + timedelta(hours=2)), (DAY + timedelta(hours=3), DAY + timedelta(hours=4, microseconds=1))]
            ),
            settled=Intervals([(DAY, DAY + timedelta(hours=1))]),
            notes=b"\x00\xffetag",
            notes_at=DAY + timedelta(hours=4),
        ),
        "empty": Coverage(),
    },
)
GOLDEN = (
    b'{"checksum":"9361b82edf2d39e97f18fd332d856754","format":1,"epoch":"0011223344556677","queue":"c0ffee","streams":{'
    b'"empty":{"start":null,"read":[],"settled":[],"notes":"","notes_at":null},'
    b'"useractions":{"start":"2026-03-01T00:00:00.000000Z",'
    b'"read":[["2026-03-01T00:00:00.000000Z","2026-03-01T02:00:00.000000Z"],'
    b'["2026-03-01T03:00:00.000000Z","2026-03-01T04:00:00.000001Z"]],'
    b'"settled":[["2026-03-01T00:00:00.000000Z","2026-03-01T01:00:00.000000Z"]],'
    b'"notes":"AP9ldGFn","notes_at":"2026-03-01T04:00:00.000000Z"}}}'
)

moments = st.integers(0, 10**15).map(lambda n: DAY + n * MICROSECOND)
intervals = st.lists(st.tuples(moments, moments), max_size=4).map(Intervals)
coverages = st.builds(
    Coverage,
    start=st.none() | moments,
    read=intervals,
    settled=intervals,
    notes=st.binary(max_size=20),
    notes_at=st.none() | moments,
)
books = st.builds(
    Book, epoch=st.text("0123456789abcdef"), queue=st.text(), streams=st.dictionaries(st.text(), coverages, max_size=4)
)


def test_a_book_of_this_format_is_written_and_read_the_same_in_every_release() -> None:
    assert encode_book(BOOK) == GOLDEN
    assert decode_book(GOLDEN) == BOOK


@given(books)
def test_every_book_comes_back_as_it_was_written(book: Book) -> None:
    again = decode_book(encode_book(book))
    assert again == book
    assert all(isinstance(c.read, Intervals) and isinstance(c.settled, Intervals) for c in again.streams.values())


def test_f10_no_flipped_bit_and_no_cut_is_taken_for_a_book() -> None:
    for at in range(len(GOLDEN)):
        flipped = bytearray(GOLDEN)
        for bit in range(8):
            flipped[at] = GOLDEN[at] ^ 1 << bit
            with pytest.raises(ValueError, match="checksum"):
                decode_book(bytes(flipped))
        with pytest.raises(ValueError, match="checksum"):
            decode_book(GOLDEN[:at])
    with pytest.raises(ValueError, match="checksum"):
        decode_book(GOLDEN + b"\n")


@pytest.mark.parametrize(
    "book",
    [
        {"format": 1},
        {"format": 1, "epoch": "e", "queue": "q", "streams": {"s": {"start": "2026-03-01T00:00:00"}}},
        {"format": 1, "epoch": "e", "queue": "q", "streams": {"s": {"read": [["2026-03-01T00:00:00Z"]]}}},
        {"format": None},
    ],
)
def test_f10_right_bytes_with_a_wrong_shape_are_damage(book: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        decode_book(sealed(book))


def test_a_newer_format_is_refused_whatever_it_holds() -> None:
    with pytest.raises(ConfigError, match="format 2"):
        decode_book(sealed({"format": 2, "streams": 17}))


def sealed(book: dict[str, object]) -> bytes:
    """A book of any shape under its right checksum: the seal is the same in every format."""
    rest = b'",' + msgspec.json.encode(book)[1:]
    return b'{"checksum":"' + blake2b(rest, digest_size=16).hexdigest().encode() + rest


@given(books, books)
def test_merging_gives_the_union_of_both(stored: Book, new: Book) -> None:
    stored = Book(epoch="e", queue="q", streams=stored.streams)
    new = Book(epoch="e", queue="q", streams=new.streams)
    far = datetime(2100, 1, 1, tzinfo=UTC)
    assert merged("s", stored, new, far).streams == {**stored.streams, **{n: (stored | new).streams[n] for n in new.streams}}


def test_f11_time_ahead_of_the_host_is_refused_from_the_first_microsecond_over_the_tolerance() -> None:
    end = BOOK.streams["useractions"].read[-1].end
    check_clock("opencast", BOOK, end - TOLERANCE)
    with pytest.raises(RefusedError, match="opencast claims that useractions was read until 2026-03-01T04"):
        check_clock("opencast", BOOK, end - TOLERANCE - MICROSECOND)
    check_clock("opencast", Book(), EPOCH)


@pytest.mark.parametrize(
    ("stored", "new", "told"),
    [("a", "b", "reset"), ("", "b", "deleted"), ("a", "", "created")],
)
def test_an_epoch_that_is_not_the_stored_one_is_told(stored: str, new: str, told: str) -> None:
    with pytest.raises(CoverageResetError, match=told):
        merged("s", Book(epoch=stored), Book(epoch=new), DAY)


def test_a_reset_keeps_the_queue_while_any_stream_is_true_for_it() -> None:
    one = replaced(BOOK, "empty", Coverage(start=DAY))
    assert (one.queue, one.streams["useractions"]) == (BOOK.queue, BOOK.streams["useractions"])
    none = replaced(BOOK, "useractions", Coverage(start=DAY))
    assert none.queue == ""
    assert len({BOOK.epoch, one.epoch, none.epoch}) == 3
