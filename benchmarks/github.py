"""A GitHub organisation beside the predecessor's plan: so many calls for its history, and for a day on which nothing happens."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.measure import QUICK, Scale, Verdict
from tests.github.judge import together
from tests.github.ledger import OLD_CALLS, OLD_RUNS
from tests.github.size import BACKFILL, IDLE, Plan, prove

_SMALL = Plan(repositories=30, pulls=4_000, days=90, live=3, every=timedelta(hours=12))
_LESS = Plan(repositories=12, pulls=2_000, days=30, live=1, every=timedelta(hours=12))


async def run(scale: Scale, folder: Path) -> Sequence[Verdict]:
    """The same proof as `python -m tests.github size`, smaller: the canary's share of the idle day is larger here."""
    report = await prove(_LESS if scale == QUICK else _SMALL, folder)
    found = together(report.tables.values())
    wrong = found.faults + sum(report.violations.values()) + report.early + report.unread
    true = f"{found.true:,} rows in {len(report.tables)} tables; limits exceeded {sum(report.violations.values())}"
    history = f"{report.backfill.total:,} calls for {report.pulls:,} pull requests, by the plan {OLD_CALLS} for each"
    idle = f"{report.idle.total:,} calls, by the plan {OLD_CALLS} for each pull request, {OLD_RUNS} times"
    return [
        Verdict("github: rows missing, doubled, stale, or wrong", [wrong], 0, "", at_least=False, details=true),
        Verdict(
            "github: history beside the predecessor's plan",
            [report.backfill_ratio],
            BACKFILL,
            "×",
            at_least=True,
            details=history,
        ),
        Verdict("github: an idle day beside that plan", [report.idle_ratio], IDLE, "×", at_least=True, details=idle),
    ]
