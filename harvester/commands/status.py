"""`harvest status`: how everything is, what is wrong, and what to do about it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import click
import msgspec

from harvester.commands import parts, presence
from harvester.commands.asking import NobodyError, ask
from harvester.commands.budgets import accounts_of
from harvester.commands.budgets import lines as budget_lines
from harvester.commands.collecting import collects
from harvester.commands.options import json_option
from harvester.commands.spent import lines as spent_lines
from harvester.commands.spent import spent_of
from harvester.commands.words import amount_of
from harvester.coverages import open_coverages
from harvester.errors import ConfigError
from harvester.letters import open_letters
from harvester.pauses import paused
from harvester.queues import open_queue
from harvester.report import FORMAT, Problem, Report, SinkReport, Told, collect
from harvester.screens import plain, plain_json
from harvester.service import run_once
from harvester.settings import CoreSettings

_PATIENCE = 5.0
_SHOWN = 5
"""Streams of one owner that are named."""
_WORDS = {"": "-", "idle": "nobody"}


class _Format(msgspec.Struct):
    format: int


@click.command("status")
@json_option
def command(as_json: bool) -> int:
    """Show sources, sinks, queue and what is wrong, with the next command. Exit code 5 when something is wrong.

    The daemon at HARVESTER_LISTEN is asked; when there is none, the stores are.
    """
    core = parts.settings().get(CoreSettings)
    report = _of_daemon(core)
    if report is None:
        report = run_once_report(core)
    if as_json:
        click.echo(plain_json(msgspec.json.encode(report)))
    else:
        click.echo(plain("\n".join(screen(report, core.listen))))
    return 5 if report.problems else 0


def _of_daemon(core: CoreSettings) -> Report | None:
    """What the daemon says; None when none is set or none answers."""
    listen = core.listen
    if not listen:
        return None
    try:
        said = ask(core, "/status", timeout=_PATIENCE)
    except NobodyError:
        return None
    if said.status == 503:
        raise NobodyError(f"the daemon at {listen} has not begun yet: {said.body.decode(errors='replace').strip()}")
    try:
        if msgspec.json.decode(said.body, type=_Format).format > FORMAT:
            raise ConfigError(f"the daemon at {listen} is newer than this command: upgrade this one")
        return msgspec.json.decode(said.body, type=Report)
    except msgspec.DecodeError as error:
        raise NobodyError(f"whoever listens at HARVESTER_LISTEN={listen} is no daemon of ours: {error}") from error


def run_once_report(core: CoreSettings) -> Report:
    """The report from the stores; nothing is made."""
    found: list[Report] = []

    async def read() -> int:
        found.append(await _of_stores(core))
        return 0

    run_once(read())
    return found[0]


async def _of_stores(core: CoreSettings) -> Report:
    told, more = Told(), []
    if core.listen:
        more.append(Problem(name="daemon", what=f"nobody answers at {core.listen}", next="harvest run"))
    if presence.has_books(core.coverage_url):
        async with open_coverages(core.coverage_url, core) as store:
            books = {source: (await store.load(source)).streams for source in core.sources}
            owners = {source: await store.owners(source) for source in core.sources}
            told = told._replace(coverages=books, owners=owners, pauses=await paused(store), spent=spent_of(books))
            told = told._replace(accounts=await accounts_of(core, core.sources))
    if await presence.missing(core.letters_url) is None:
        async with open_letters(core.letters_url, core) as letters:
            told = told._replace(letters=await letters.counts())
    if await presence.missing(core.queue_url) is None:
        async with open_queue(core.queue_url, core) as queue:
            names = map(parts.group_of, core.sinks)
            told = told._replace(
                groups=await queue.groups(),
                lags={name: sum((await queue.lag(name)).values()) for name in names},
                size=await queue.size(),
            )
            for source, other in (await presence.foreign_books(core, queue.id)).items():
                what = f"its book is true for queue {other}, and the queue here is {queue.id}"
                more.append(
                    Problem(name=source, what=what, next=f"harvest coverage reset {source}, or check HARVESTER_QUEUE_URL")
                )
        if presence.has_books(core.coverage_url):
            async with open_coverages(core.coverage_url, core) as store:
                told = told._replace(collects=await collects(core, store, told))
    return collect(told, process=None, more=more)


def screen(report: Report, listen: str) -> list[str]:
    """Its lines; all but those of problems and pauses fit 80 columns where names are as short as ours."""
    if report.process:
        up = duration(report.process.uptime_seconds)
        head = f"{report.state}   daemon at {listen}, {report.process.owner}, version {report.process.version}, up {up}"
    else:
        asked = f"no daemon at {listen}" if listen else "HARVESTER_LISTEN is not set, so no daemon was asked"
        head = f"{report.state}   as the stores say; {asked}"
    if not (report.sources or report.sinks or report.problems):
        begin = "nothing was harvested here yet; next: harvest run, or harvest useractions"
        return [head, "", begin, "where nothing is set up: harvest init"]
    tables = [_table(rows) for rows in ([*_of_sources(report)], [*_of_sinks(report)]) if len(rows) > 1]
    lines = [head, *(line for table in tables for line in ("", *table)), "", _of_queue(report)]
    lines += [line for owner, names in _elsewhere(report).items() for line in ("", f"· {owner} harvests {_some(names)}")]
    lines += [line for one in report.sinks if ", " in one.reader for line in ("", f"· {one.name} is fed by {one.reader}")]
    lines += [line for name, pause in report.paused.items() for line in ("", f"· {name} is {pause}; harvest resume {name}")]
    lines += [line for told in spent_lines(report.sources, report.at) for line in ("", told)]
    lines += [line for told in budget_lines(report.budgets, report.backfills, report.at) for line in ("", told)]
    lines += [line for one in report.sinks if one.pending for line in ("", _pending(one))]
    for problem in report.problems:
        lines += ["", f"! {problem.name}: {problem.what}", f"  next: {problem.next}"]
    return lines


def _of_sources(report: Report) -> Iterable[Sequence[str]]:
    yield ("SOURCE", "STATE", "LAG", "READ UP TO (UTC)", "FINAL UP TO (UTC)")
    for one in report.sources:
        lag = "-" if one.lag_seconds is None else duration(one.lag_seconds)
        state = _state(one.state, report)
        yield (one.name, state, lag, _minute(one.live_edge), _minute(one.watermark))


def _of_sinks(report: Report) -> Iterable[Sequence[str]]:
    yield ("SINK", "STATE", "WAITING", "PENDING", "FED BY")
    for one in report.sinks:
        yield (one.name, _state(one.state, report), _count(one.lag), _count(one.pending), _reader(one.reader))


def _reader(reader: str) -> str:
    return amount_of(reader.count(", ") + 1, "member") if ", " in reader else reader or "-"


def _elsewhere(report: Report) -> Mapping[str, Sequence[str]]:
    """Owner → the streams that he harvests, and the process that answered does not."""
    own, found = report.process.owner if report.process else "", dict[str, list[str]]()
    for one in report.sources:
        if one.owner not in ("", own):
            found.setdefault(one.owner, []).append(one.name)
    return found


def _some(names: Sequence[str]) -> str:
    """The first few."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _pending(one: SinkReport) -> str:
    events = amount_of(one.pending, "event is", "events are")
    return f"· {one.name}: {events} written without enrichment, and completed without your doing; harvest doctor tells why"


def _of_queue(report: Report) -> str:
    queue = report.queue
    kept = "?" if queue.messages is None else amount_of(queue.messages, "message")
    size = "" if queue.bytes is None else f", {queue.bytes / 2**20:,.1f} MiB"
    waits = f", the oldest that is not committed waits for at most {duration(queue.oldest_age_seconds)}"
    return f"QUEUE {kept}{size}{waits if queue.oldest_age_seconds else ', all committed' if queue.messages else ''}"


def _state(state: str, report: Report) -> str:
    return _WORDS.get(state, state) if report.process is None else state or "elsewhere"


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"


def _count(amount: int) -> str:
    return f"{amount:,}" if amount else "-"


def duration(seconds: float) -> str:
    """As people say it: the two largest units that there are."""
    left = timedelta(seconds=max(0, round(seconds)))
    hours, rest = divmod(left.seconds, 3600)
    amounts = ((left.days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s"))
    first = next((n for n, (amount, _) in enumerate(amounts) if amount), 3)
    return " ".join(f"{amount} {unit}" for amount, unit in amounts[first : first + 2] if amount) or "0 s"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
