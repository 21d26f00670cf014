"""The status of an installation: what /status and `harvest status --json` say. What was found goes in, the report comes out."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from harvester import __version__
from harvester.budget import Account
from harvester.coverage import Coverage
from harvester.limits import Spent
from harvester.lock import me
from harvester.pauses import Pause, why_paused
from harvester.protocols import Group, Size
from harvester.states import SEVERITY, Standing

FORMAT = 1
PENDING = "pending"
"""The reason of letters that are tried again by themselves."""
_BEGAN = datetime.now(UTC)
_BEGAN_AT = time.monotonic()


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon that answered."""

    owner: str
    version: str
    started: datetime
    uptime_seconds: float


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """One stream; or a source of which no stream is known yet."""

    name: str
    state: str
    """As in `states`; "" when no daemon told."""
    since: datetime | None = None
    reason: str = ""
    until: datetime | None = None
    """When it tries again, if that is known."""
    last_success: datetime | None = None
    start: datetime | None = None
    live_edge: datetime | None = None
    watermark: datetime | None = None
    lag_seconds: float | None = None
    """The vendor's now − the live edge."""
    gaps: int = 0
    gap_seconds: float = 0.0
    owner: str = ""
    """Who harvests it now; "" when nobody holds its lease."""
    spent: Spent | None = None
    """What of the vendor's calls of a day is spent, as noted last; None: it counts none."""


class BudgetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of a credential that processes share."""

    name: str
    """The source, and a digest of the credential."""
    resource: str
    used: int
    """In the running hour, by all of them together."""
    hourly: int
    """What they may spend in an hour."""
    limit: int | None = None
    """What the vendor allows; None: it does not say."""
    left: int | None = None
    """What it leaves of that."""


class BackfillReport(msgspec.Struct, frozen=True, kw_only=True):
    """History that some process reads now."""

    name: str
    done: float
    """The share that is read."""
    ends: datetime | None
    """When it ends, by its pace and by what may be spent; None: too little is done to tell."""


class SinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer group."""

    name: str
    state: str
    """As in `states`; for one that another process feeds "running", and "idle" when nobody does."""
    since: datetime | None = None
    reason: str = ""
    until: datetime | None = None
    last_success: datetime | None = None
    lag: int = 0
    """Messages that it has not committed."""
    reader: str = ""
    """Who feeds it now, or collects and feeds it in turns."""
    breaker: Literal["open", "closed"] = "closed"
    pending: int = 0
    """Events that were written without their enrichment: repaired by themselves."""


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the queue keeps; None: it cannot tell."""

    messages: int | None
    bytes: int | None
    oldest_age_seconds: float
    """Age of the oldest message that some group has not committed; 0: there is none."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be."""

    name: str
    what: str
    next: str
    """What to do about it: a command, or why nothing is to be done."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    format: int = FORMAT
    at: datetime
    state: Literal["ok", "degraded"]
    process: Process | None
    """None: it was read from the stores, no daemon answered."""
    sources: Sequence[StreamReport]
    sinks: Sequence[SinkReport]
    queue: QueueReport
    letters: Mapping[str, Mapping[str, int]]
    """Sink or source → reason → dead letters."""
    paused: Mapping[str, str]
    """Source, stream or sink → since when, and by whom."""
    problems: Sequence[Problem]
    budgets: Sequence[BudgetReport] = ()
    backfills: Sequence[BackfillReport] = ()


class Told(NamedTuple):
    """What was found."""

    standings: Sequence[Standing] = ()
    coverages: Mapping[str, Mapping[str, Coverage]] = {}
    """Source → stream → what is known of it."""
    owners: Mapping[str, Mapping[str, str]] = {}
    """Source → stream → who holds its lease."""
    now: Mapping[str, datetime] = {}
    """Source → its now."""
    spent: Mapping[str, Spent] = {}
    """Stream, with its source → what of a day's calls is spent."""
    accounts: Mapping[str, Account] = {}
    """Credential → what is spent of it."""
    pauses: Mapping[str, Pause] = {}
    groups: Sequence[Group] = ()
    lags: Mapping[str, int] = {}
    """Of sinks that are set; they may have no group yet."""
    letters: Mapping[str, Mapping[str, int]] = {}
    size: Size = Size(0, 0, None)
    collects: Mapping[str, str] = {}
    """Sink that collections feed → who collects now, "" between two of them."""


