"""What every sink does. A driver is a row of tests/contracts/sinks.py."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers.sinks import open_sink
from harvester.errors import ConfigError, InvalidEventError, TransientError
from harvester.event import Event
from tests.contracts.sinks import ARCHIVES, DRIVERS, IDEMPOTENT, Driver, driver_named
from tests.servers.fixtures import Servers
from tests.useractions import FOUND, event_of, useraction_event

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["stdout", *IDEMPOTENT])
def driver(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


@pytest.fixture(params=IDEMPOTENT)
def idempotent(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


@pytest.fixture(params=[*IDEMPOTENT, *ARCHIVES])
def keeping(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    """Those in which nothing is there twice; of the archive as it is read back."""
    return driver_named(request.param, servers)


@pytest.fixture(params=["stdout", *IDEMPOTENT, *ARCHIVES])
def any_driver(request: pytest.FixtureRequest, servers: Servers) -> Driver:
    return driver_named(request.param, servers)


async def written(driver: Driver, path: Path, *batches: Sequence[Event]) -> list[dict[str, Any]]:
    async with driver.open(path) as sink:
        for batch in batches:
            assert list(await sink.write(batch)) == []
    return driver.rows(path)


def one(version: int, title: str | None = None) -> dict[str, Any]:
    return {"source": "opencast", "id": 1, "outpoint": version, "type": "HEARTBEAT", "title": title}


async def test_what_is_written_can_be_read(any_driver: Driver, tmp_path: Path) -> None:
    rows = await written(any_driver, tmp_path, [useraction_event(1, context=FOUND), useraction_event(2)])
    assert rows == [one(12, "Lecture 10"), {**one(12), "id": 2}]


async def test_an_empty_batch_is_written(any_driver: Driver, tmp_path: Path) -> None:
    async with any_driver.open(tmp_path) as sink:
        assert list(await sink.write([])) == []


async def test_f30_every_batch_delivered_twice_is_there_once(keeping: Driver, tmp_path: Path) -> None:
    events = [useraction_event(number) for number in range(500)]
    batches = [events[:200], events[:200], events[200:], events[100:300], events[200:]]
    rows = await written(keeping, tmp_path, *batches)
    assert [row["id"] for row in rows] == list(range(500))


async def test_an_older_state_never_overwrites_a_newer(keeping: Driver, tmp_path: Path) -> None:
    states = [useraction_event(1, version=version) for version in (3, 7, 5, 0)]
    assert await written(keeping, tmp_path, *([state] for state in states)) == [one(7)]


async def test_of_several_states_in_one_batch_the_newest_stays(keeping: Driver, tmp_path: Path) -> None:
    states = [useraction_event(1, version=version) for version in (3, 7, 5)]
    assert await written(keeping, tmp_path, states, states[:1]) == [one(7)]


@pytest.mark.parametrize("poorer", [None, ...], ids=["pending", "nothing to find"])
async def test_a_poorer_state_never_replaces_a_richer_of_the_same_version(
    idempotent: Driver, tmp_path: Path, poorer: Any
) -> None:
    rich, poor = useraction_event(1, context=FOUND), useraction_event(1, context=poorer)
    assert await written(idempotent, tmp_path, [rich], [poor]) == [one(12, "Lecture 10")]
    assert await written(idempotent, tmp_path, [poor, rich, poor]) == [one(12, "Lecture 10")]


@pytest.mark.parametrize("poorer", [None, ...], ids=["pending", "nothing to find"])
async def test_what_was_written_without_its_enrichment_is_repaired(idempotent: Driver, tmp_path: Path, poorer: Any) -> None:
    rich, poor = useraction_event(1, context=FOUND), useraction_event(1, context=poorer)
    assert await written(idempotent, tmp_path, [poor]) == [one(12)]
    assert await written(idempotent, tmp_path, [rich]) == [one(12, "Lecture 10")]


async def test_a_newer_state_wins_even_when_it_is_poorer(keeping: Driver, tmp_path: Path) -> None:
    states = [useraction_event(1, version=3, context=FOUND), useraction_event(1, version=4)]
    assert await written(keeping, tmp_path, *([state] for state in states)) == [one(4)]


async def test_a_newer_state_that_is_pending_replaces_the_older_whole_one_and_is_completed_by_its_repair(
    idempotent: Driver, tmp_path: Path
) -> None:
    old, pending, whole = (useraction_event(1, version=v, context=c) for v, c in ((3, FOUND), (4, None), (4, FOUND)))
    assert await written(idempotent, tmp_path, [old], [pending], [old]) == [one(4)]
    assert await written(idempotent, tmp_path, [whole], [pending], [old]) == [one(4, "Lecture 10")]


async def test_among_equals_the_last_written_stays(idempotent: Driver, tmp_path: Path) -> None:
    first, last = useraction_event(1, type="PLAY"), useraction_event(1, type="PAUSE")
    assert (await written(idempotent, tmp_path, [first], [last]))[0]["type"] == "PAUSE"
    assert (await written(idempotent, tmp_path, [last, first]))[0]["type"] == "PLAY"


async def test_f31_one_broken_event_among_two_thousand_is_rejected_alone(driver: Driver, tmp_path: Path) -> None:
    events = [useraction_event(number) for number in range(2000)]
    broken = events[777] = event_of(b'{"id": 777}', subject="777")
    async with driver.open(tmp_path) as sink:
        (rejection,) = await sink.write(events)
    assert rejection.event is broken
    assert isinstance(rejection.error, InvalidEventError)
    assert [row["id"] for row in driver.rows(tmp_path)] == [number for number in range(2000) if number != 777]


async def test_a_batch_of_broken_events_alone_is_rejected_event_by_event(driver: Driver, tmp_path: Path) -> None:
    events = [event_of(b"{}", subject=str(number)) for number in range(3)]
    async with driver.open(tmp_path) as sink:
        assert [rejection.event for rejection in await sink.write(events)] == events


async def test_events_that_give_no_record_are_passed_over(driver: Driver, tmp_path: Path) -> None:
    stranger = msgspec.structs.replace(useraction_event(5), type="opencast.unheard")
    assert await written(driver, tmp_path, [useraction_event(1), stranger]) == [one(12)]


async def test_two_sources_with_the_same_key_do_not_meet(any_driver: Driver, tmp_path: Path) -> None:
    rows = await written(any_driver, tmp_path, [useraction_event(1), useraction_event(1, source="opencast/law")])
    assert [row["source"] for row in rows] == ["opencast", "opencast/law"]


HOSTILE = [
    *["line\nbreak\r\n", "quotes ' \" ` $$ \\", "tab\tbell\a", "\x1b[31mred\x1b[0m \x9b31m \x7f", "\u2028\u2029\ufeff", "𝄞 ٣ ß"],
    *["a\0b", "null", "{}", "'); DROP TABLE useractions; --", "x" * 200_000],
]


async def test_f44_hostile_text_arrives_as_it_was_without_nul(any_driver: Driver, tmp_path: Path) -> None:
    rows = await written(any_driver, tmp_path, [useraction_event(number, type=text) for number, text in enumerate(HOSTILE)])
    assert [row["type"] for row in rows] == [text.replace("\0", "") for text in HOSTILE]


async def test_f44_64_bit_ids_arrive_with_every_digit(any_driver: Driver, tmp_path: Path) -> None:
    numbers = [-(2**63), 2**53 + 1, 2**63 - 1]
    assert [row["id"] for row in await written(any_driver, tmp_path, [useraction_event(n) for n in numbers])] == numbers


async def test_several_batches_in_flight_are_all_written(any_driver: Driver, tmp_path: Path) -> None:
    batches = [[useraction_event(number) for number in range(start, start + 50)] for start in range(0, 400, 50)]
    async with any_driver.open(tmp_path) as sink:
        assert [list(r) for r in await asyncio.gather(*map(sink.write, batches))] == [[]] * 8
    assert sorted(row["id"] for row in any_driver.rows(tmp_path)) == list(range(400))


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.contracts.sinks import DRIVERS
from tests.useractions import useraction_event

async def main():
    async with DRIVERS[sys.argv[1]].open(Path(sys.argv[2])) as sink:
        for version in (1, 2, 3):
            await sink.write([useraction_event(number, version=version) for number in range(300)])

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("point", ["sink.before_write", "sink.in_write", "sink.after_write"])
async def test_a_kill_in_a_write_and_the_same_write_again_is_the_truth(tmp_path: Path, point: str, number: int) -> None:
    environment = {**os.environ, "HARVESTER_CRASH_AT": f"{point}:{number}"}
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, "duckdb", str(tmp_path)], env=environment, cwd=ROOT, check=False, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL
    events = [useraction_event(n, version=number) for n in range(300)]
    rows = await written(DRIVERS["duckdb"], tmp_path, events)
    assert [(row["id"], row["outpoint"]) for row in rows] == [(n, number) for n in range(300)]
    assert names(tmp_path) == ["events.duckdb"]


READER = """
import duckdb, sys
with duckdb.connect(sys.argv[1], read_only=True):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def reader(path: Path) -> Iterator[None]:
    """Another process that holds the file open to read."""
    with subprocess.Popen([sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        try:
            yield
        finally:
            process.communicate(timeout=60)


async def test_a_reader_of_the_file_holds_writes_back_and_they_pass_when_it_is_gone(tmp_path: Path) -> None:
    driver = DRIVERS["duckdb"]
    async with driver.open(tmp_path) as sink:
        await sink.write([useraction_event(1)])
        with reader(tmp_path / "events.duckdb"):
            with pytest.raises(TransientError, match=r"events\.duckdb.* open in another program"):
                await sink.write([useraction_event(2)])
            assert [row["id"] for row in driver.rows(tmp_path)] == [1]
        assert list(await sink.write([useraction_event(2)])) == []
        assert [row["id"] for row in driver.rows(tmp_path)] == [1, 2]  # the sink is open, the file is not


@pytest.mark.parametrize(
    "address",
    [
        *[
            "punchcards",
            "punchcards://",
            "duckdb://",
            "duckdb://host/x",
            "duckdb:///x?threads=0",
            "duckdb:///x?memory_limit=1KiB",
        ],
        *["duckdb:///x?colour=red", "stdout://?colour=red"],
    ],
)
async def test_a_wrong_address_is_a_config_error(address: str) -> None:
    with pytest.raises(ConfigError):
        async with open_sink(address):
            pytest.fail("opened")
