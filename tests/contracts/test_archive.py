"""What the archive does in every store that it can be kept in."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers import chunks
from consumers.archived import Wanted
from consumers.protocols import Gathering
from consumers.segments import MANIFESTS
from consumers.sinks.archive import ArchiveSink
from consumers.sinks.archive_settings import ArchiveSettings
from consumers.verifying import Verdict, verified
from harvester.errors import ConfigError, PermanentError, TransientError
from harvester.event import Event, encode_event, event_id
from harvester.objects import open_objects
from harvester.protocols import Objects
from tests.archiving import listed, opened, read, stored, written
from tests.contracts.stores import DRIVERS, Driver, prepared
from tests.servers.fixtures import Servers
from tests.useractions import FIRST, useraction_event

ROOT = Path(__file__).parents[2]
READ = datetime(2026, 11, 28, 12, 0, 5, tzinfo=UTC)


@pytest.fixture(params=DRIVERS["objects"], ids=str)
async def url(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> str:
    driver = request.param
    assert isinstance(driver, Driver)
    return await prepared(driver, tmp_path, servers)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """One in a folder, for what does not depend on the store."""
    return f"file://{tmp_path}/archive"


def read_at(event: Event, moment: datetime) -> Event:
    return msgspec.structs.replace(event, read_at=moment)


def pull_request(number: int, *, owner: str = "acme", name: str = "widgets") -> Event:
    repository = {"id": 7, "name": name, "owner": owner}
    data = msgspec.json.encode({"from": "graphql", "repository": repository, "pull_request": {"number": number}})
    subject, type_ = f"7/{number}", "github.pull_request"
    about: dict[str, Any] = {"id": event_id("github", type_, subject, data), "source": "github", "type": type_}
    return Event(**about, subject=subject, version=1, time=FIRST, read_at=READ, data=msgspec.Raw(data))


async def test_f8_what_was_written_is_read_as_the_bytes_it_was_in_the_order_it_came(url: str) -> None:
    batches = [[useraction_event(n) for n in range(30)], [useraction_event(n, version=99) for n in range(5)]]
    await written(url, *batches)
    found = await read(url)
    assert [encode_event(event) for event in found] == [encode_event(event) for batch in batches for event in batch]


async def test_f8_objects_are_written_once_and_named_by_a_manifest(url: str) -> None:
    await written(url, [useraction_event(1)], [useraction_event(2)])
    async with stored(url) as objects:
        before = {name: await objects.get(name) async for name in objects.names("")}
    await written(url, [useraction_event(1)], [useraction_event(3)])
    async with stored(url) as objects:
        after = {name: await objects.get(name) async for name in objects.names("")}
        verdict = await verified(objects)
    assert {name: after[name] for name in before} == before
    assert len(after) - len(before) == 3  # two manifests, and one segment: the other was there
    assert (verdict.segments, verdict.events, verdict.manifests) == (3, 3, 4)
    assert (verdict.faults, verdict.unnamed) == ([], [])


async def test_f30_a_batch_delivered_twice_is_read_once_and_its_repeats_are_counted(url: str) -> None:
    events = [useraction_event(n) for n in range(20)]
    await written(url, events[:10], events[:10], events[5:15], events[10:])
    assert [event.subject for event in await read(url)] == [str(n) for n in range(20)]
    async with stored(url) as objects:
        assert (await verified(objects)).repeated == 10


async def test_a_state_that_came_back_later_is_read_as_the_newest_and_its_repeats_are_dropped(folder: str) -> None:
    one, other = (msgspec.structs.replace(useraction_event(1, type=name), version=at) for name, at in (("A", 1), ("B", 2)))
    back = msgspec.structs.replace(one, version=3)
    assert back.id == one.id
    await written(folder, [one], [other], [back], [one, back])
    assert [event.version for event in await read(folder)] == [1, 2, 3]
    async with stored(folder) as objects:
        assert (await verified(objects)).repeated == 2


async def test_q27_names_say_source_kind_and_day_and_for_github_the_repository(folder: str) -> None:
    late = read_at(useraction_event(2), READ + timedelta(days=1))
    prs = [pull_request(n) for n in range(250)]
    await written(folder, [read_at(useraction_event(1), READ), late, *prs, pull_request(1, name="../../x", owner="..")])
    names = [segment.name for segment in await listed(folder)]
    assert [name.rpartition("/")[0] for name in names] == [
        "opencast/useractions/2026-11-28",
        "opencast/useractions/2026-11-29",
        *["acme/widgets/pull_requests/2026-11-28"] * 3,
        "%2E./..%2F..%2Fx/pull_requests/2026-11-28",
    ]
    assert [name.rpartition("/")[2][:17] for name in names[2:5]] == ["20261128T120005Z-"] * 3
    assert [name.partition("_chunk_")[2] for name in names[2:5]] == ["1.ndjson.zst", "2.ndjson.zst", "3.ndjson.zst"]
    assert [segment.events for segment in await listed(folder)] == [1, 1, 100, 100, 50, 1]


async def test_b36_an_object_of_github_holds_as_many_events_as_are_set(folder: str) -> None:
    await written(folder, [pull_request(n) for n in range(10)], chunk=4)
    assert [segment.events for segment in await listed(folder)] == [4, 4, 2]


def test_b36_the_predecessors_name_sets_it_and_without_it_there_are_a_hundred() -> None:
    assert ArchiveSettings.model_validate({}).chunk == 100
    assert ArchiveSettings.model_validate({"GCS_CHUNK_SIZE": "7"}).chunk == 7


async def test_f9_the_reader_gives_what_is_asked_for_by_time_source_and_type(folder: str) -> None:
    zoom = useraction_event(3, source="zoom")
    await written(folder, [useraction_event(n) for n in range(10)], [zoom, pull_request(1)])
    first = FIRST + timedelta(seconds=3)
    window = Wanted(start=first, end=first + timedelta(seconds=4))
    assert [(e.source, e.subject) for e in await read(folder, window)] == [
        *(("opencast", str(n)) for n in range(3, 7)),
        ("zoom", "3"),
    ]
    assert [e.source for e in await read(folder, Wanted(sources=["zoom", "github"]))] == ["zoom", "github"]
    assert len(await read(folder, Wanted(types=["useraction"]))) == 11
    assert [e.type for e in await read(folder, Wanted(types=["github.pull_request"]))] == ["github.pull_request"]
    assert await read(folder, Wanted(types=["request"])) == []
    assert [e.source for e in await read(folder, Wanted(read_start=READ))] == ["github"]
    assert len(await read(folder, Wanted(read_end=READ))) == 11


@pytest.mark.parametrize("harm", ["altered", "missing", "manifest altered", "manifest missing", "unnamed"])
async def test_f8_what_is_missing_or_altered_is_found(folder: str, harm: str) -> None:
    await written(folder, *([useraction_event(n)] for n in range(3)))
    segment = (await listed(folder))[1].name
    async with stored(folder) as objects:
        manifest = [name async for name in objects.names(MANIFESTS)][1]
        name = manifest if "manifest" in harm else segment
        found = await objects.get(name)
        assert found is not None
        if harm == "altered":
            await objects.put(name, found.body[:-1])
        elif harm == "manifest altered":
            await objects.put(name, found.body.replace(b'"events":1', b'"events":2'))
        elif harm == "unnamed":
            await objects.put(name.replace("_1.", "_9."), found.body)
        else:
            await objects.delete([name])
        verdict = await verified(objects)
    assert bool(verdict.faults) is (harm != "unnamed")
    assert harm == "unnamed" or any((name if "manifest" not in harm else "writer") in fault for fault in verdict.faults)
    assert len(verdict.unnamed) == (harm in ("unnamed", "manifest missing"))
    if harm in ("altered", "missing"):
        with pytest.raises(PermanentError, match=r"opencast/useractions/"):
            await read(folder)


async def test_an_archive_of_a_newer_format_is_refused(folder: str) -> None:
    await written(folder, [useraction_event(1)])
    async with stored(folder) as objects:
        await objects.put(f"{MANIFESTS}2026-11-28/x.json", b'{"format": 2, "pieces": []}')
        with pytest.raises(ConfigError, match="upgrade"):
            await verified(objects)
    with pytest.raises(ConfigError, match="upgrade"):
        await read(folder)


async def test_an_object_that_is_not_what_its_name_says_is_not_taken_for_written(folder: str) -> None:
    await written(folder, [useraction_event(1)])
    name = (await listed(folder))[0].name
    async with stored(folder) as objects:
        await objects.put(name, b"rotten")
    async with opened(folder) as sink:
        with pytest.raises(PermanentError, match="archive verify"):
            await sink.write([useraction_event(1)])


async def test_writers_at_the_same_time_do_not_meet(url: str) -> None:
    batches = [[useraction_event(n) for n in range(first, first + 6)] for first in range(0, 24, 3)]  # each event in two of them
    async with opened(url) as one, opened(url) as two:
        given = [(one, two)[n % 2].write(batch) for n, batch in enumerate(batches)]
        same = [sink.write(batches[0]) for sink in (one, two)]
        assert [list(refused) for refused in await asyncio.gather(*given, *same)] == [[]] * 10
    verdict = await checked(url)
    assert (verdict.manifests, verdict.segments, verdict.faults, verdict.unnamed) == (10, 8, [], [])
    assert {event.subject for event in await read(url)} == {str(n) for n in range(27)}


class Cut:
    """A store that fails at one put: before it, or when it is done and only its answer is lost."""

    def __init__(self, objects: Objects, at: int, error: Exception, *, done: bool) -> None:
        self._objects = objects
        self._at = at
        self._error = error
        self._done = done
        self._puts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    async def put(self, name: str, body: bytes, *, replaces: str | None = None) -> str:
        self._puts += 1
        if self._puts != self._at:
            return await self._objects.put(name, body, replaces=replaces)
        if self._done:
            await self._objects.put(name, body, replaces=replaces)
        raise self._error


@pytest.mark.parametrize("done", [False, True], ids=["not sent", "answer lost"])
async def test_a_write_that_is_cut_anywhere_is_no_part_of_it_until_it_is_whole_and_the_same_again_makes_it_so(
    url: str, done: bool
) -> None:
    subjects: list[str] = []
    for at in range(1, 5):
        days = [read_at(useraction_event(10 * at + n), READ + timedelta(days=n)) for n in range(3)]  # a segment each
        async with stored(url) as objects:
            cut: Any = Cut(objects, at, TransientError("reset"), done=done)
            sink = ArchiveSink(cut, ArchiveSettings(url=url), now=lambda: READ)
            with pytest.raises(TransientError, match="reset"):
                await sink.write(days)
            named = done and at == 4  # the manifest was written
            assert {event.subject for event in await read(url)} == {*subjects, *(e.subject for e in days if named)}
            assert list(await sink.write(days)) == []
        subjects += [event.subject for event in days]
        assert sorted(event.subject for event in await read(url)) == subjects
        verdict = await checked(url)
        assert (verdict.faults, verdict.unnamed) == ([], [])


async def test_what_needs_a_person_is_told_and_nothing_of_the_batch_is_a_part_of_it(folder: str) -> None:
    async with stored(folder) as objects:
        cut: Any = Cut(objects, 1, PermanentError("no access"), done=False)
        sink = ArchiveSink(cut, ArchiveSettings(url=folder), now=lambda: READ)
        with pytest.raises(PermanentError, match="no access"):
            await sink.write([useraction_event(1)])
    assert await read(folder) == []


async def test_it_asks_for_batches_as_they_are_set(folder: str) -> None:
    async with opened(folder, segment_events=7, segment_seconds=3) as sink:
        assert isinstance(sink, Gathering)
        assert sink.pace == (7, 3.0)
        assert list(await sink.write([])) == []
    async with open_objects(folder) as objects:
        assert [name async for name in objects.names("")] == []


async def test_q27_the_chunks_of_the_predecessor_are_found_by_their_names(url: str) -> None:
    name = "acme/widgets/commits/2025-01-01/2025-01-01T12:00:00.123456+00:00_chunk_1.json"
    async with stored(url) as objects:
        for other in (name, "acme/_checkpoints/2025-01-01T12:00:00+00:00.json", "acme/widgets/commits/2025-01-01/other.json"):
            await objects.put(other, b"[]")
        assert await chunks.chunks(objects) == [name]
        assert (await objects.get(name) or b"")[0] == b"[]"


KILLED = """
import asyncio, sys
from tests.archiving import written
from tests.useractions import useraction_event

asyncio.run(written(sys.argv[1], *([useraction_event(n)] for n in range(3))))
"""


@pytest.mark.parametrize(
    ("place", "whole", "unnamed"), [("sink.before_write:2", 1, 0), ("sink.in_write:2", 1, 1), ("sink.after_write:2", 2, 0)]
)
def test_a_kill_leaves_whole_segments_and_the_same_write_gives_all_of_it(
    folder: str, place: str, whole: int, unnamed: int
) -> None:
    environment = {**os.environ, "HARVESTER_CRASH_AT": place, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED, folder], env=environment, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    verdict = asyncio.run(checked(folder))
    assert (verdict.segments, len(verdict.unnamed)) == (whole, unnamed)
    assert ["nowhere else" in fault for fault in verdict.faults] == [True] * unnamed
    asyncio.run(written(folder, *([useraction_event(n)] for n in range(3))))
    assert [event.subject for event in asyncio.run(read(folder))] == ["0", "1", "2"]
    verdict = asyncio.run(checked(folder))
    assert (verdict.segments, verdict.unnamed, verdict.faults) == (3, [], [])


async def checked(url: str) -> Verdict:
    async with stored(url) as objects:
        return await verified(objects)
