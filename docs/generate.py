"""Writes what follows from the code: pages, example.env, templates, dashboards. A test fails when they are stale."""  # noqa: INP001

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from consumers.records.mapping import Field, dictionary, record_classes
from consumers.records.record import Record, index_pattern
from consumers.records.template import template
from consumers.sinks.rows import RANK
from dashboards.boards import boards
from dashboards.builder.objects import ndjson
from dashboards.builder.page import page as dashboards_page
from harvester import measures
from harvester.commands.export import EXPORTS, Export
from harvester.dashboard import dashboard
from harvester.examples import about, example_env, title
from harvester.options import Option, options_of
from harvester.settings import families
from harvester.visitors import PER, READS

ROOT = Path(__file__).parent.parent
_MADE = "<!-- Made by docs/generate.py from the code: change it there, then run `make docs`. -->"
_CONFIGURATION = f"""{_MADE}
# Settings

Each setting is a variable. Its value is taken from the first of these places that gives one; an empty value counts as none:

1. the command line, where a command has an option for it
2. the environment of the process
3. `.env` in the working directory (`example.env` lists everything; values are taken as written, `$` is not expanded)
4. a file of the variable's name in `/run/secrets`, for secrets
5. `harvester.toml` in the working directory, or the file that `HARVESTER_CONFIG` names
6. the default

`harvest config check` tells everything that is wrong at once, `harvest config show --origin` what holds and where it comes from.
An unknown name that begins with `HARVESTER_`, or an unknown key in `harvester.toml`, is a fault.

**In `harvester.toml`** tables are joined to their keys by `_`: `[opencast] url` and a bare `opencast_url` are both
`HARVESTER_OPENCAST_URL`. A secret does not stand there, only the path of its file.

**Every variable also works as `<NAME>_FILE`**, the path of a file that holds the value; a newline at its end does not count. The
file of a secret may not be readable by everyone, unless it is in `/run/secrets` or on a read-only mount.

**Old names** still work; one line on stderr tells the new one. Old and new with different values are a fault.
"""
_METRICS = f"""{_MADE}
# Metrics

`HARVESTER_LISTEN=127.0.0.1:9464` makes `harvest run` and `harvest consume` serve them at `/metrics` in Prometheus' text form,
or as OpenMetrics for who accepts that. Every label set exists from the start, so that a rate exists before the first event. An
empty label is none: producers have no `sink`, consumers no `source`. Times are seconds, points in time seconds since 1970.
`process_*` are Prometheus' usual ones.

Beside them are `/livez` (200 while the event loop turns), `/startupz` (200 once the stores are open), `/readyz` (JSON, a state
for each source, stream and sink; 503 only when this process does not work) and `/status` (what `harvest status --json` says).
They are read-only, and answer who asks by address, by `localhost`, by this host's name or by one of `HARVESTER_LISTEN_NAMES`.
A port alone is bound to loopback. Who binds further shows to that network the names of sources and streams, amounts, times, and
the text of the newest errors; never an event, never a secret. With `HARVESTER_LISTEN_TOKEN` set, `/metrics` and `/status` answer
only to `Authorization: Bearer TOKEN` (401 else; Prometheus: `authorization: {{credentials_file: …}}`), and the probes tell others
their status alone. An address that reads more than {READS} times in {PER:.0f} s gets 429 for a while; probes never do.
`/webhooks/zoom` takes what Zoom pushes, and tells nothing ([how to set it up](deployment.md#webhooks-of-zoom)).

Alerts stand in `docker/prometheus/rules.yml`, each with its section of the [runbook](runbook.md); a dashboard in
`docker/grafana/dashboards/`. There is no metric of when a login's token expires, since no source has one that does; and
`harvester_ratelimit_*` appear when a vendor tells its limit (`X-RateLimit-…` or `RateLimit-…` in its answers).

| metric | type | labels | meaning |
|---|---|---|---|
"""
_RECORDS = f"""{_MADE}
# Records

A record is what a reader gets of an event: a document in an index of Elasticsearch, the same on stdout, and a row of a table. One
row here is one field. Names with dots are nested in the document; a table joins them with `_`. Times are UTC. A key is unique
within its source, `event.module`; a record that comes again in a newer state overwrites the older.

*null?* says what stands there while it is unknown: `no` means never unknown, `yes` a null, `left out` no such field in the
document and a null in the table. A name with `*` is an open family: any number of fields in the document, one object of JSON in
the table, which is empty when there are none. An `ip` that is no address and a `keyword` of more than 1,024 characters stay in
the document as they are, but a search does not find them. Tables of DuckDB have one column more, `{RANK.name}` ({RANK.text}).
"""
_EXPORTS = f"""{_MADE}
# Exports

`harvest export viewing_options`, `attendance` and `rollcall` write one table each as CSV, to stdout or to `--output FILE`, from
Elasticsearch or from the file of DuckDB (`--from`; both give the same). Nothing is changed there. While the file of DuckDB is
read, the sink that fills it waits.

| option | takes |
|---|---|
| `-s/--start`, `-e/--end` | actions and stays from this time on, and before that one; without an offset in `HARVESTER_TIMEZONE` |
| `--series` | lectures of the series of this id; meetings of this number |
| `--course` | lectures of the series of this very title; meetings of this very topic |
| `--mpid`, `--meeting` | this recording, this meeting alone |
| `--from` | `elasticsearch` or `duckdb`; without it the first of both in `HARVESTER_SINKS` |

A lecture is called as its newest action that knows its recording has it, a meeting as its newest state. What is not known is
empty. Times are UTC. Lines end with CR LF, fields that need it are in double quotes (RFC 4180), and the text is UTF-8 without a
mark at its beginning: in Excel open it by *Data, From Text/CSV*. A text that begins with `= + - @`, a tab or a line break has a
`'` before it, for a spreadsheet would run it; control characters are written as `\\x1b`. Nothing found is the header alone and
exit code 0. A file of `--output` appears when it is whole.

**Seconds and shares.** The player leaves a footprint for each part that was played without a break. `seconds_watched` adds them
up, repeats too; `share` counts each second of the recording once. A player that leaves none has heartbeats instead: their number
times their distance is the same, roughly. In a meeting it is the time between entering and leaving, two devices at a time counted
once; a stay whose end is not told has no length. Who only waited to be let in was not there.

**Who is who.** Viewers are told apart by `huid`. Who is not logged in has none, or is `anonymous`, which is no person but many:
each of their visits counts as one viewer. Participants are told apart by their account, else their mail address, else the name
they chose: guests of one name are one. What privacy has hidden before it was stored is a hash here, too, but `anonymous` stays;
what an older version has hashed is one person until it is read again (`harvest backfill`).
"""


