"""A group of three consumers on real Kafka and real Elasticsearch: they join, leave, are killed, and stand before a dead sink.

Every tenth action comes a second time, grown: so an older state that overwrote a newer one would be seen.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from aiokafka import TopicPartition

from benchmarks.actions import FIRST_HOUR, row
from benchmarks.servers import serving
from harvester.event import encode_event
from harvester.protocols import Message, Queue
from harvester.queues import open_queue
from harvester.queues.kafka import KafkaQueue, prepare
from harvester.sources.opencast_rows import useraction_event
from tests.crash.killing import tell
from tests.crash.targets import Elasticsearch
from tests.crash.vendors import OPENCAST
from tests.indexed import own_node
from tests.services import Node, own

ROOT = Path(__file__).parents[2]
GROUP = "elasticsearch"
SESSION = 1
"""Seconds of the session, and so until a member that was killed is missed."""
_LOOK = 0.1
_PUBLISHED_AT_ONCE = 500
_UTC = ZoneInfo("UTC")


class Plan(NamedTuple):
    """How much, how fast, and how long the sink is away."""

    events: int = 500_000
    """At least; more come until each act was done `rounds` times, up to four times as many."""
    rate: int = 2_000
    away: float = 300.0
    rounds: int = 3
    """How often each act is done at least, while events flow."""
    settles: float = 15.0
    """Seconds between two acts, so that what each of them costs is seen apart."""


class Report(NamedTuple):
    """What was seen. Pauses in seconds, memory in MB."""

    events: int
    leaves: list[float]
    kills: list[float]
    joins: list[float]
    missing: int
    doubled: int
    stale: int
    unaccounted: int
    memory: tuple[float, float]
    """The largest consumer when half of the sink's absence was over, and when it came back."""
    resumed: float

    def broken(self) -> list[str]:
        """What breaks a promise on any machine."""
        found = [f"{name} {n}" for name, n in self._asdict().items() if name in _ZERO and n]
        if self.memory[1] > self.memory[0] * 1.1 + 10:
            found.append(f"memory grew from {self.memory[0]:.0f} to {self.memory[1]:.0f} MB while the sink was away")
        return found

    def faults(self, plan: Plan) -> list[str]:
        """What breaks a promise on a machine that has nothing else to do."""
        found = self.broken()
        if min(len(self.leaves), len(self.kills)) < plan.rounds:
            found.append(f"{len(self.leaves)} left and {len(self.kills)} were killed while events flowed: ask for more")
        if max(self.leaves, default=0) > 2:
            found.append(f"a pause of {max(self.leaves):.1f} s after a clean leave: more than 2 s")
        if max(self.kills, default=0) > SESSION + 3:
            found.append(f"a pause of {max(self.kills):.1f} s after a kill: more than the session and 3 s")
        if self.resumed > 65:
            found.append(f"delivery went on after {self.resumed:.0f} s: more than 5 s and one back-off")
        return found


_ZERO = ("missing", "doubled", "stale", "unaccounted")


def states() -> Iterator[tuple[int, int, Message]]:
    """Number, outpoint and message of each event, without end: nine of ten are new actions, the tenth is an older one grown."""
    number = 0
    for nth in count():
        if nth % 10 == 9:
            told = row(number - 4, FIRST_HOUR + timedelta(seconds=number - 4), large=True)
            outpoint = (number - 4) * 7 % 5400
            told = told.replace(b'"outpoint":%d,' % outpoint, b'"outpoint":%d,' % (outpoint + 30), 1)
            yield number - 4, outpoint + 30, _message(told, number - 4)
        else:
            number += 1
            yield number, number * 7 % 5400, _message(row(number, FIRST_HOUR + timedelta(seconds=number), large=True), number)


def _message(told: bytes, number: int) -> Message:
    event = useraction_event(told, "opencast", FIRST_HOUR + timedelta(seconds=number), _UTC)
    return Message(event.key, encode_event(event))


