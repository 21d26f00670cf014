"""Resident memory of the whole path but DuckDB, in a process of its own: `python -m benchmarks.memory FOLDER 100000 1000000`."""

import asyncio
import os
import resource
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec

from benchmarks.actions import FIRST_HOUR
from benchmarks.measure import Scale, Verdict
from benchmarks.paths import drained, harvesting, opened_letters, opened_queue, opened_sink, warm_episodes
from benchmarks.producer import ROWS
from benchmarks.servers import serving
from harvester.coverage import Interval

TARGET = 10.0
LARGEST = 200.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


async def run(scale: Scale, folder: Path) -> Verdict:
    """How much the resident memory differs between the two marks, in percent; a peak over 200 MB is a miss, too."""
    first, last = scale.marks
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.memory", str(folder), str(first), str(last)),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, f"the measuring process ended with {process.returncode}"
    early, late, peak = msgspec.json.decode(told, type=tuple[float, float, float])
    change = abs(late / early - 1) * 100
    details = f"{early:.0f} MB after {first:,} events, {late:.0f} MB after {last:,}; peak {peak:.0f} MB, at most {LARGEST:.0f}"
    return Verdict(
        "memory: API → queue → bulk", [change if peak <= LARGEST else float("inf")], TARGET, "%", at_least=False, details=details
    )


def resident() -> float:
    """MB of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


async def whole_path(folder: Path, marks: tuple[int, int]) -> tuple[float, float, float]:
    """Source, queue and sink at once until the last mark; resident MB at both marks, and the peak."""
    seen: list[float] = []
    came, done = 0, asyncio.Event()

    def count(counts: Mapping[str, int]) -> None:
        nonlocal came
        came += counts["consumed"]
        while len(seen) < len(marks) and came >= marks[len(seen)]:
            seen.append(resident())
        if len(seen) == len(marks):
            done.set()

    window = Interval(FIRST_HOUR, FIRST_HOUR + timedelta(hours=-(-marks[1] // ROWS)))
    async with (
        serving("pages", rows=ROWS) as pages,
        serving("bulk") as bulk,
        opened_queue(folder) as queue,
        opened_letters(folder) as letters,
        opened_sink(bulk) as sink,
        harvesting(pages, queue, letters, folder) as harvest,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(harvest.read([window]))
        tasks.create_task(drained(queue, letters, sink, enricher=await warm_episodes(), stop=done, on_commit=count))
    return seen[0], seen[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(whole_path(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))))))
