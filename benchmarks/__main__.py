"""`python -m benchmarks [--quick] [NAME …]`: a line or more each; ends with 1 when a target is missed."""

import argparse
import asyncio
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.measure import FULL, QUICK, Verdict

NAMES = ("producer", "consumer", "judging", "append", "slow", "memory", "start", "kafka", "sqs", "github")
PROOFS = ("away", "outage", "refusals")
"""Longer, of whole paths with trouble in them; run when they are named."""


def main() -> int:
    """The exit code: 0 when every target was met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    known = f"{', '.join(NAMES)}; and, only when named, {', '.join(PROOFS)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to run, all but the last by default: {known}")
    parser.add_argument("--only", action="append", choices=[*NAMES, *PROOFS], metavar="NAME", help="the same, one at a time")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds, for a first look")
    options = parser.parse_args()
    wanted = [*options.names, *(options.only or [])]
    if unknown := [name for name in wanted if name not in (*NAMES, *PROOFS)]:
        parser.error(f"there is no {unknown[0]!r}: {known}")
    verdicts: list[Verdict] = []
    for name in wanted or NAMES:
        with tempfile.TemporaryDirectory(prefix="harvest-bench-") as folder:
            found = asyncio.run(import_module(f"benchmarks.{name}").run(QUICK if options.quick else FULL, Path(folder)))
        for verdict in [found] if isinstance(found, Verdict) else found:
            print(verdict.line(), flush=True)
            verdicts.append(verdict)
    missed = [verdict.what for verdict in verdicts if not verdict.ok]
    print(f"missed: {'; '.join(missed)}" if missed else f"all {len(verdicts)} targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
