"""Proofs of GitHub. What the sink holds is compared with what is true, row by row.

size: 200 repositories and 20,000 pull requests at the pace GitHub allows, and the calls beside those of the predecessor.
kill: collections that are killed at random a hundred times, and what they read again.
rebuild: every table and index dropped, and made again from the archive with GitHub off.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tests.github import kill, rebuild, stores
from tests.github.judge import together
from tests.github.ledger import OLD_CALLS, OLD_RUNS, Calls
from tests.github.size import Plan, Report, prove
from tests.github.watch import BATCH, PAGE


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
    cuts = kill.Plan()
    killed = proofs.add_parser("kill", help="collections that are killed at random moments")
    killed.add_argument("--kills", type=int, default=cuts.kills, help="at least so many")
    killed.add_argument("--seed", default=cuts.seed)
    killed.set_defaults(proof=_kill)
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
    return _told(report.wrong())


def _kill(given: argparse.Namespace, folder: Path) -> int:
    report = kill.prove(kill.Plan(kills=given.kills, seed=given.seed), folder)
    found = together(report.tables.values())
    more = report.requests - report.collections * report.undisturbed
    struck = f"{report.reading} while reading, {report.writing} while archiving or writing; {report.struck:.0%} cut work"
    usual = f"{report.undisturbed:,} for one that is not killed"
    again = f"{report.again.rows} rows of a list and {report.again.details} pull requests (a page is {PAGE} and {BATCH}"
    lines = [
        f"{report.collections} collections, killed {report.kills} times: {struck}",
        f"{found.true:,} rows true: {_kept(*found[1:])}, unaccounted {report.unaccounted}",
        f"of one stream a life was told again at most {again}, with up to {report.ties} more of one second)",
        f"{report.requests:,} requests, {usual}: {more:,} more, of all {report.starting:,} at starts; {report.seconds:.0f} s",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return _told(report.wrong())


def _rebuild(given: argparse.Namespace, folder: Path) -> int:
    plan = rebuild.Plan(given.repositories, given.pulls, given.days, tuple(given.sinks.split(",")))
    report = rebuild.prove(plan, folder, lambda line: print(line, flush=True))  # noqa: T201 - it takes minutes
    sys.stdout.write(f"{rebuild.text(report, plan)}\n")
    return _told(report.wrong())


def _told(wrong: Sequence[str]) -> int:
    sys.stdout.writelines(f"NOT KEPT: {fault}\n" for fault in wrong)
    return 1 if wrong else 0


def text(report: Report, plan: Plan) -> str:
    """All figures."""
    found = together(report.tables.values())
    old = OLD_CALLS * report.pulls
    what = f"{plan.days} days at once and {plan.live} live, in {plan.sink}"
    history = f"{_calls(report.backfill)}, in {_whole(report.took)}"
    lines = [
        f"{plan.repositories} repositories, {report.pulls:,} pull requests, {what}",
        *(f"  {table:<16} {one.true:>7,} true: {_kept(*one[1:])}" for table, one in report.tables.items()),
        f"{_kept(*found[1:])}; {report.letters} letters; {report.untold} reviews without the time of change, by REST",
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
