"""The archive where its store misbehaves: what is written while it is checked, listings that break off, requests given up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from consumers import archived
from consumers.archived import Lost, events, manifests, segments
from consumers.segments import MANIFESTS, Manifest, manifest_of
from consumers.sinks.archive import ArchiveSink
from consumers.sinks.archive_settings import ArchiveSettings
from consumers.verifying import Verdict, verified
from harvester.errors import ConflictError, PermanentError, TransientError
from harvester.objects import open_objects
from harvester.protocols import Objects, Stored
from harvester.retry import Retry
from tests.archiving import ALL, listed, read, written
from tests.fakes import NOON
from tests.useractions import useraction_event


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/archive"


class Through:
    """A store, as it is but for what a test changes of it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def get(self, name: str) -> Stored | None:
        return await self._objects.get(name)

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        return await self._objects.put(name, body, replaces=replaces)

    async def delete(self, names: Any) -> None:
        await self._objects.delete(names)

    async def delete_as(self, name: str, tag: str) -> bool:
        return await self._objects.delete_as(name, tag)

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        async for name in self._objects.names(prefix, after):
            yield name


class Written(Through):
    """Somebody writes to it behind each listing."""

    def __init__(self, objects: Objects, write: Callable[[], Awaitable[None]]) -> None:
        super().__init__(objects)
        self._write = write

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for name in [name async for name in self._objects.names(prefix, after)]:
            yield name
        await self._write()


async def checked(url: str) -> Verdict:
    async with open_objects(url) as objects:
        return await verified(objects)


async def test_what_is_written_while_it_is_checked_is_of_no_killed_writer(url: str) -> None:
    await written(url, [useraction_event(0)])
    numbers = iter(range(1, 100))
    async with open_objects(url) as objects:
        verdict = await verified(Written(objects, lambda: written(url, [useraction_event(next(numbers))])))
    assert next(numbers) > 2
    assert (verdict.unnamed, verdict.faults) == ([], [])


async def test_a_segment_that_is_named_while_it_is_checked_is_read_too(url: str) -> None:
    await written(url, [useraction_event(0)], [useraction_event(1)])
    async with open_objects(url) as objects:
        held = [(name, body) async for name, body in manifests(objects)][1:]
        await objects.delete([name for name, _ in held])

        async def name_it() -> None:
            if next(listings) == 2:  # the manifests
                await objects.put(*held[0])

        listings = iter(range(1, 9))
        verdict = await verified(Written(objects, name_it))
    assert (verdict.segments, verdict.events, verdict.manifests) == (2, 2, 2)
    assert (verdict.unnamed, verdict.faults) == ([], [])


async def test_the_last_manifest_of_a_writer_that_is_taken_away_is_missed_by_what_it_named(url: str) -> None:
    await written(url, [useraction_event(0)], [useraction_event(1), useraction_event(2)])
    last = (await listed(url))[1].name
    async with open_objects(url) as objects:
        await objects.delete([[name async for name in objects.names(MANIFESTS)][1]])
    (fault,) = (await checked(url)).faults
    assert fault.startswith(f"{last}: 2 of its events are nowhere else")
    await written(url, [useraction_event(1)])
    assert "1 of its events are nowhere else" in (await checked(url)).faults[0]
    await written(url, [useraction_event(2)])
    verdict = await checked(url)
    assert (verdict.unnamed, verdict.faults) == ([last], [])


async def test_an_unnamed_segment_that_is_damaged_is_told(url: str) -> None:
    await written(url, [useraction_event(0)])
    async with open_objects(url) as objects:
        await objects.put("opencast/useractions/2026-11-28/x_chunk_1.ndjson.zst", b"rotten")
    assert "no manifest names it" in (await checked(url)).faults[0]


async def test_a_listing_that_breaks_off_is_taken_up_where_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "ONE_SHOT", Retry(3, scale=0))

    class Breaking(Through):
        left = 3

        async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
            async for name in self._objects.names(prefix, after):
                yield name
                if self.left:
                    self.left -= 1
                    raise TransientError("reset")

    await written(url, *([useraction_event(n)] for n in range(5)))
    async with open_objects(url) as objects:
        whole = [name async for name in objects.names("")]
        assert await archived.listed(Breaking(objects), "") == whole
        endless = Breaking(objects)
        endless.left = 4
        with pytest.raises(TransientError):
            await archived.listed(endless, "")


