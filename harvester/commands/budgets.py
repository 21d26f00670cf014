"""What is spent of the budgets that processes share, for /status, `harvest status` and the metrics."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from harvester import metrics
from harvester.budget import Account
from harvester.budgets import beside, open_budget
from harvester.commands.outlook import clock_time
from harvester.errors import HarvesterError
from harvester.logs import get_logger
from harvester.report import BackfillReport, BudgetReport
from harvester.settings import CoreSettings
from harvester.sources import BUDGETED

_UNITS = {"core": "requests", "graphql": "points"}


async def accounts_of(core: CoreSettings, sources: Iterable[str]) -> Mapping[str, Account]:
    """Credential → its account, where one of the sources has a budget; nothing while its store is away."""
    url = core.budget_url or beside(core.coverage_url)
    if not url or not BUDGETED & {*sources}:
        return {}
    try:
        async with open_budget(url, core) as budget:
            return await budget.accounts()
    except HarvesterError as error:
        get_logger("service").debug("the rate budget is away", error=str(error))
        return {}


def measure(accounts: Mapping[str, Account]) -> None:
    """Tell the metrics what is left, of all credentials of a source together."""
    found: dict[tuple[str, str], int] = {}
    for name, account in accounts.items():
        for resource in account.buckets:
            key = name.partition("-")[0], resource
            found[key] = found.get(key, 0) + account.unspent(resource)
    for (source, resource), left in found.items():
        metrics.budget(source, resource, left)


def lines(budgets: Iterable[BudgetReport], backfills: Iterable[BackfillReport], now: datetime) -> list[str]:
    """A line for each credential, and one for each backfill."""
    by_name: dict[str, list[BudgetReport]] = {}
    for one in budgets:
        by_name.setdefault(one.name, []).append(one)
    found = [f"· {name}: {'; '.join(map(_spent, each))}" for name, each in by_name.items()]
    return found + [f"· backfill of {one.name}: {one.done:.0%} read{_ends(one.ends, now)}" for one in backfills]


def _spent(one: BudgetReport) -> str:
    left = "" if one.left is None else f", {max(0, one.left):,} are left"
    allowed = "" if one.limit is None else f" (the vendor allows {one.limit:,}{left})"
    return f"{one.used:,} of {one.hourly:,} {_UNITS.get(one.resource, one.resource)} of the hour spent{allowed}"


def _ends(ends: datetime | None, now: datetime) -> str:
    return f", ends at {clock_time(ends, now)}" if ends else ""
