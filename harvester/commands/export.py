"""`harvest export`: what teachers and analysts ask of the data, as CSV."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.commands import export_attendance, export_rollcall, export_viewing, parts
from harvester.commands.export_csv import Column, Sheet, open_sheet
from harvester.commands.export_lectures import Lecture, Selection, lectures
from harvester.commands.options import setting
from harvester.commands.progress import Bar, bar
from harvester.commands.times import ordered, parse_time
from harvester.commands.words import amount_of
from harvester.loading import Loaded
from harvester.service import run_once
from harvester.settings import CoreSettings, inspect
from harvester.url import database_path, parse

if TYPE_CHECKING:
    from harvester.commands.export_query import Reader

STORES = ("elasticsearch", "duckdb")
Rows = AsyncIterator[tuple[int, Sequence[Any]]]


class Export(NamedTuple):
    """What one of them is: what it says of itself, and how its rows are made."""

    name: str
    short: str
    about: str
    columns: Sequence[Column]
    order: str
    rows: "Callable[[Reader, Selection, Sequence[Lecture]], Rows]"
    example: str
    meetings: bool = True


EXPORTS = (
    Export(
        "viewing-options",
        "How each recording was watched: live, device, browser.",
        export_viewing.ABOUT,
        export_viewing.COLUMNS,
        export_viewing.ORDER,
        export_viewing.rows,
        "harvest export viewing_options --course 'Algebra I' > options.csv",
        meetings=False,
    ),
    Export(
        "attendance",
        "Who was in which lecture or meeting, and for how long.",
        export_attendance.ABOUT,
        export_attendance.COLUMNS,
        export_attendance.ORDER,
        export_attendance.rows,
        "harvest export attendance --start 20261101000000 --output attendance.csv",
    ),
    Export(
        "rollcall",
        "Who of a course came to which lecture, and who did not.",
        export_rollcall.ABOUT,
        export_rollcall.COLUMNS,
        export_rollcall.ORDER,
        export_rollcall.rows,
        "harvest export rollcall --series 20150333383 --from duckdb > rollcall.csv",
    ),
)


@click.group("export")
def command() -> None:
    """Tables for people, as CSV: how recordings were watched, who attended, the roll call of a course.

    Read from the index or from the file of DuckDB, which are not changed. The table is UTF-8 (in Excel: Data, From Text/CSV). A
    text that a spreadsheet would run as a formula has a ' before it. Nothing found: the header alone, and exit code 0.

    \b
    harvest export viewing_options --course 'Algebra I' > options.csv
    harvest export attendance --start 20261101000000 --output attendance.csv
    harvest export rollcall --series 20150333383 --from duckdb > rollcall.csv
    """


class _Command(click.Command):
    """Has a section more in its help: the columns."""

    export: Export

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Columns"):
            formatter.write_dl([(column.name, column.text) for column in self.export.columns])
        formatter.write_paragraph()
        formatter.write_text(f"Order of the rows: {self.export.order}")


def _command(export: Export) -> click.Command:
    def run(store: str | None, output: str, start: str | None, end: str | None, **named: str | None) -> int:
        folder = Path(output).parent
        if output != "-" and not folder.is_dir():
            raise click.BadParameter(f"there is no folder {folder}: make it, or name another", param_hint="--output")
        loaded, chosen, sink = _settings(store)
        zone = loaded.get(CoreSettings).timezone
        first = parse_time(start, zone, "--start") if start else None
        last = parse_time(end, zone, "--end") if end else None
        if first and last:
            ordered(first, last, "--start/--end")
        wanted = Selection(first, last, **named, zone=zone)
        return run_once(_export(export, wanted, lambda: _reader(chosen, sink, loaded), output))

    made = _Command(export.name, callback=run, params=_options(export), short_help=export.short)
    made.help = f"{export.about}\n\n\b\n{export.example}"
    made.export = export
    return made


def _options(export: Export) -> list[click.Parameter]:
    @click.option("--from", "store", type=click.Choice(STORES), help="Where to read.  [default: the first in HARVESTER_SINKS]")
    @setting(ElasticsearchSettings, "url", "--es-host")
    @click.option("-s", "--start", metavar="TIME", help="Actions and stays from this time on.  [default: the first]")
    @click.option("-e", "--end", metavar="TIME", help="Actions and stays before this time.  [default: the last]")
    @click.option("--series", metavar="ID", help="Lectures of this series; a meeting's number.  [default: all]")
    @click.option("--course", metavar="TITLE", help="Lectures of the series of this title; a meeting's topic.  [default: all]")
    @click.option("--mpid", metavar="ID", help="This recording alone.  [default: all]")
    @click.option("--meeting", metavar="UUID", help="This meeting alone.  [default: all]")
    @click.option("-o", "--output", metavar="FILE", default="-", show_default=True, help="File to write; - is stdout.")
    def options() -> None: ...

    params: list[click.Parameter] = list(reversed(options.__click_params__))  # type: ignore[attr-defined]
    return [param for param in params if export.meetings or param.name != "meeting"]


def _settings(store: str | None) -> tuple[Loaded, str, str]:
    """The settings, the store that is read, and the sink that fills it."""
    given = click.get_current_context().find_root().obj or {}
    core = inspect(CoreSettings, ElasticsearchSettings, overrides=given).sound(CoreSettings)
    sinks = [sink for sink in core.sinks if parts.group_of(sink) in STORES]
    chosen = store or next(map(parts.group_of, sinks), "duckdb")
    if chosen == "elasticsearch":
        parts.default_node()
    loaded = parts.settings(ElasticsearchSettings)
    return loaded, chosen, next((sink for sink in sinks if parts.group_of(sink) == chosen), chosen)


def _reader(store: str, sink: str, loaded: Loaded) -> "AbstractAsyncContextManager[Reader]":
    if store == "elasticsearch":
        from harvester.commands.export_index import open_index

        return open_index(loaded.get(ElasticsearchSettings))
    from harvester.commands.export_tables import open_tables

    return open_tables(loaded.get(CoreSettings).duckdb_path if sink == "duckdb" else database_path(parse(sink)))


async def _export(
    export: Export, wanted: Selection, opening: "Callable[[], AbstractAsyncContextManager[Reader]]", output: str
) -> int:
    began = time.monotonic()
    async with opening() as reader:
        found = await lectures(reader, wanted, recordings_only=not export.meetings)
        with open_sheet(output) as sheet, bar("export", len(found), unit="rows", printing=output == "-") as shown:
            sheet.head(export.columns)
            await _written(export.rows(reader, wanted, found), sheet, shown)
    about = amount_of(len(found), "lecture")
    click.echo(
        f"{export.name}: {amount_of(sheet.rows, 'row')} about {about}, from {reader.where}, {time.monotonic() - began:.1f} s",
        err=True,
    )
    if not found:
        click.echo("nothing fits: is the store filled (harvest status), and do the options name what is there?", err=True)
    return 0


async def _written(rows: Rows, sheet: Sheet, shown: Bar) -> None:
    async with aclosing(rows) as each:  # type: ignore[type-var]
        async for done, row in each:
            sheet.add(row)
            shown.update(done, count=sheet.rows)


for _each in EXPORTS:
    command.add_command(_command(_each))
