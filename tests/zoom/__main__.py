"""`python -m tests.zoom`: two months of a Zoom account through queue and consumer into a sink, with faults and every limit.

What the sink holds is compared with what is true: a DuckDB file, or with `--sink elasticsearch` the indexes of a real server.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

from tests.crash.targets import DUCKDB, elasticsearch
from tests.zoom.ledger import Calls
from tests.zoom.proof import Plan, Report, prove


def main() -> int:
    """0: every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoom", description=__doc__)
    usual = Plan()
    parser.add_argument("--days", type=int, default=usual.days)
    parser.add_argument("--meetings", type=int, default=usual.meetings)
    parser.add_argument("--daily", type=int, default=usual.daily, help="calls a day while the history is read")
    parser.add_argument("--sink", default=DUCKDB.name, choices=(DUCKDB.name, "elasticsearch"))
    given = parser.parse_args()
    plan = Plan(days=given.days, meetings=given.meetings, daily=given.daily)
    with (
        tempfile.TemporaryDirectory(prefix="harvest-zoom-") as folder,
        elasticsearch() if given.sink == "elasticsearch" else nullcontext(DUCKDB) as target,
    ):
        report = asyncio.run(prove(plan, Path(folder), target))
    sys.stdout.write(f"{text(report, plan.days, given.sink)}\n")
    faults = report.faults()
    sys.stdout.writelines(f"NOT KEPT: {fault}\n" for fault in faults)
    return 1 if faults else 0


def text(report: Report, days: int, sink: str) -> str:
    """All figures."""
    found = report.judgement
    lines = [
        f"{days} days: {found.meetings:,} meetings and {found.sessions:,} sessions ({found.rejoins:,} rejoins) in {sink}",
        f"missing {found.missing}, doubled {found.doubled}, stale {found.stale}, not true {found.unknown}",
        f"{report.letters:,} letters; {report.broken:,} rows were no records",
        _calls("history", report.history),
        f"cut {report.cuts} times by the limit of the day, {report.repeated} finished meetings asked for again",
        _calls("live", report.live),
        _calls("all", report.calls),
        f"over a limit {report.violations}, before a wait was over {report.early}",
        f"{report.polls} polls waited for {timedelta(seconds=round(report.waited))}, which took {report.seconds:.0f} s in truth",
    ]
    return "\n".join(lines)


def _calls(name: str, calls: Calls) -> str:
    return (
        f"{name}: {calls.total:,} calls = {calls.ratio:.3f} × the least ({calls.lists:,} pages of lists, {calls.stays:,} of "
        f"participants); beside them {calls.spoiled} spoiled, {calls.refused} refused, {calls.lists_again} + "
        f"{calls.stays_again} again"
    )


if __name__ == "__main__":
    sys.exit(main())
