"""Everything thrown away and made again from the archive, without GitHub: is it the same, and how fast is it?

An organisation is collected into an archive and into sinks, every table and index is digested, all of it is dropped, the
organisation is switched off, and each sink is filled again. DuckDB's load is timed beside its own reading of the same files.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import duckdb

from consumers.records.mapping import record_classes
from consumers.records.record import Record, index_pattern
from harvester.commands.github_stores import open_store
from tests import services
from tests.github_site import NOON, organisation, site_of
from tests.github_stores import bigquery_of, loaded, postgres_of
from tests.servers.protocols import MissingServerError
from tests.site import Site

SINKS = ("duckdb", "postgres", "bigquery", "elasticsearch")
_SERVER = {"elasticsearch": "elasticsearch8"}
RATIO = 0.3
"""The least: of the speed at which DuckDB reads the same files by itself."""
_ROUNDS = 5
_WHOLE = 2**256
_WRITTEN = {"event_ingested"}
_COMPUTED = {"event_ingested", "event_id", "event_rank", "calculation_timestamp"}
"""What tells when a row was written or computed."""
FILE = "var/harvest.duckdb"


class Plan(NamedTuple):
    """How much there is, and where it goes; sinks whose server is not here are left out, and told."""

    repositories: int = 20
    pulls: int = 2000
    days: int = 60
    sinks: tuple[str, ...] = SINKS
    rounds: int = _ROUNDS


class Digest(NamedTuple):
    """Of all rows of a table, in whatever order they come."""

    rows: int
    sum: int


class Rebuilt(NamedTuple):
    """One sink: what it held before and after, and how long it took."""

    before: Mapping[str, Digest]
    after: Mapping[str, Digest]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(digest.rows for digest in self.after.values())

    @property
    def differs(self) -> list[str]:
        return sorted(table for table in {*self.before, *self.after} if self.before.get(table) != self.after.get(table))


class Speed(NamedTuple):
    """Loading the archive into DuckDB, ours and its own, in seconds each; and ours in processor time."""

    events: int
    ours: list[float]
    its_own: list[float]
    cpu: list[float]

    @property
    def ratio(self) -> float:
        return median(self.its_own) / median(self.ours)

    @property
    def micros(self) -> float:
        """Processor time of an event, in microseconds."""
        return median(self.cpu) / self.events * 1e6


class Report(NamedTuple):
    """All of it."""

    collected: float
    sinks: Mapping[str, Rebuilt]
    left_out: Mapping[str, str]
    speed: Speed | None

    def wrong(self, least: float = RATIO) -> list[str]:
        """What was not kept."""
        found = [f"{sink}: {table} is another one than before" for sink, one in self.sinks.items() for table in one.differs]
        found += [f"{sink}: nothing was there" for sink, one in self.sinks.items() if not one.rows]
        if self.speed and self.speed.ratio < least:
            found.append(f"DuckDB was filled at {self.speed.ratio:.2f} of its own speed, less than {least}")
        return found


def prove(plan: Plan, folder: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """AssertionError where a command fails."""
    with ExitStack() as stack:
        given, servers, left_out = _servers(plan, stack)
        names = tuple(name for name in plan.sinks if name not in left_out)
        with organisation(
            repositories=plan.repositories,
            history=timedelta(days=plan.days),
            pulls_per_day=plan.pulls / plan.days,
            huge_every=150,
            pace=1e6,
            limits="off",
            slow=0.0,
        ) as running:
            site = site_of(folder, running, HARVESTER_SINKS=",".join(names), HARVESTER_GITHUB_HOURLY_LIMIT="1000000", **given)
            _templates(site, names)
            begun = time.perf_counter()
            _done(
                site,
                "github",
                "collect",
                "--since",
                f"{NOON - timedelta(days=plan.days + 1):%Y-%m-%d}",
                "--until",
                f"{NOON:%FT%TZ}",
            )
            collected = time.perf_counter() - begun
            say(f"collected in {collected:.1f} s")
        # GitHub is off from here on.
        before = {name: digests(name, site, servers) for name in names}
        (folder / FILE).unlink(missing_ok=True)
        for server in servers.values():
            server.empty()
        _templates(site, names)
        found = {}
        for name in names:
            seconds = _timed(lambda name=name: _done(site, "github", "load-gcs", HARVESTER_SINKS=name))  # type: ignore[misc]
            if name == "elasticsearch":
                _metrics(site, names)
            found[name] = Rebuilt(before[name], digests(name, site, servers), seconds)
            say(f"{name}: {found[name].rows:,} rows in {seconds:.1f} s, {found[name].rows / seconds:,.0f} a second")
        speed = speed_of(site, plan.rounds) if "duckdb" in names and plan.rounds else None
    return Report(collected, found, left_out, speed)


def _servers(plan: Plan, stack: ExitStack) -> tuple[dict[str, str], dict[str, Any], dict[str, str]]:
    """Their settings, the emptied servers, and why one is not here."""
    given: dict[str, str] = {}
    servers: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in plan.sinks:
        if name == "duckdb":
            continue
        try:
            server: Any = stack.enter_context(services.find(_SERVER.get(name, name)))
        except MissingServerError as error:
            left_out[name] = str(error)
            continue
        server.empty()
        servers[name] = server
        if name == "elasticsearch":
            given["HARVESTER_ELASTICSEARCH_URL"] = server.url
        else:
            given |= postgres_of(server) if name == "postgres" else bigquery_of(server)
    return given, servers, left_out


def _templates(site: Site, names: Iterable[str]) -> None:
    if "elasticsearch" in names:
        _done(site, "setup", "load-index-templates")


def _metrics(site: Site, names: Iterable[str]) -> None:
    """An index gets the metrics of a warehouse beside it."""
    if "duckdb" in names:
        _done(site, "github", "metrics", "--since", "2000-01-01", HARVESTER_SINKS="duckdb,elasticsearch")


def _done(site: Site, *args: str, **more: str) -> None:
    done = site.harvest(*args, **more)
    assert done.code in (0, 5), f"harvest {' '.join(args)}: exit {done.code}: {done.err}"


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def records() -> Iterator[type[Record]]:
    """GitHub's, and those that are computed from them."""
    for record in record_classes():
        if record.__module__.startswith(("consumers.records.github", "consumers.records.velocity")):
            yield record


