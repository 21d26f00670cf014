"""`python -m tests.github size`: an organisation of 200 repositories and 20,000 pull requests, at the pace GitHub allows.

What the sink holds is compared with what is true, and the calls with those of the predecessor: a DuckDB file, or with
`--sink postgres` a real server.

`python -m tests.github rebuild`: every table and index dropped, and made again from the archive with GitHub off.
"""

import argparse
import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from tests.github import rebuild, stores
from tests.github.judge import together
from tests.github.ledger import OLD_CALLS, OLD_RUNS, Calls
from tests.github.size import Plan, Report, prove


def main() -> int:
    """0: every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.github", description=__doc__)
    proofs = parser.add_subparsers(required=True, metavar="PROOF")
    usual, size = Plan(), proofs.add_parser("size", help="half a year read at once, a month of life, an idle day")
    size.add_argument("--repositories", type=int, default=usual.repositories)
    size.add_argument("--pulls", type=int, default=usual.pulls, help="pull requests that are there when the reading begins")
    size.add_argument("--days", type=int, default=usual.days, help="of history")
    size.add_argument("--live", type=int, default=usual.live, help="days that follow")
    size.add_argument("--sink", default=usual.sink, choices=stores.NAMES)
    size.add_argument("--seed", default=usual.seed)
    size.set_defaults(proof=_size)
    again = proofs.add_parser("rebuild", help="all of it dropped and made again from the archive, with GitHub off")
    few = rebuild.Plan()
    again.add_argument("--repositories", type=int, default=few.repositories)
    again.add_argument("--pulls", type=int, default=few.pulls, help="pull requests, about so many")
    again.add_argument("--days", type=int, default=few.days, help="of history")
    again.add_argument("--sinks", default=",".join(few.sinks), help="those whose server is here: %(default)s")
    again.set_defaults(proof=_rebuild)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harvest-github-") as folder:
        return int(given.proof(given, Path(folder)))


def _size(given: argparse.Namespace, folder: Path) -> int:
    plan = Plan(given.repositories, given.pulls, given.days, given.live, sink=given.sink, seed=given.seed)
    report = asyncio.run(prove(plan, folder))
    sys.stdout.write(f"{text(report, plan)}\n")
    wrong = report.wrong()
    sys.stdout.writelines(f"NOT KEPT: {fault}\n" for fault in wrong)
    return 1 if wrong else 0


def _rebuild(given: argparse.Namespace, folder: Path) -> int:
    plan = rebuild.Plan(given.repositories, given.pulls, given.days, tuple(given.sinks.split(",")))
    report = rebuild.prove(plan, folder, lambda line: print(line, flush=True))  # noqa: T201 - it takes minutes
    sys.stdout.write(f"{rebuild.text(report, plan)}\n")
    wrong = report.wrong()
    sys.stdout.writelines(f"NOT KEPT: {fault}\n" for fault in wrong)
    return 1 if wrong else 0


def text(report: Report, plan: Plan) -> str:
    """All figures."""
    found = together(report.tables)
    old = OLD_CALLS * report.pulls
    what = f"{plan.days} days at once and {plan.live} live, in {plan.sink}"
    history = f"{_calls(report.backfill)}, in {_whole(report.took)}"
    lines = [
        f"{plan.repositories} repositories, {report.pulls:,} pull requests, {what}",
        *(f"  {table:<16} {one.true:>7,} true: {_kept(*one[1:])}" for table, one in report.tables.items()),
        f"{_kept(*found[1:])}; {report.letters} letters",
        f"history: {history}; the predecessor's plan: {old:,} calls, {report.backfill_ratio:.1f} × as many",
        f"live: {_calls(report.live)}",
        f"idle day: {_calls(report.idle)}; the predecessor's plan, {OLD_RUNS} runs a day: {report.idle_ratio:.0f} × as many",
        f"over a limit {sum(report.violations.values())}, before a wait was over {report.early}; {report.faults} faults met",
        f"{report.polls} polls, {report.events:,} events published, {report.seconds:.0f} s in truth",
    ]
    return "\n".join(lines)


def _kept(missing: int, doubled: int, stale: int, unknown: int) -> str:
    return f"missing {missing}, doubled {doubled}, stale {stale}, not true {unknown}"


def _calls(calls: Calls) -> str:
    return (
        f"{calls.total:,} calls ({calls.graphql:,} of GraphQL for {calls.points:,} points, {calls.unchanged:,} unchanged; "
        f"{calls.spent:,} of the hours' allowance)"
    )


def _whole(took: timedelta) -> timedelta:
    return timedelta(seconds=round(took.total_seconds()))


if __name__ == "__main__":
    sys.exit(main())
