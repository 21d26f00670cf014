"""How long `harvest` takes to say its version."""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.measure import Scale, Verdict

TARGET = 120.0


async def run(scale: Scale, folder: Path) -> Verdict:
    """`harvest --version` minus a Python that does nothing, in milliseconds."""
    harvest = Path(sys.executable).with_name("harvest")
    pairs = [
        (_seconds([str(harvest), "--version"], folder), _seconds([sys.executable, "-c", "pass"], folder))
        for _ in range(scale.starts + 1)
    ][1:]
    bare = median(theirs for _, theirs in pairs) * 1000
    values = [(ours - theirs) * 1000 for ours, theirs in pairs]
    return Verdict(
        "start: harvest --version", values, TARGET, "ms", at_least=False, details=f"beyond bare Python's {bare:.0f} ms"
    )


def _seconds(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