def configuration() -> str:
    """docs/configuration.md."""
    return _CONFIGURATION + "".join(_family(model) for model in families())


def metrics() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{metric.name}` | {metric.type} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |\n"
        for metric in sorted(measures.DEFINITIONS)
    ]
    return _METRICS + "".join(rows)


def records() -> str:
    """docs/records.md."""
    return _RECORDS + "".join(_record(record) for record in record_classes())


def exports() -> str:
    """docs/exports.md."""
    return _EXPORTS + "".join(map(_export, EXPORTS))


def pages() -> Mapping[Path, str]:
    """Every generated file with its content."""
    example = example_env(families())
    return {
        ROOT / "docs/configuration.md": configuration(),
        ROOT / "docs/metrics.md": metrics(),
        ROOT / "docs/records.md": records(),
        ROOT / "docs/exports.md": exports(),
        ROOT / "docker/grafana/dashboards/harvester.json": dashboard(),
        ROOT / "example.env": example,
        ROOT / ".env.example": example,
        **{ROOT / f"index_templates/{record.__shape__.table}.json": index_template(record) for record in record_classes()},
        **{ROOT / f"dashboards/{board.name}.ndjson": ndjson(board) for board in boards()},
        ROOT / "docs/dashboards.md": dashboards_page(boards()),
        **{ROOT / f"docs/queries/{store}/deduplicate.sql": deduplication(store) for store in _DOUBLES},
    }


_DOUBLES = {
    "bigquery": """CREATE OR REPLACE TABLE github_stats.{table}
PARTITION BY TIMESTAMP_TRUNC({partition}, MONTH)
CLUSTER BY {cluster}
AS SELECT * EXCEPT (nth) FROM (
  SELECT *, {nth} AS nth FROM github_stats.{table}
) WHERE nth = 1;
""",
    "duckdb": """DELETE FROM {table} WHERE rowid IN (
  SELECT rowid FROM (SELECT rowid, {nth} AS nth FROM {table}) WHERE nth > 1
);
""",
    "postgres": """DELETE FROM {table} WHERE ctid IN (
  SELECT ctid FROM (SELECT ctid, {nth} AS nth FROM {table}) AS counted WHERE nth > 1
);
""",
}
"""By store: the statement that keeps the newest row of each key."""
_NTH = "ROW_NUMBER() OVER (PARTITION BY event_module, {key} ORDER BY ingestion_timestamp DESC, event_rank DESC)"


def deduplication(store: str) -> str:
    """A statement a table of GitHub's. No sink of ours doubles a row: this is for rows that others put there."""
    shapes = [one.__shape__ for one in record_classes() if one.__module__.startswith("consumers.records.github")]
    tables = (
        _DOUBLES[store].format(
            table=shape.table, partition=shape.partition, cluster=", ".join(shape.cluster), nth=_NTH.format(key=shape.key)
        )
        for shape in sorted(shapes, key=lambda shape: shape.table)
    )
    return (
        "-- Made by docs/generate.py. Of each key the row stays that was read last; without doubles nothing is removed.\n"
        "-- Stop the sink first. A table is made with its first row: leave out the statements of those that are not there.\n\n"
        + "\n".join(tables)
    )


def index_template(record: type[Record]) -> str:
    """The record's file in index_templates."""
    return json.dumps(template(record), indent=2) + "\n"


def _family(model: type[BaseModel]) -> str:
    rows = "".join(_row(option) for option in options_of(model))
    return (
        f"\n## {title(model)}\n\n{about(model)}\n\n"
        f"| variable | in harvester.toml | default | meaning | old name |\n|---|---|---|---|---|\n{rows}"
    )


def _row(option: Option) -> str:
    default = "**needed**" if option.info.is_required() else f"`{option.default}`" if option.default else ""
    toml = f"`{option.toml}{'_file' if option.secret else ''}`"
    old = ", ".join(f"`{name}`" for name in option.old)
    return f"| `{option.name}` | {toml} | {default} | {option.info.description} | {old} |\n"


def _export(export: Export) -> str:
    rows = "".join(f"| `{column.name}` | {column.text} |\n" for column in export.columns)
    head = f"\n## {export.name}\n\n{export.about}\n\n```sh\n{export.example}\n```\n\nRows come {export.order}\n\n"
    return f"{head}| column | what it holds |\n|---|---|\n{rows}"


def _record(record: type[Record]) -> str:
    shape = record.__shape__
    rows = "".join(_field(field) for field in dictionary(record))
    return (
        f"\n## {record.__name__}\n\n{about(record)}\n\n"
        f"Index `{index_pattern(record)}` · table `{shape.table}` · key `{shape.key}`\n\n"
        "| in the document | in the table | type in the index | type in the table | null? | meaning |\n"
        f"|---|---|---|---|---|---|\n{rows}"
    )


def _field(field: Field) -> str:
    return (
        f"| `{field.document}` | `{field.column}` | {field.index_type} | {field.table_type} | {field.null} "
        f"| {field.text.replace('|', chr(92) + '|')} |\n"
    )


def main() -> None:
    """Write all pages; with --check only tell which are stale, and fail."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if "--check" not in sys.argv:
            path.write_text(pages()[path], encoding="utf-8")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
