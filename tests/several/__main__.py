"""`make several`: three consumers join, leave and are killed while events flow, and stand before a sink that is away."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.crash.killing import tell
from tests.services import MissingServerError
from tests.several.scale import SESSION, Plan, prove


def main() -> int:
    """0: every promise was kept."""
    parser = argparse.ArgumentParser(prog="make several", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rate", type=int, default=2_000, help="events a second")
    parser.add_argument("--away", type=float, default=300.0, help="seconds that Elasticsearch is dead")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harvest-several-") as folder:
        try:
            plan = Plan(given.events, given.rate, given.away)
            report = asyncio.run(prove(plan, Path(folder)))
        except MissingServerError as error:
            tell(f"not proven: {error}")
            return 1
    leaves, kills = (f"{max(seen):.2f} s in {len(seen)}" for seen in (report.leaves, report.kills))
    tell(
        f"{report.events:,} events: missing {report.missing}, doubled {report.doubled}, stale {report.stale}, unaccounted "
        f"{report.unaccounted}\nlongest pause after a clean leave {leaves}, after a kill {kills} (session {SESSION} s), "
        f"after a join {max(report.joins):.2f} s\n"
        f"sink away for {given.away:.0f} s: memory {report.memory[0]:.0f} → {report.memory[1]:.0f} MB, "
        f"delivery went on {report.resumed:.1f} s after its return"
    )
    faults = report.faults(plan)
    for fault in faults:
        tell(f"NOT KEPT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
