"""`python -m tests.crash.modes`: fifty thousand actions through each way of reading Opencast into a sink, and what they cost.

A week and more of history, then polls at uneven intervals while rows come late, grow and move and every fault happens that
passes, some that do not, and a Date that is an hour off; then rest. What the sink holds is compared with what is true: a DuckDB
file, or with `--sink elasticsearch` the index of a real server. The second table counts requests without faults: the history in
one go, a day of polls every two minutes, and settling.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from consumers.batch import Processing
from consumers.consume import consume
from consumers.records import gives_records
from harvester.sandbox.settings import SandboxSettings
from tests.crash.killing import tell
from tests.crash.targets import DUCKDB, Target, elasticsearch
from tests.crash.vendors import OPENCAST
from tests.fakes import Clock
from tests.lives import NOW, Life, Verdict, judge, life
from tests.taps import Stores, conserve, open_stores

SERVERS: dict[str, dict[str, Any]] = {"window": {}, "day": {"patched": False}, "tail": {"patched": False, "day": False}}
MISLEADING = {"401": 0.002, "403": 0.002, "404": 0.002, "date-ahead": 0.005, "date-behind": 0.005}
RECORDS = {"nan": 0.0005, "not-utf8": 0.0005, "deep": 0.0005, "no-created": 0.0005, "pretty": 0.001, "nul": 0.001}
_DAYS = 8.5


def world(given: argparse.Namespace, mode: str, faults: Mapping[str, float]) -> SandboxSettings:
    a_day = round(given.actions / (_DAYS + given.polls * 760 / 86_400))
    return SandboxSettings(
        now=NOW,
        speed=0,
        seed=given.seed,
        retry_after=0,
        slow=0,
        actions_per_day=a_day,
        timezone=given.timezone,
        history=timedelta(days=_DAYS),
        order=given.order,
        faults=faults,
        **SERVERS[mode],
    )


async def feed(stores: Stores, target: Target, folder: Path) -> Mapping[int, int]:
    """Everything that is in the queue into the sink; what it holds then."""
    stop = asyncio.Event()
    async with target.opened(folder) as sink:
        work = Processing(sink, stores.letters, stop, wants=gives_records)
        await consume(stores.queue, sink.name, work, stores.letters, stop, until_empty=True)
    rows = target.read(folder, OPENCAST.tables)
    held = {int(key): int(str(state[0])) for key, state in rows}
    assert len(held) == len(rows), "a key is there twice"
    return held


async def prove(given: argparse.Namespace, mode: str, folder: Path, target: Target) -> Verdict:
    """A life with every fault, and what came of it."""
    target.empty()
    began, start = time.monotonic(), NOW - timedelta(days=_DAYS)
    faults = {"all": given.faults, **MISLEADING, **RECORDS}
    async with (
        open_stores(folder, Clock(NOW + timedelta(days=60))) as stores,
        life(stores, world(given, mode, faults), batch_size=given.batch_size) as here,
    ):
        await here.polls(start, given.polls, given.seed)
        met = here.running.stats.snapshot().faults
        await here.rest(start)
        await conserve(stores.queue)
        verdict = await judge(here, await feed(stores, target, folder), start)
        requests = here.calls()
        tell(
            f"{mode:<7} {verdict.true:,} actions in truth: missing {verdict.missing}, doubled {verdict.strange}, "
            f"stale {verdict.stale}, letters missing {verdict.letters}, gaps {len(here.coverage.gaps())}; "
            f"{sum(met.values()):,} faults of {len(met)} kinds, {len(here.failures)} polls repeated, "
            f"{requests:,} requests, {time.monotonic() - began:.0f} s"
        )
        return verdict


async def count(given: argparse.Namespace, mode: str, folder: Path) -> tuple[int, int, int]:
    """Requests without faults: the history, a day of polls, settling."""
    start = NOW - timedelta(days=_DAYS)
    async with (
        open_stores(folder, Clock(NOW + timedelta(days=60))) as stores,
        life(stores, world(given, mode, {}), batch_size=given.batch_size) as here,
    ):
        here.calls()
        await here.poll(start)
        history = here.calls()
        live = await _a_day(here)
        await here.rest(start)
        return history, live, here.calls()


async def _a_day(here: Life) -> int:
    for _ in range(720):
        here.pass_time(timedelta(minutes=2))
        await here.poll(NOW)
    return here.calls()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.modes", description=__doc__)
    parser.add_argument("--actions", type=int, default=50_000)
    parser.add_argument("--polls", type=int, default=200, help="after the history, at uneven intervals")
    parser.add_argument("--faults", type=float, default=0.15, help="share of requests that meet a fault that passes")
    parser.add_argument("--batch-size", type=int, default=1000, help="smaller pages meet more faults")
    parser.add_argument("--order", default="moved", choices=("id", "shuffled", "restless", "moved"))
    parser.add_argument("--timezone", default="America/New_York")
    parser.add_argument("--seed", default="modes")
    parser.add_argument("--sink", default="duckdb", choices=("duckdb", "elasticsearch"))
    parser.add_argument("--mode", action="append", choices=SERVERS, help="only these; the ratio needs window and day")
    given = parser.parse_args()
    modes = given.mode or list(SERVERS)
    with tempfile.TemporaryDirectory(prefix="harvest-modes-") as name:
        folders = {kind: {mode: Path(name, kind, mode) for mode in modes} for kind in ("prove", "count")}
        for folder in [f for kind in folders.values() for f in kind.values()]:
            folder.mkdir(parents=True)
        with elasticsearch() if given.sink == "elasticsearch" else nullcontext(DUCKDB) as target:
            verdicts = [asyncio.run(prove(given, mode, folder, target)) for mode, folder in folders["prove"].items()]
        calls = {mode: asyncio.run(count(given, mode, folder)) for mode, folder in folders["count"].items()}
    for mode, (history, live, settling) in calls.items():
        tell(f"{mode:<7} requests: history {history}, a day of polls {live}, settling {settling}; {sum(calls[mode])} in all")
    good = all(v == Verdict(v.true, 0, 0, 0, 0) for v in verdicts)
    if {"window", "day"} <= calls.keys():
        ratio = sum(calls["day"]) / sum(calls["window"])
        tell(f"day costs {ratio:.2f}× the requests of window; at most 2× is allowed")
        good = good and ratio <= 2
    tell("nothing lost, nothing doubled, nothing stale" if good else "THE PROMISE IS BROKEN")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
