"""What is measured, and how it is judged: ratios of two things in one run, never bare seconds."""

import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import NamedTuple


class Scale(NamedTuple):
    """How much is done: rounds of each side in turn, events in a round, and the two marks of the memory proof."""

    rounds: int
    events: int
    starts: int
    marks: tuple[int, int]


FULL = Scale(rounds=11, events=10_000, starts=15, marks=(100_000, 1_000_000))
QUICK = Scale(rounds=5, events=4_000, starts=11, marks=(20_000, 200_000))


class Cost(NamedTuple):
    """What some events took: seconds of this process on all its threads (user and system), and of the clock on the wall."""

    events: int
    cpu: float
    wall: float

    @property
    def micros(self) -> float:
        """CPU µs an event."""
        return self.cpu / self.events * 1e6

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.wall


class Verdict(NamedTuple):
    """One line of the report."""

    what: str
    values: Sequence[float]
    """One a round; their median is judged."""
    target: float
    unit: str
    at_least: bool
    details: str

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def ok(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target

    def line(self) -> str:
        spread = f"{self.value:.2f} {self.unit} ({min(self.values):.2f}–{max(self.values):.2f})"
        target = f"{'≥' if self.at_least else '≤'} {self.target:g}"
        return f"{self.what:<44} {spread:<34} {target:<8} {'ok  ' if self.ok else 'MISS'}  {self.details}"


async def cost_of(events: int, work: Callable[[], Awaitable[object]]) -> Cost:
    """Do `work`, which handles so many events, on a heap that is free of what was before."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return Cost(events, time.process_time() - cpu, time.perf_counter() - wall)


async def in_turn(
    rounds: int, ours: Callable[[], Awaitable[Cost]], theirs: Callable[[], Awaitable[Cost]]
) -> list[tuple[Cost, Cost]]:
    """Both sides `rounds` times, one after the other, so that what else the machine does meets both; a round before warms up."""
    pairs = [(await ours(), await theirs()) for _ in range(rounds + 1)]
    return pairs[1:]


def cheaper(what: str, target: float, pairs: Sequence[tuple[Cost, Cost]]) -> Verdict:
    """How many times less CPU an event ours takes than the naive."""
    mine, naive = median(o.micros for o, _ in pairs), median(n.micros for _, n in pairs)
    details = f"CPU an event: {mine:.1f} µs, naive {naive:.1f} µs; {median(o.rate for o, _ in pairs):,.0f} events/s"
    return Verdict(what, [n.micros / o.micros for o, n in pairs], target, "×", at_least=True, details=details)


def dearer(what: str, target: float, pairs: Sequence[tuple[Cost, Cost]], other: str) -> Verdict:
    """How many times the CPU an event of `other` ours takes: at most `target`."""
    mine, theirs = median(o.micros for o, _ in pairs), median(t.micros for _, t in pairs)
    details = f"CPU an event: {mine:.1f} µs, {other} {theirs:.1f} µs; {median(o.rate for o, _ in pairs):,.0f} events/s"
    return Verdict(what, [o.micros / t.micros for o, t in pairs], target, "×", at_least=False, details=details)


def faster(what: str, target: float, pairs: Sequence[tuple[Cost, Cost]], other: str) -> Verdict:
    """How many times the throughput of `other` ours has."""
    mine, theirs = median(o.rate for o, _ in pairs), median(t.rate for _, t in pairs)
    cpu = f"CPU an event: {median(o.micros for o, _ in pairs):.1f} µs, {median(t.micros for _, t in pairs):.1f} µs"
    details = f"{mine:,.0f} events/s, {other} {theirs:,.0f}; {cpu}"
    return Verdict(what, [o.rate / t.rate for o, t in pairs], target, "×", at_least=True, details=details)