def about_me() -> Process:
    """This process."""
    return Process(owner=me(), version=__version__, started=_BEGAN, uptime_seconds=round(time.monotonic() - _BEGAN_AT, 1))


def collect(told: Told, *, process: Process | None, more: Sequence[Problem] = ()) -> Report:
    """The report. `more`: problems that only the caller can know."""
    at = datetime.now(UTC)
    sources, sinks = [*_sources(told, at)], [*_sinks(told)]
    size = told.size
    queue = QueueReport(
        messages=size.messages,
        bytes=size.bytes,
        oldest_age_seconds=0.0 if size.oldest is None else max(0.0, round((at - size.oldest).total_seconds(), 1)),
    )
    problems = [*more, *_of_sources(sources), *_of_sinks(sinks, told), *_of_letters(told.letters)]
    return Report(
        at=at,
        state="degraded" if problems else "ok",
        process=process,
        sources=sources,
        sinks=sinks,
        queue=queue,
        letters=told.letters,
        paused={name: str(pause) for name, pause in told.pauses.items()},
        problems=problems,
        budgets=[*_budgets(told)],
        backfills=[*_backfills(told)],
    )


def _budgets(told: Told) -> Iterable[BudgetReport]:
    for name, account in told.accounts.items():
        for resource, one in sorted(account.buckets.items()):
            yield BudgetReport(name=name, resource=resource, used=one.used, hourly=account.hourly, limit=one.limit, left=one.left)


def _backfills(told: Told) -> Iterable[BackfillReport]:
    plans = {plan.name: plan for account in told.accounts.values() for plan, _ in account.plans.values()}
    for name, plan in sorted(plans.items()):
        ends = datetime.fromtimestamp(round(plan.ends), UTC) if plan.ends else None
        yield BackfillReport(name=name, done=round(plan.done, 4), ends=ends)


def _sources(told: Told, at: datetime) -> Iterable[StreamReport]:
    """A row for each stream. What is wrong with its source is wrong with it."""
    standings = {standing.name: standing for standing in told.standings if standing.kind != "sink"}
    named = [n for n, standing in standings.items() if standing.kind == "stream"]
    named += [f"{source}/{stream}" for source, streams in told.coverages.items() for stream in streams]
    alone = [
        n for n, standing in standings.items() if standing.kind == "source" and not any(x.startswith(f"{n}/") for x in named)
    ]
    for name in dict.fromkeys([*alone, *sorted(named)]):
        source, _, stream = name.partition("/")
        both = [s for s in (standings.get(name), standings.get(source)) if s]
        own = standings.get(name)
        standing = max(both, key=lambda s: SEVERITY[s.state], default=None)
        if own and standing and (own.state == "paused" or (own.state == "standby" and not standing.wrong)):
            standing = own
        coverage = told.coverages.get(source, {}).get(stream, Coverage())
        edge, gaps = coverage.live_edge, coverage.gaps()
        pause = why_paused(told.pauses, name)
        yield StreamReport(
            name=name,
            state="paused" if pause and standing is None else standing.state if standing else "",
            since=standing.since if standing else pause.since if pause else None,
            reason=standing.reason if standing else str(pause or ""),
            until=standing.until if standing else None,
            last_success=max((s.last_success for s in both if s.last_success), default=None),
            start=coverage.start,
            live_edge=edge,
            watermark=coverage.watermark,
            lag_seconds=None if edge is None else round((told.now.get(source, at) - edge).total_seconds(), 1),
            gaps=len(gaps),
            gap_seconds=gaps.total / timedelta(seconds=1),
            owner=told.owners.get(source, {}).get(stream, ""),
            spent=told.spent.get(name),
        )


