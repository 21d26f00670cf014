"""The benchmarks run, and compare like with like. How fast anything is, no test says."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from benchmarks import naive
from benchmarks.__main__ import NAMES
from benchmarks.actions import FIRST_HOUR, RECORDINGS, episode, found_episode, messages, mpid, rows_of_hour
from benchmarks.measure import Cost, Scale, Verdict, cheaper, faster
from benchmarks.paths import drained, looked_up, opened_letters, opened_queue, opened_sink, warm_episodes
from benchmarks.peers import work
from benchmarks.peers.naive import found_in
from benchmarks.servers import serving
from consumers.caches.memory import MemoryCache
from consumers.enrichers.episodes import EXPIRE
from consumers.records import records_of
from consumers.records.record import document
from harvester.event import decode_event

# aiohttp's advice for bodies over 1 MiB; the official client gives it the bytes as they are.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
TINY = Scale(rounds=1, events=300, starts=1, marks=(1000, 2000))


# The peers on Kafka are installed by `make bench` alone; GitHub's has a small form in tests/github/test_size.py.
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("kafka", "github")])
async def test_each_benchmark_runs_and_tells_what_it_found(name: str, tmp_path: Path) -> None:
    verdict: Verdict = await import_module(f"benchmarks.{name}").run(TINY, tmp_path)
    assert verdict.values
    assert verdict.what in verdict.line()
    assert ("MISS" in verdict.line()) is not verdict.ok


def test_there_is_nothing_to_run_but_what_can_be_named() -> None:
    told = subprocess.run([sys.executable, "-m", "benchmarks", "--only", "nonsense"], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert all(name in told.stderr for name in NAMES)


@pytest.mark.parametrize(
    ("values", "at_least", "ok"), [([9, 5, 1], True, True), ([9, 4, 1], True, False), ([1, 5, 9], False, True)]
)
def test_the_median_is_judged_and_the_spread_is_told(values: list[float], at_least: bool, ok: bool) -> None:
    verdict = Verdict("what", values, 5, "×", at_least=at_least, details="")
    assert verdict.ok is ok
    assert f"({min(values):.2f}–{max(values):.2f})" in verdict.line()


def test_ratios_are_of_two_sides_of_one_round() -> None:
    pairs = [(Cost(100, cpu=0.001, wall=0.5), Cost(100, cpu=0.004, wall=1.0)), (Cost(100, 0.002, 1.0), Cost(100, 0.004, 3.0))]
    assert cheaper("what", 1, pairs).values == [4.0, 2.0]
    assert faster("what", 1, pairs, "other").values == [2.0, 3.0]


async def test_naive_and_product_make_the_same_documents_of_the_same_events() -> None:
    ingested = datetime(2026, 3, 3, tzinfo=UTC)
    cache = MemoryCache()
    await cache.set_many({mpid(n): msgspec.json.encode(episode(n)) for n in range(RECORDINGS)}, EXPIRE)
    bodies = [message.body for message in messages(50, large=True)]
    events = await (await warm_episodes()).enrich([decode_event(body) for body in bodies])
    for body, event in zip(bodies, events, strict=True):
        (record,) = records_of(event)
        ours = json.loads(document(record, event, ingested))
        action = await naive.action_of(naive.Envelope.model_validate(json.loads(body)), cache)
        theirs = action["_source"]
        assert theirs["event"].pop("ingested")
        peers = work.document(json.loads(body), work.warm())
        assert peers["event"].pop("ingested")
        assert ours["event"].pop("ingested")
        assert _with_moments(ours) == _with_moments(theirs) == _with_moments(peers)


async def test_behind_a_cold_cache_naive_and_product_find_the_same_episodes_at_the_same_service() -> None:
    events = [decode_event(message.body) for message in messages(50)]
    async with serving("search", delay=0.001) as url, looked_up(url) as enricher:
        found = await enricher.enrich(events)
        assert enricher.lookups == 50
    assert [msgspec.json.decode(event.context["episode"]) for event in found] == [
        _as_kept(found_in(json.loads(found_episode(msgspec.json.decode(event.data)["mediapackageId"])))) for event in events
    ]


def _as_kept(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "start": found["start"].replace("+00:00", "Z")}


def _with_moments(found: dict[str, Any]) -> dict[str, Any]:
    """A document whose times can be compared, however they are written."""
    for name, value in found.items():
        if isinstance(value, dict):
            _with_moments(value)
        elif name in ("timestamp", "@timestamp", "start"):
            found[name] = datetime.fromisoformat(value)
    return found


async def test_what_is_consumed_arrives_at_the_server_once(tmp_path: Path) -> None:
    async with (
        serving("bulk") as url,
        opened_queue(tmp_path) as queue,
        opened_letters(tmp_path) as letters,
        opened_sink(url) as sink,
        aiohttp.ClientSession() as session,
    ):
        await queue.publish(list(messages(1234)))
        await drained(queue, letters, sink, enricher=await warm_episodes())
        async with session.get(f"{url}/count") as answer:
            assert await answer.json() == 1234
        assert [letter async for letter in letters.scan("")] == []


async def test_the_canned_api_pages_as_the_vendor_does() -> None:
    start, end = (f"{FIRST_HOUR + timedelta(hours=hours):%Y%m%d%H%M%S}" for hours in (0, 1))
    async with serving("pages", rows=7) as url, aiohttp.ClientSession() as session:

        async def page(offset: int, until: str = end) -> dict[str, Any]:
            query = {"start": start, "end": until, "limit": "4", "offset": str(offset)}
            async with session.get(f"{url}/usertracking/actions.json", params=query) as answer:
                found: dict[str, Any] = (await answer.json())["actions"]
                return found

        rows = [json.loads(row) for row in rows_of_hour(FIRST_HOUR, 7)]
        assert await page(0) == {"total": "7", "offset": "0", "limit": "4", "action": rows[:4]}
        assert (await page(4))["action"] == rows[4:]
        assert (await page(6))["action"] == rows[6]
        assert "action" not in await page(7)
        assert (await page(0, until=start))["total"] == "0"


def test_the_events_are_as_large_as_is_said() -> None:
    rows = rows_of_hour(FIRST_HOUR, 200)
    assert 550 < sum(map(len, rows)) / len(rows) < 650
    sizes = [len(message.body) for message in messages(200, large=True)]
    assert 1550 < sum(sizes) / len(sizes) < 1700
    assert len({message.key for message in messages(200)}) == 200