async def test_a_segment_or_manifest_that_is_lost_is_told_and_the_rest_is_read(url: str) -> None:
    await written(url, *([useraction_event(n)] for n in range(5)))
    missing, altered = (segment.name for segment in (await listed(url))[1:3])
    lost: list[Lost] = []
    async with open_objects(url) as objects:
        last = [name async for name in objects.names(MANIFESTS)][4]
        await objects.put(altered, b"rotten")
        await objects.delete([missing])
        await objects.put(last, b"{")
        chosen = await segments(objects, ALL, lost.append)
        found = [one.event.subject async for _, some in events(objects, chosen, ALL, lost.append) for one in some]
        with pytest.raises(PermanentError, match="damaged"):
            await segments(objects, ALL)
        with pytest.raises(PermanentError, match="missing"):
            [_ async for _ in events(objects, chosen, ALL)]
    assert found == ["0", "3"]
    assert [one.name for one in lost] == [last, missing, altered]
    assert [one.segment and one.segment.events for one in lost] == [None, 1, 1]


async def test_objects_are_read_ahead_up_to_a_bound_in_bytes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []

    class Counting(Through):
        now = 0

        async def get(self, name: str) -> Stored | None:
            self.now += 1
            try:
                found = await self._objects.get(name)
                at_once.append(self.now)
                return found
            finally:
                self.now -= 1

    await written(url, *([useraction_event(n)] for n in range(12)))
    chosen = await listed(url)
    for most, expected in ((10**9, 8), (2 * max(segment.bytes for segment in chosen), 3), (1, 1)):
        monkeypatch.setattr(archived, "_AHEAD_BYTES", most)
        at_once.clear()
        async with open_objects(url) as objects:
            assert len([_ async for _ in events(Counting(objects), chosen, ALL)]) == 12
        assert max(at_once) <= expected
        assert (max(at_once) == 1) is (most == 1)


class GivenUp(Through):
    """Each first put of a name says that another is there, and is done only later: a request of ours that was given up."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self.late: dict[str, bytes] = {}
        self.busy = True

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        if self.busy and name not in self.late:
            self.late[name] = body
            raise ConflictError(name)
        return await super().put(name, body, replaces=replaces)


async def test_an_object_that_a_request_of_ours_is_still_writing_is_waited_for_and_no_damage(url: str) -> None:
    batch = [useraction_event(n) for n in range(3)]
    async with open_objects(url) as objects:
        store = GivenUp(objects)
        sink = ArchiveSink(store, ArchiveSettings(url=url), now=lambda: NOON)
        with pytest.raises(TransientError, match=r"useractions/.* is being written"):
            await sink.write(batch)
        with pytest.raises(TransientError, match=rf"{MANIFESTS}.* is being written"):
            await sink.write(batch)
        for name, body in store.late.items():  # now they are done
            await objects.put(name, body)
        store.busy = False
        assert list(await sink.write(batch)) == []
        written_down = [manifest_of(name, body) async for name, body in manifests(objects)]
        assert await verified(objects) == Verdict(manifests=2, segments=1, events=3, bytes=written_down[0].segments[0].bytes)
    assert _numbers(written_down) == [1, 2]
    assert [event.subject for event in await read(url)] == ["0", "1", "2"]


def _numbers(found: list[Manifest]) -> list[int]:
    return [manifest.number for manifest in found]


async def test_writers_of_the_same_at_once_leave_it_whole(url: str) -> None:
    batch = [useraction_event(n) for n in range(50)]
    await asyncio.gather(*(written(url, batch, batch[:20]) for _ in range(5)))
    verdict = await checked(url)
    assert (verdict.segments, verdict.faults, verdict.unnamed) == (2, [], [])
    assert len(await read(url)) == 50
