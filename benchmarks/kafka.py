"""Kafka → enrichment → a bulk endpoint, beside peers that do the same work on the same topic: each a process of its own.

Every recording's episode is known; at the end, beside the naive, none is: the search service answers after 20 ms.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.actions import batched, messages
from benchmarks.measure import Scale, Verdict
from benchmarks.servers import serving
from harvester.queues import open_queue
from harvester.queues.kafka import prepare
from tests.services import MissingServerError, find

_ROOT = Path(__file__).parents[1]
_PINS = _ROOT / "requirements" / "peers.txt"
_PLACE = _ROOT / ".cache" / "peers"
PARTITIONS = 6
EVENTS = 300_000
ROUNDS = 5
SLICE = 60_000
"""Events that each side handles in a round."""
MOST_MEMORY = 150.0
COLD = 10_000
"""Events that each side handles in a round behind a cold cache: ten of a recording."""
DELAY = 0.02
COLD_TARGET = 10.0


class Side(NamedTuple):
    """Somebody who does the work: its module, and by how much ours must need less CPU an event (or may need more)."""

    name: str
    module: str
    target: float
    at_least: bool = True


OURS = Side("ours", "benchmarks.kafka_ours", 0)
NAIVE = Side("naive: getone, json, async_bulk", "benchmarks.peers.naive", 6.0)
PEERS = (
    NAIVE,
    Side("FastStream, batches", "benchmarks.peers.fast", 4.0),
    Side("Quix Streams, its own sink", "benchmarks.peers.quix", 3.5),
    Side("bare script, no guarantees", "benchmarks.peers.bare", 1.4, at_least=False),
)


class Place(NamedTuple):
    """What all sides work on: brokers, topic, Elasticsearch and the search service."""

    brokers: str
    topic: str
    url: str
    search: str

    def given(self, side: Side, turn: str, amount: int, *, cold: bool = False) -> Sequence[str]:
        """The side's command line."""
        group = f"{side.module.rpartition('.')[2]}-{turn}"
        return (self.brokers, self.topic, group, self.url, str(amount), *([self.search] if cold else []))


class Told(msgspec.Struct, frozen=True):
    """What a side says of itself: CPU and wall seconds, peak of its resident memory in MB."""

    events: int
    cpu: float
    wall: float
    peak: float

    @property
    def micros(self) -> float:
        return self.cpu / self.events * 1e6


async def run(scale: Scale, folder: Path) -> Sequence[Verdict]:  # noqa: ARG001 - every row has the folder
    """CPU an event of 1.6 KB, beside each peer; and the resident memory over all the events."""
    rounds, amount = (ROUNDS, SLICE) if scale.events >= 10_000 else (2, 20_000)
    python = await asyncio.to_thread(environment)
    try:
        with find("kafka") as server:
            async with serving("bulk") as url, serving("search", delay=DELAY) as search:
                topic = await filled(f"kafka://{server.url}/bench?partitions={PARTITIONS}", EVENTS)
                place = Place(server.url, topic, url, search)
                return [*await _compared(place, python, rounds, amount), await _cold(place, python, rounds)]
    except MissingServerError as error:
        raise SystemExit(str(error)) from error


async def _compared(place: Place, python: Path, rounds: int, amount: int) -> Sequence[Verdict]:
    told: dict[str, list[Told]] = {}
    for turn in range(rounds + 1):
        for side in (OURS, *PEERS):
            program = Path(sys.executable) if side is OURS else python
            told.setdefault(side.module, []).append(await _side(program, side.module, place.given(side, f"warm{turn}", amount)))
    mine = told[OURS.module][1:]
    verdicts = [_judged(side, mine, told[side.module][1:]) for side in PEERS]
    whole = await _side(Path(sys.executable), OURS.module, place.given(OURS, "whole", EVENTS))
    details = f"{whole.events:,} events, {whole.micros:.1f} µs and {whole.events / whole.wall:,.0f} events/s"
    memory = Verdict("kafka: resident memory, peak", [whole.peak], MOST_MEMORY, "MB", at_least=False, details=details)
    return [*verdicts, memory]


async def _cold(place: Place, python: Path, rounds: int) -> Verdict:
    """Seconds on the wall an event when each recording has to be looked up first."""
    pairs = []
    for turn in range(rounds + 1):
        mine = await _side(Path(sys.executable), OURS.module, place.given(OURS, f"cold{turn}", COLD, cold=True))
        pairs.append((mine, await _side(python, NAIVE.module, place.given(NAIVE, f"cold{turn}", COLD, cold=True))))
    values = [(naive.wall / naive.events) / (mine.wall / mine.events) for mine, naive in pairs[1:]]
    seconds = [median(told.wall for told in side[1:]) for side in zip(*pairs, strict=True)]
    details = f"{COLD:,} events in {seconds[0]:.1f} s, naive {seconds[1]:.1f} s"
    return Verdict("kafka: look-ups of 20 ms, cold cache", values, COLD_TARGET, "×", at_least=True, details=details)


def _judged(side: Side, mine: Sequence[Told], theirs: Sequence[Told]) -> Verdict:
    pairs = list(zip(mine, theirs, strict=True))
    values = [t.micros / m.micros if side.at_least else m.micros / t.micros for m, t in pairs]
    details = f"CPU an event: {median(m.micros for m in mine):.1f} µs, theirs {median(t.micros for t in theirs):.1f} µs"
    return Verdict(f"kafka: {side.name}", values, side.target, "×", at_least=side.at_least, details=details)


async def filled(queue_url: str, amount: int) -> str:
    """The topic with so many events, made by the product itself."""
    await prepare(queue_url)
    async with open_queue(queue_url) as queue:
        for batch in batched(messages(amount, large=True), 5000):
            await queue.publish(batch)
    return "bench.events"


async def _side(python: Path, module: str, given: Sequence[str]) -> Told:
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", module, *given),
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 600)
    assert process.returncode == 0, f"{module} ended with {process.returncode}"
    return msgspec.json.decode(said.splitlines()[-1], type=Told)


def environment() -> Path:
    """The Python of the peers, installed when its pins are new."""
    python, mark = _PLACE / "bin" / "python", _PLACE / "pins"
    pins = hashlib.sha256(_PINS.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != pins:
        import subprocess  # noqa: PLC0415
        import venv  # noqa: PLC0415

        print("installing what is compared with, once", file=sys.stderr)
        venv.create(_PLACE, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "install", "--require-hashes", "-r", str(_PINS)], check=True)
        mark.write_text(pins)
    return python