def digests(sink: str, site: Site, servers: Mapping[str, Any]) -> dict[str, Digest]:
    """Table → what it holds, without the times of writing."""
    found = {}
    for record in records():
        apart = _COMPUTED if record.__module__.endswith("velocity") else _WRITTEN
        table = record.__shape__.table
        rows = indexed(servers[sink], record) if sink == "elasticsearch" else asyncio.run(_rows(sink, site, table))
        found[table] = digest([{key: value for key, value in row.items() if key not in apart} for row in rows])
    return found


def digest(rows: Iterable[Mapping[str, Any]]) -> Digest:
    """Equal for equal rows in any order; a row that is there twice counts twice."""
    amount = total = 0
    for row in rows:
        body = json.dumps(row, sort_keys=True, default=str).encode()
        amount, total = amount + 1, (total + int.from_bytes(sha256(body).digest(), "big")) % _WHOLE
    return Digest(amount, total)


async def _rows(sink: str, site: Site, table: str) -> list[dict[str, Any]]:
    environment = {"HARVESTER_DUCKDB_PATH": str(site.folder / FILE), **site.settings}
    async with open_store(sink, loaded(environment, site.folder)) as store:
        return await store.ask(f"SELECT * FROM {store.name(table)}")


def indexed(server: Any, record: type[Record]) -> Iterator[dict[str, Any]]:
    """All documents of a record, flat as a table has them."""
    pattern = index_pattern(record)
    server.call("POST", f"/{pattern}/_refresh")
    page = server.call("POST", f"/{pattern}/_search?scroll=1m&size=5000&allow_no_indices=true")
    while page["hits"]["hits"]:
        for hit in page["hits"]["hits"]:
            header = {f"event_{name}": value for name, value in hit["_source"].pop("event").items()}
            yield {"_id": hit["_id"], "_index": hit["_index"], **hit["_source"], **header}
        page = server.call("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


def speed_of(site: Site, rounds: int) -> Speed:
    """In turns, so that what slows the machine down meets both."""
    folder = site.folder / "var/archive"
    ours, its_own, cpu, events = list[float](), list[float](), list[float](), 0
    for nth in range(rounds):
        (site.folder / FILE).unlink(missing_ok=True)
        spent = time.process_time()
        begun = time.perf_counter()
        done = site.harvest("replay", "--into", "duckdb", "--source", "github", "--json")
        ours.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - spent)
        assert done.code == 0, done.err
        events = done.json["sinks"]["duckdb"]["consumed"]
        its_own.append(_timed(lambda nth=nth: _read(folder, site.folder / f"own{nth}.duckdb")))  # type: ignore[misc]
    return Speed(events, ours, its_own, cpu)


def _read(folder: Path, file: Path) -> None:
    """A table a data type, as somebody would make them who has DuckDB alone."""
    file.unlink(missing_ok=True)
    kinds = sorted({path.parent.parent.name for path in folder.glob("*/*/*/*/*.ndjson.zst")})
    with closing(duckdb.connect(file)) as connection:
        for kind in kinds:
            files = f"{folder}/*/*/{kind}/*/*.ndjson.zst"
            connection.execute(
                f"CREATE TABLE {kind} AS SELECT * FROM read_json('{files}', format = 'newline_delimited', union_by_name = true)"
            )


def text(report: Report, plan: Plan) -> str:
    """All figures."""
    lines = [f"{plan.repositories} repositories, {plan.days} days, collected in {report.collected:.1f} s"]
    for sink, one in report.sinks.items():
        same = "every digest is the same" if not one.differs else f"other digests: {', '.join(one.differs)}"
        lines.append(
            f"  {sink:<14} {one.rows:>8,} rows again in {one.seconds:.1f} s, {one.rows / one.seconds:,.0f} a second: {same}"
        )
    lines += [f"  {sink:<14} left out: {why}" for sink, why in report.left_out.items()]
    if speed := report.speed:
        lines.append(
            f"DuckDB, {speed.events:,} events: ours {median(speed.ours):.2f} s, its own read_json {median(speed.its_own):.2f} s, "
            f"median of {len(speed.ours)}: {speed.ratio:.2f} of its speed; {speed.micros:.0f} µs of processor time an event"
        )
    return "\n".join(lines)
