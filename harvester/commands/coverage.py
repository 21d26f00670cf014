"""`harvest coverage`: what is read, what is final, what is missing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import click
import msgspec

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands import parts, presence
from harvester.commands.acts import done
from harvester.commands.backfill import fill
from harvester.commands.harvesting import FILLING, PRINTED, open_shot, tell
from harvester.commands.options import although_paused_option, confirmed, json_option, yes_option
from harvester.commands.times import ordered, parse_time, shown
from harvester.commands.words import amount_of
from harvester.coverage import Coverage, Interval, Intervals
from harvester.coverages import open_coverages
from harvester.errors import ConfigError, RefusedError
from harvester.loading import Loaded
from harvester.protocols import CoverageStore
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources import SOURCES

_WIDTH = 60
_STREAMS = {"useractions": ("opencast", "useractions")}
"""Predecessor's names that mean a stream."""


@click.group("coverage")
def command() -> None:
    """Coverage: the time ranges of a stream that are in the queue."""


@command.command("show")
@click.argument("name", default="")
@json_option
def show(name: str, as_json: bool) -> int:
    """Show NAME (a source, or source/stream), or everything.

    \b
    harvest coverage show useractions
    """
    return run_once(_looking(lambda store: _show(store, name, as_json=as_json)))


@command.command("gaps")
@click.argument("name", default="")
@json_option
def gaps(name: str, as_json: bool) -> int:
    """List what is not read between the start and the live edge. Exit code 5 when there is any."""
    return run_once(_looking(lambda store: _gaps(store, name, as_json=as_json)))


@command.command("fill")
@click.argument("name", default="useractions")
@click.option("-s", "--start", metavar="TIME", help="Fill from here on only.  [default: all gaps]")
@click.option("-e", "--end", metavar="TIME", help="Fill up to here only.  [default: all gaps]")
@although_paused_option
@json_option
def fill_gaps(name: str, start: str | None, end: str | None, as_json: bool) -> int:
    """Read the gaps of NAME."""
    source, stream = split_name(name, printed=False)
    loaded = parts.settings(parts.source_settings(source), EpisodeSettings)
    zone = loaded.get(CoreSettings).timezone
    first = parse_time(start, zone, "--start") if start else None
    last = parse_time(end, zone, "--end") if end else None
    if first and last:
        ordered(first, last, "--start/--end")
    return run_once(_fill(loaded, source, stream, first, last, as_json=as_json))


@command.command("set")
@click.argument("name")
@click.option("-s", "--start", required=True, metavar="TIME", help="Where the stream begins.")
@click.option("-u", "--read-until", metavar="TIME", help="Up to here it counts as read, and as final.  [default: --start]")
@yes_option
def set_(name: str, start: str, read_until: str | None, yes: bool) -> int:
    """State what is read of NAME, in place of what is known: for moving in from another tool.

    \b
    harvest coverage set useractions --start 20260101000000 --read-until 20261123000000
    """
    source, stream = split_name(name, whole=True)

    async def act(store: CoverageStore, core: CoreSettings) -> int:
        first = parse_time(start, core.timezone, "--start")
        last = parse_time(read_until, core.timezone, "--read-until") if read_until else first
        if read_until:
            ordered(first, last, "--start/--read-until")
        if last > datetime.now(UTC):
            raise click.UsageError(f"{shown(last)} is in the future: nothing is read of it")
        confirmed(f"Set {source}/{stream} to begin at {shown(first)} and be read up to {shown(last)}?", yes=yes)
        read = Intervals([(first, last)])
        await store.reset(source, stream, Coverage(start=first, read=read, settled=read))
        done("coverage set", target=f"{source}/{stream}", start=shown(first), read_until=shown(last))
        click.echo(f"{source}/{stream}: begins at {shown(first)}, read up to {shown(last)}", err=True)
        return 0

    return run_once(_with_store(act))


@command.command("reset")
@click.argument("name")
@yes_option
def reset(name: str, yes: bool) -> int:
    """Forget what is read of NAME (a source, or source/stream); the next harvest begins as if it were the first.

    Nothing in the queue or the sinks is touched: what is read again is recognised by its id.
    """
    source, stream = split_name(name)

    async def act(store: CoverageStore, core: CoreSettings) -> int:  # noqa: ARG001 - one shape for all
        known = await _streams(store, source)
        if known is not None and not ({stream} & known if stream else known):
            click.echo(f"nothing is recorded of {name}: there is nothing to forget", err=True)
            return 0
        streams = [stream] if stream else sorted(known or {s for one, s in _STREAMS.values() if one == source} or {"all"})
        confirmed(f"Forget what is read of {source} ({', '.join(streams)})?", yes=yes)
        for one in streams:
            await store.reset(source, one, Coverage())
        done("coverage reset", target=source, streams=streams)
        click.echo(f"{source}: {', '.join(streams)} reset", err=True)
        return 0

    return run_once(_with_store(act))


async def _streams(store: CoverageStore, source: str) -> set[str] | None:
    """The streams of a book; None when it is damaged, or claims the future: the reset is what mends that."""
    try:
        return set((await store.load(source)).streams)
    except (ConfigError, RefusedError):
        return None


def split_name(name: str, *, whole: bool = False, printed: bool = True) -> tuple[str, str]:
    """A name as source and stream; "" for all streams of the source. Exit 2 for a source that there is not.

    `printed`: also the books of what was printed, such as opencast.stdout.
    """
    if name in _STREAMS:
        return _STREAMS[name]
    source, _, stream = name.partition("/")
    known = [*SOURCES, *(f"{s}.{PRINTED}" for s in SOURCES if printed)]
    if source not in known:
        named = ", ".join([*_STREAMS, *known])
        raise click.BadParameter(f"there is no source {source!r}; there are: {named}", param_hint="NAME")
    if whole and not stream:
        raise click.BadParameter(f"{name!r}: name a stream, such as opencast/useractions", param_hint="NAME")
    return source, stream


