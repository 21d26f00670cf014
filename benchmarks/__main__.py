"""`python -m benchmarks [--quick] [--only NAME …]`: one line each; ends with 1 when a target is missed."""

import argparse
import asyncio
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.measure import FULL, QUICK, Verdict

NAMES = ("producer", "consumer", "judging", "append", "slow", "memory", "start")


def main() -> int:
    """The exit code: 0 when every target was met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}; repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds, for a first look")
    options = parser.parse_args()
    verdicts = []
    for name in options.only or NAMES:
        with tempfile.TemporaryDirectory(prefix="harvest-bench-") as folder:
            verdict: Verdict = asyncio.run(
                import_module(f"benchmarks.{name}").run(QUICK if options.quick else FULL, Path(folder))
            )
        print(verdict.line(), flush=True)
        verdicts.append(verdict)
    missed = [verdict.what for verdict in verdicts if not verdict.ok]
    print(f"missed: {'; '.join(missed)}" if missed else f"all {len(verdicts)} targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
