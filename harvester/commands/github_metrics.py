"""`harvest github metrics`: what people did a day, and how pull requests went, computed from the tables of a warehouse."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from typing import Any

import click
import msgspec

from consumers.protocols import Sink
from consumers.records.mapping import record_classes
from consumers.records.record import Record
from consumers.records.velocity import Metric, PullRequestMetric
from consumers.velocity import TABLES, Days, computed
from harvester.commands import parts
from harvester.commands.github_stores import open_store, stores_of
from harvester.commands.options import json_option
from harvester.commands.words import amount_of
from harvester.errors import ConfigError, PermanentError
from harvester.event import Event, event_id
from harvester.loading import Loaded
from harvester.retry import ONE_SHOT, retrying
from harvester.service import run_once
from harvester.settings import CoreSettings

KINDS: tuple[tuple[type[Record], str], ...] = ((Metric, "github.metric"), (PullRequestMetric, "github.pr_metric"))
_BATCH = 5000
Told = dict[str, dict[str, int]]
"""Sink → table → rows written."""


@click.command("metrics")
@click.option(
    "--since",
    metavar="DATE",
    help="From this day on, in UTC, whether anything changed or not.  [default: all days, what changed]",
)
@click.option("--until", metavar="DATE", help="Before this day.  [default: no end]")
@json_option
def command(*, since: str | None, until: str | None, as_json: bool) -> int:
    """Compute the tables `metrics` (a day, repository and author) and `pr_metrics` (a pull request) from what is stored.

    Without a range all days that late data touched: rows whose result is another one now are written, no others. With
    Elasticsearch among the sinks the indexes github-metrics and github-pr-metrics get what was written; so give a range
    to fill an index that is new. Twice is once.

    \b
    harvest github metrics
    harvest github metrics --since 2026-01-01 --until 2026-07-01
    """
    first, last = day_of(since, "--since"), day_of(until, "--until")
    if first and last and first >= last:
        raise click.UsageError(f"--since/--until: the end {last} is not after the start {first}")
    names = parts.configured_sinks()
    loaded = parts.settings(*parts.sink_settings(names), reads=False)
    if not stores_of(names):
        raise ConfigError(without(names))
    return run_once(_told(loaded, first, last, as_json=as_json))


async def _told(loaded: Loaded, since: date | None, until: date | None, *, as_json: bool) -> int:
    told = await compute(loaded, since, until)
    if as_json:
        click.echo(msgspec.json.encode(told))
    for line in lines(told):
        click.echo(line, err=True)
    return 0


def without(sinks: Sequence[str]) -> str:
    """What to say where there is nothing to compute from."""
    return (
        f"metrics are computed in a warehouse, and HARVESTER_SINKS={','.join(sinks)} names none: "
        f"add duckdb, postgres or bigquery; an index of Elasticsearch gets what is computed there"
    )


def day_of(text: str | None, option: str) -> date | None:
    """A day as typed, in UTC. Wrong: exit 2."""
    try:
        return None if text is None else datetime.fromisoformat(text).date()
    except ValueError:
        raise click.BadParameter(f"{text!r} is no day: write YYYY-MM-DD, such as 2026-11-23", param_hint=option) from None


def lines(told: Told) -> list[str]:
    """The outcome for people."""
    return [
        f"{sink}: " + ", ".join(f"{table}: {amount_of(amount, 'row')} written" for table, amount in written.items())
        for sink, written in told.items()
    ]


async def compute(loaded: Loaded, since: date | None = None, until: date | None = None) -> Told:
    """Bring `metrics` and `pr_metrics` of every configured warehouse up to date; nothing where there is none.

    `since`, `until` (before it): these days in UTC, all their rows; without both what changed alone. The settings of all
    configured sinks have to be loaded. Raises what the sinks raise; rows that were written before stay right.
    """
    core, days, told = loaded.get(CoreSettings), Days(since, until), Told()
    async with AsyncExitStack() as stack:
        indexes = [await _opened(stack, name, loaded) for name in core.sinks if parts.group_of(name) == "elasticsearch"]
        for name in stores_of(core.sinks):
            store = await stack.enter_async_context(open_store(name, loaded))
            sinks = [*indexes, await _opened(stack, name, loaded)]  # an index that fails is tried again: all is still new then
            for sink in sinks:
                told[sink.name] = {}
            await store.prepare([one for one in record_classes() if one.__shape__.table in TABLES] + [one for one, _ in KINDS])
            for record, kind in KINDS:
                rows = await store.ask(computed(record, store.dialect, store.name, days, changed=not (since or until)))
                await _written(rows, record, kind, sinks, told)
            indexes = []  # one warehouse is enough for them
    return told


async def _opened(stack: AsyncExitStack, name: str, loaded: Loaded) -> Sink:
    return await stack.enter_async_context(parts.sink_named(name, loaded))


async def _written(rows: Sequence[dict[str, Any]], record: type[Record], kind: str, sinks: Sequence[Sink], told: Told) -> None:
    now = datetime.now(UTC)
    for sink in sinks:
        told[sink.name][record.__shape__.table] = len(rows)
    for at in range(0, len(rows), _BATCH):
        events = [event_of(row, record, kind, now) for row in rows[at : at + _BATCH]]
        for sink in sinks:
            refused = await retrying(_writing(sink, events), ONE_SHOT)
            if refused:
                raise PermanentError(f"{sink.name}: {record.__shape__.table}: {refused[0].error}")


def _writing(sink: Sink, events: Sequence[Event]) -> Callable[[], Any]:
    return lambda: sink.write(events)


def event_of(row: dict[str, Any], record: type[Record], kind: str, now: datetime) -> Event:
    """A computed row as what sinks take; a later computation outranks it."""
    source = str(row["event_module"])
    made: Any = msgspec.convert({**row, "calculation_timestamp": now}, type=record, strict=False)
    data = msgspec.json.encode(made)
    when = (
        made.created_at if isinstance(made, PullRequestMetric) else datetime.combine(made.metric_date, datetime.min.time(), UTC)
    )
    return Event(
        id=event_id(source, kind, made.subject, data),
        source=source,
        type=kind,
        subject=made.subject,
        version=int(now.timestamp() * 1000),
        time=when or now,
        read_at=now,
        data=msgspec.Raw(data),
    )