async def _with_store(act: Callable[[CoverageStore, CoreSettings], Awaitable[int]]) -> int:
    core = parts.settings().get(CoreSettings)
    async with open_coverages(core.coverage_url, core) as store:
        return await act(store, core)


async def _looking(act: Callable[[CoverageStore | None], Awaitable[int]]) -> int:
    """With None where there are no books: who only looks makes no folder for them."""
    core = parts.settings().get(CoreSettings)
    if not await asyncio.to_thread(presence.has_books, core.coverage_url):
        return await act(None)
    async with open_coverages(core.coverage_url, core) as store:
        return await act(store)


async def _chosen(store: CoverageStore | None, name: str) -> dict[str, Coverage]:
    source, stream = split_name(name) if name else ("", "")
    found: dict[str, Coverage] = {}
    if store is None:
        return found
    for key in [source] if source else [k for s in SOURCES for k in (s, f"{s}.{PRINTED}")]:
        streams = (await store.load(key)).streams
        if stream and streams and stream not in streams:
            there = ", ".join(sorted(streams))
            raise click.BadParameter(f"{key} has no stream {stream!r}; there are: {there}", param_hint="NAME")
        found.update({f"{key}/{n}": c for n, c in sorted(streams.items()) if stream in ("", n)})
    return found


async def _show(store: CoverageStore | None, name: str, *, as_json: bool) -> int:
    chosen = await _chosen(store, name)
    if as_json:
        click.echo(msgspec.json.encode({n: _facts(c) for n, c in chosen.items()}))
        return 0
    if not chosen:
        click.echo("nothing is recorded yet: the first harvest begins at its start; next: harvest useractions", err=True)
    for number, (one, coverage) in enumerate(chosen.items()):
        if number:
            click.echo()
        click.echo("\n".join(_screen(one, coverage)))
    return 0


def _facts(coverage: Coverage) -> dict[str, object]:
    sets = {"read": coverage.read, "settled": coverage.settled, "gaps": coverage.gaps(), "islands": coverage.islands()}
    return {
        "start": coverage.start,
        "live_edge": coverage.live_edge,
        "watermark": coverage.watermark,
        **{name: [[i.start, i.end] for i in intervals] for name, intervals in sets.items()},
    }


def _screen(name: str, coverage: Coverage) -> list[str]:
    missing, islands = coverage.gaps(), coverage.islands()
    if coverage.start is None and not coverage.read:
        return [name, "  nothing is read; next: harvest useractions"]
    before = "something before it is read: see the islands" if islands else "nothing is known before it"
    lines = [
        name,
        f"  start      {shown(coverage.start)}   {before}",
        f"  watermark  {shown(coverage.watermark)}   up to here everything is read and final",
        f"  live edge  {shown(coverage.live_edge)}   up to here something is read",
    ]
    first = min([i.start for i in coverage.read] + [m for m in (coverage.start,) if m], default=None)
    last = coverage.live_edge
    if first and last and first < last:
        lines += ["", f"  {_bar(coverage, Interval(first, last))}", f"  {shown(first)}{shown(last):>{_WIDTH - 20}}"]
        lines.append("  █ final   ▒ read, not yet final   · not read" + ("   ░ island" if islands else ""))
    lines.append("")
    lines += [f"  gap        {shown(i.start)} … {shown(i.end)}   {i.end - i.start}" for i in missing]
    lines += [f"  island     {shown(i.start)} … {shown(i.end)}   read, but before the start" for i in islands]
    lines.append(
        f"  {amount_of(len(missing), 'gap')}, {missing.total} in all: harvest coverage fill {name}" if missing else "  no gaps"
    )
    return lines


def _bar(coverage: Coverage, span: Interval) -> str:
    """The span in cells; a cell shows the worst that is in it, so that no gap and no island is too small to be seen."""
    step = (span.end - span.start) / _WIDTH
    gaps, islands = coverage.gaps(), coverage.islands()

    def cell(part: Intervals) -> str:
        if part & gaps:
            return "·"
        if part & islands:
            return "░"
        return "·" if part - coverage.read else "▒" if part - coverage.settled else "█"

    ends = [min(span.start + (i + 1) * step, span.end) for i in range(_WIDTH)]
    return "".join(cell(Intervals([(span.start + i * step, end)])) for i, end in enumerate(ends))


async def _gaps(store: CoverageStore | None, name: str, *, as_json: bool) -> int:
    found = {n: c.gaps() for n, c in (await _chosen(store, name)).items()}
    if as_json:
        click.echo(msgspec.json.encode({n: [[i.start, i.end] for i in g] for n, g in found.items()}))
    else:
        for one, intervals in found.items():
            for gap in intervals:
                click.echo(f"{one}  {shown(gap.start)} … {shown(gap.end)}  {gap.end - gap.start}")
    total = sum(len(g) for g in found.values())
    click.echo(amount_of(total, "gap") if total else "no gaps", err=True)
    return 5 if total else 0


async def _fill(loaded: Loaded, source: str, stream: str, first: datetime | None, last: datetime | None, *, as_json: bool) -> int:
    async with open_shot(loaded, source, stream, hold=FILLING) as shot:
        todo = shot.book.coverage(shot.stream.name).gaps()
        if todo and (first or last):
            todo &= [(first or todo[0].start, last or todo[-1].end)]
        if not todo:
            click.echo("no gaps: nothing to fill", err=True)
        await fill(shot, todo, "fill")
        return tell(shot, "fill", as_json=as_json)
