"""Messages that are larger than a queue takes (F22)."""

import random
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harvester.access import Access
from harvester.errors import PayloadTooLargeError, PermanentError
from harvester.objects import open_objects
from harvester.payload import CLAIM, ENCODING, FOLDER, HASH, ROOM, SIZE, Payloads, open_payloads
from harvester.protocols import Message

LIMIT = 1000
NOISE = random.Random(22).randbytes(10 * LIMIT)


def size(message: Message) -> int:
    return len(message.body)


@asynccontextmanager
async def payloads(folder: Path | None) -> AsyncIterator[Payloads]:
    access = Access(claims_url=f"file://{folder}") if folder else Access()
    async with open_payloads(access, LIMIT, size) as found:
        yield found


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / FOLDER).glob("*") if path.is_file())


async def claimed(folder: Path, body: bytes) -> Message:
    async with payloads(folder) as found:
        (message,) = await found.fitted([Message("k", body)])
    assert CLAIM in message.headers
    return message


@pytest.mark.parametrize("length", [LIMIT - 1, LIMIT])
async def test_f22_what_fits_passes_untouched(length: int) -> None:
    sent = [Message("k", NOISE[:length], {"a": "b"})]
    async with payloads(None) as found:
        assert await found.fitted(sent) is sent
        assert await found.restored(sent) is sent


@pytest.mark.parametrize("claims", [True, False], ids=["with claims", "without"])
async def test_f22_what_is_one_byte_too_large_but_compresses_is_compressed_and_comes_back(tmp_path: Path, claims: bool) -> None:
    sent = Message("k", b"x" * (LIMIT + 1), {"a": "b"})
    async with payloads(tmp_path if claims else None) as found:
        (fitting,) = await found.fitted([sent])
        assert size(fitting) <= LIMIT
        assert fitting.headers[ENCODING] == "zlib"
        assert await found.restored([fitting]) == [sent]
    assert stored(tmp_path) == []


async def test_f22_what_no_compression_helps_is_named_and_nothing_is_stored() -> None:
    large = Message("k", NOISE[: LIMIT + 1])
    async with payloads(None) as found:
        with pytest.raises(PayloadTooLargeError, match="HARVESTER_CLAIMS_URL") as refused:
            await found.fitted([Message("k", b"a"), large, Message("k", b"x" * (LIMIT + 1)), large])
    assert refused.value.indexes == (1, 3)


async def test_f22_with_a_store_of_objects_it_is_claimed_and_comes_back_verified(tmp_path: Path) -> None:
    sent = [Message("a", b"small"), Message("k", NOISE, {"a": "b"}), Message("l", b"x" * 5000)]
    async with payloads(tmp_path) as found:
        fitting = await found.fitted(sent)
        assert [size(message) <= LIMIT for message in fitting] == [True] * 3
        assert fitting[1].headers[SIZE] == str(len(NOISE))
        assert fitting[1].headers[CLAIM] == FOLDER + fitting[1].headers[HASH]
        assert await found.restored(fitting) == sent
    assert len(stored(tmp_path)) == 1


async def test_f22_publishing_again_makes_no_second_object(tmp_path: Path) -> None:
    first = await claimed(tmp_path, NOISE)
    assert await claimed(tmp_path, NOISE) == first
    assert len(stored(tmp_path)) == 1


async def test_f22_its_headers_take_no_more_room_than_is_kept_for_them(tmp_path: Path) -> None:
    message = await claimed(tmp_path, NOISE)
    assert sum(len(name) + len(value) + 8 for name, value in message.headers.items()) <= ROOM
    assert len(message.body) <= ROOM


@pytest.mark.parametrize("damage", ["gone", "cut", "another", "no compression", "a bomb"])
async def test_f22_an_object_that_is_gone_or_another_gives_no_event_and_does_not_end_anything(
    tmp_path: Path, damage: str
) -> None:
    message = await claimed(tmp_path, NOISE)
    async with open_objects(f"file://{tmp_path}") as objects:
        whole = await objects.get(message.headers[CLAIM])
        assert whole is not None
        bodies = {"cut": whole.body[:-10], "another": zlib.compress(NOISE[::-1]), "no compression": b"x"}
        if damage == "gone":
            await objects.delete([message.headers[CLAIM]])
        else:
            await objects.put(message.headers[CLAIM], bodies.get(damage, zlib.compress(b"\0" * 50_000_000)))
    async with payloads(tmp_path) as found:
        (got,) = await found.restored([message])
    assert got.body == message.headers[CLAIM].encode()


async def test_f22_who_has_no_store_of_objects_stops_at_a_claim_instead_of_passing_over_it(tmp_path: Path) -> None:
    message = await claimed(tmp_path, NOISE)
    async with payloads(None) as found:
        with pytest.raises(PermanentError, match="HARVESTER_CLAIMS_URL"):
            await found.restored([message])