class Members:
    """The consumers as processes of their own, by name."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**{n: v for n, v in os.environ.items() if not n.startswith("HARVESTER_")}, **settings}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def join(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "harvester", "consume", GROUP),
                cwd=self._folder,
                env={**self._environment, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    async def leave(self, name: str) -> None:
        """SIGTERM: it finishes what is in flight and goes."""
        process = self._running.pop(name)
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 60)
        assert code == 0, f"{name} ended with {code}: {(self._folder / f'{name}.log').read_text()[-2000:]}"

    async def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    def memory(self) -> float:
        """Resident MB of the largest."""
        pages = [int(Path(f"/proc/{p.pid}/statm").read_text().split()[1]) for p in self._running.values()]
        return max(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def end(self) -> None:
        for name in [*self._running]:
            with contextlib.suppress(ProcessLookupError):
                await self.kill(name)


class Watch:
    """When the group moved last in each partition, and how long any of them stood still with something to read in it."""

    def __init__(self, queue: Queue) -> None:
        assert isinstance(queue, KafkaQueue)
        self._cluster = queue._cluster
        self._partitions = queue._partitions
        self._stood: dict[TopicPartition, tuple[int, float]] = {}
        """Partition → where the group stands, and when it came there or had nothing left to read."""
        self._position = -1
        self.longest = 0.0
        self.lag = 0

    async def look(self) -> None:
        """For ever."""
        while True:
            stands = await self._cluster.stands(GROUP, self._partitions)
            ends = await self._cluster.ends(self._partitions)
            now, lag = time.monotonic(), 0
            for place, stand in stands.items():
                before, since = self._stood.get(place, (-1, now))
                if stand.offset != before or stand.offset >= ends[place]:
                    since = now
                self._stood[place] = (stand.offset, since)
                self.longest = max(self.longest, now - since)
                lag += max(0, ends[place] - stand.offset)
            self.lag, self._position = lag, sum(stand.offset for stand in stands.values())
            await asyncio.sleep(_LOOK)

    async def during(self, seconds: float) -> float:
        """The longest standstill from now on."""
        self.longest = 0.0
        await asyncio.sleep(seconds)
        return self.longest

    async def moves(self, patience: float) -> float:
        """Seconds until it moves."""
        began, position = time.monotonic(), self._position
        while self._position == position:
            assert time.monotonic() - began < patience, f"nothing was delivered for {patience} s"
            await asyncio.sleep(_LOOK)
        return time.monotonic() - began


@asynccontextmanager
async def beside(work: "asyncio.Future[None] | asyncio.Task[None]") -> AsyncIterator[None]:
    """A task that ends with the block, and whose fault ends the block."""
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def publish(queue: Queue, plan: Plan, truth: dict[str, int], enough: asyncio.Event) -> int:
    """All events at the rate that was planned, whatever becomes of them, and more until `enough` is set; how many they were."""
    began, sent, more = time.monotonic(), 0, states()
    while sent < plan.events or not (enough.is_set() or sent >= 4 * plan.events):
        batch: list[Message] = []
        for number, outpoint, message in islice(more, _PUBLISHED_AT_ONCE):
            truth[str(number)] = max(outpoint, truth.get(str(number), -1))
            batch.append(message)
        await queue.publish(batch, {"read": len(batch), "published": len(batch)}, "opencast/useractions")
        sent += len(batch)
        await asyncio.sleep(max(0.0, began + sent / plan.rate - time.monotonic()))
    return sent


async def acts(
    members: Members, watch: Watch, flowing: "asyncio.Task[int]", plan: Plan, enough: asyncio.Event
) -> dict[str, list[float]]:
    """They join, leave and are killed in turn while events flow; the standstill after each. Sets `enough` when all was done."""
    seen: dict[str, list[float]] = {"join": [], "leave": [], "kill": []}
    for name in "abc":
        await members.join(name)
        await watch.during(plan.settles)
    turn = 0
    while not flowing.done():
        name = "abc"[turn % 3]
        act = ("leave", "kill")[turn % 2]
        doing = asyncio.create_task(getattr(members, act)(name))
        stood = await watch.during(plan.settles)
        await doing
        await members.join(name)
        joined = await watch.during(plan.settles)
        if flowing.done():
            return seen
        seen[act].append(stood)
        seen["join"].append(joined)
        turn += 1
        if turn >= 2 * plan.rounds:
            enough.set()
        tell(f"{act} of {name}: {stood:.2f} s, joins again: {joined:.2f} s, lag {watch.lag:,}")
    return seen


async def prove(plan: Plan, folder: Path) -> Report:
    """The whole proof in `folder`. MissingServerError: a server is not to be had here."""
    async with AsyncExitStack() as stack:
        kafka, node = stack.enter_context(own("kafka")), stack.enter_context(own_node())
        search = await stack.enter_async_context(serving("search"))
        url = f"kafka://{kafka.url}/scale?partitions=6&session_timeout={SESSION}&timeout=60"
        await prepare(url)
        queue = await stack.enter_async_context(open_queue(url))
        members = Members(folder, _settings(folder, url, node.url, search))
        stack.push_async_callback(members.end)
        return await _proven(plan, queue, members, node)


async def _proven(plan: Plan, queue: Queue, members: Members, node: Node) -> Report:
    truth: dict[str, int] = {}
    enough = asyncio.Event()
    watch = Watch(queue)
    publishing = asyncio.create_task(publish(queue, plan, truth, enough))
    async with beside(asyncio.create_task(watch.look())):
        seen = await acts(members, watch, publishing, plan, enough)
        events = await publishing
        memory, resumed = await _sink_away(plan, queue, members, watch, node, truth)
        while watch.lag:
            await watch.moves(120)
        await asyncio.sleep(1)
    for name in "abc":
        await members.leave(name)
    return await _judged(events, queue, node, truth, seen, memory, resumed)


async def _sink_away(
    plan: Plan, queue: Queue, members: Members, watch: Watch, node: Node, truth: dict[str, int]
) -> tuple[tuple[float, float], float]:
    """Events flow on while Elasticsearch is dead; what the consumers hold meanwhile, and how soon they go on."""
    node.kill()
    more = plan._replace(events=int(plan.rate * plan.away * 0.5), rate=plan.rate // 2)
    enough = asyncio.Event()
    enough.set()
    again = asyncio.create_task(publish(queue, more, {}, enough))
    await asyncio.sleep(plan.away / 2)  # what may be in flight is, by then
    before = members.memory()
    await asyncio.sleep(plan.away / 2)
    after = members.memory()
    await again
    await asyncio.to_thread(node.start)
    return (before, after), await watch.moves(120)


async def _judged(
    events: int,
    queue: Queue,
    node: Node,
    truth: Mapping[str, int],
    seen: Mapping[str, list[float]],
    memory: tuple[float, float],
    resumed: float,
) -> Report:
    rows = await asyncio.to_thread(Elasticsearch(node).read, Path(), OPENCAST.tables)
    held = {key: state[0] for key, state in rows}
    (group,) = [g for g in await queue.groups() if g.name == GROUP]
    counts = group.counts
    ends = counts.get("delivered", 0) + counts.get("filtered", 0) + counts.get("dead_lettered", 0)
    assert isinstance(queue, KafkaQueue)
    stands = (await queue._cluster.stands(GROUP, queue._partitions)).values()
    unbalanced = sum(abs(s.offset - s.since - s.counts.get("consumed", 0)) for s in stands)
    return Report(
        events=events,
        leaves=seen["leave"],
        kills=seen["kill"],
        joins=seen["join"],
        missing=len(truth.keys() - held.keys()),
        doubled=len(rows) - len(held) + len(held.keys() - truth.keys()),
        stale=sum(held.get(key, outpoint) != outpoint for key, outpoint in truth.items()),
        unaccounted=unbalanced + abs(counts["consumed"] - ends) + group.lag,
        memory=memory,
        resumed=resumed,
    )


def _settings(folder: Path, queue: str, index: str, search: str) -> dict[str, str]:
    return {
        "HARVESTER_QUEUE_URL": queue,
        "HARVESTER_COVERAGE_URL": f"file://{folder}/coverage",
        "HARVESTER_LETTERS_URL": f"file://{folder}/letters",
        "HARVESTER_ELASTICSEARCH_URL": index,
        "HARVESTER_OPENCAST_URL": search,
        "HARVESTER_OPENCAST_USER": "any",
        "HARVESTER_OPENCAST_PASSWORD": "any",
        "HARVESTER_LOG_LEVEL": "warn",
        "HARVESTER_OWN_EVENTS": "never",  # every message is counted here
    }