def _sinks(told: Told) -> Iterable[SinkReport]:
    standings = {standing.name: standing for standing in told.standings if standing.kind == "sink"}
    groups = {group.name: group for group in told.groups}
    for name in sorted({*standings, *groups, *told.lags}):
        standing, group, pause = standings.get(name), groups.get(name), told.pauses.get(name)
        reader = (group.owner if group else "") or told.collects.get(name, "")
        elsewhere = "paused" if pause else "running" if reader else "idle"
        yield SinkReport(
            name=name,
            state=standing.state if standing else elsewhere,
            since=standing.since if standing else pause.since if pause else None,
            reason=standing.reason if standing else str(pause or ""),
            until=standing.until if standing else None,
            last_success=standing.last_success if standing else None,
            lag=group.lag if group else told.lags.get(name, 0),
            reader=reader,
            breaker="open" if standing and standing.breaker else "closed",
            pending=told.letters.get(name, {}).get(PENDING, 0),
        )


def _of_sources(sources: Iterable[StreamReport]) -> Iterable[Problem]:
    for one in sources:
        if one.state in _NEXT:
            yield _not_running(one)
        if one.gaps:
            what = f"{one.gaps} gaps, {timedelta(seconds=one.gap_seconds)} in all" if one.gaps > 1 else "a gap"
            yield Problem(name=one.name, what=f"{what}: not read", next=f"harvest coverage fill {one.name}")


def _of_sinks(sinks: Iterable[SinkReport], told: Told) -> Iterable[Problem]:
    for one in sinks:
        if one.breaker == "open":
            way = f"harvest dead-letters list --group {one.name}; mend the cause, or start it with --accept-rejections"
            yield Problem(name=one.name, what=f"stopped by the breaker: {one.reason}", next=way)
        elif one.state in _NEXT:
            yield _not_running(one)
        elif one.state == "idle" and one.lag:
            what = f"nobody feeds it, and {one.lag:,} messages wait for it"
            yield Problem(name=one.name, what=what, next=_who_feeds(one, told))


def _who_feeds(one: SinkReport, told: Told) -> str:
    """What brings it on. To forget a sink is a way only for one that is not set, and its price is told."""
    way = f"harvest consume {one.name}"
    if one.name in told.collects:
        return f"harvest github collect, which completes what was cut off and feeds it; or {way}"
    if one.name in told.lags:
        return way
    return f"{way}; or, if nobody wants it, harvest queue forget {one.name}, which drops these {one.lag:,} messages for it"


def _not_running(one: StreamReport | SinkReport) -> Problem:
    again = f" at {one.until:%H:%M:%SZ}" if one.until else ""
    return Problem(name=one.name, what=f"{one.state}: {one.reason}", next=_NEXT[one.state].format(name=one.name, again=again))


def _of_letters(letters: Mapping[str, Mapping[str, int]]) -> Iterable[Problem]:
    for group, reasons in letters.items():
        held = {reason: amount for reason, amount in reasons.items() if reason != PENDING and amount}
        if held:
            kinds = ", ".join(f"{reason} {amount:,}" for reason, amount in sorted(held.items()))
            way = f"harvest dead-letters list --group {group}"
            yield Problem(name=group, what=f"{sum(held.values()):,} dead letters: {kinds}", next=way)


_NEXT = {
    "waiting": "it is tried again by itself{again}; harvest doctor looks for the cause",
    "degraded": "it is started anew{again}, and the log has the traceback; harvest pause {name} keeps it from trying",
    "stopped": "mend it; it is tried again{again}, or at once by harvest pause {name} and harvest resume {name}",
}
