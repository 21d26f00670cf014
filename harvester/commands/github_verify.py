"""`harvest github verify`: what GitHub says there is, against what each warehouse has."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from consumers.records.mapping import record_classes
from consumers.velocity import TABLES
from harvester.commands import parts
from harvester.commands.github_stores import Store, open_store, stores_of
from harvester.commands.options import json_option
from harvester.commands.progress import bar
from harvester.commands.words import amount_of
from harvester.coverage import Coverage
from harvester.coverages import open_coverages
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.retry import ONE_SHOT
from harvester.service import run_once
from harvester.settings import CoreSettings
from harvester.sources.github_settings import GithubSettings

if TYPE_CHECKING:
    from harvester.sources.github import Github
    from harvester.sources.github_repository import Repository
    from harvester.sources.github_totals import Totals

SOURCE = "github"
_SHOWN = 10


class Drift(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one warehouse has otherwise than GitHub, of one repository. Numbers are those of pull requests."""

    sink: str
    repository: str
    told: int
    stored: int
    missing: Sequence[int] = ()
    too_many: Sequence[int] = ()
    stale: Sequence[int] = ()
    doubled: int = 0
    review_comments: int = 0
    """Remarks on lines that are missing; negative: too many."""


class Verdict(msgspec.Struct, kw_only=True):
    """All that was compared, and what could not be."""

    repositories: int = 0
    pull_requests: int = 0
    before: int = 0
    """Those that changed last before reading began: they are not stored, and not missing."""
    drift: list[Drift] = []
    not_compared: list[str] = []


@click.command("verify")
@click.option("--deep", is_flag=True, help="Compare every pull request and its time of change, and remarks on lines, too.")
@json_option
def command(*, deep: bool, as_json: bool) -> int:
    """Compare GitHub's totals of each repository with what DuckDB, PostgreSQL and BigQuery have, as far as HARVESTER_SINKS names
    them. Exit 5 when something differs; it is listed.

    A hundred repositories are asked for in one call. Where a total differs, the pull requests that changed since reading
    began are listed, a hundred a call, and those that are missing are named; --deep does so for every repository.
    """
    names = parts.configured_sinks()
    loaded = parts.settings(GithubSettings, *parts.sink_settings(names))
    if not stores_of(names):
        raise ConfigError(f"HARVESTER_SINKS={','.join(names)} names no warehouse that can be asked: duckdb, postgres or bigquery")
    return run_once(_verify(loaded, deep=deep, as_json=as_json))


async def _verify(loaded: Loaded, *, deep: bool, as_json: bool) -> int:
    core, costs = loaded.get(CoreSettings), list[str]()
    async with AsyncExitStack() as stack:
        source = cast("Github", await stack.enter_async_context(parts.open_source(SOURCE, loaded, ONE_SHOT)))
        coverages = await stack.enter_async_context(open_coverages(core.coverage_url, core))
        streams = (await coverages.load(SOURCE)).streams
        stores = [await stack.enter_async_context(open_store(name, loaded)) for name in stores_of(core.sinks)]
        for store in stores:
            await store.prepare([one for one in record_classes() if one.__shape__.table in TABLES])
        chosen = bool(loaded.get(GithubSettings).repos)
        found = await _Comparison(source, streams, stores, deep=deep, chosen=chosen).verdict()
        costs += [f"{store.sink}: {store.cost()}" for store in stores if store.cost()]
    _tell(found, stores, as_json=as_json)
    for cost in costs:
        click.echo(cost, err=True)
    return 5 if found.drift else 0


class _Comparison:
    def __init__(
        self, source: "Github", streams: Mapping[str, Coverage], stores: Sequence[Store], *, deep: bool, chosen: bool
    ) -> None:
        self._source = source
        self._totals: Totals = source.totals
        self._streams = streams
        self._stores = stores
        self._deep = deep
        self._chosen = chosen
        """Whether only some repositories are read."""
        self._pulls: dict[str, Mapping[int, Mapping[int, datetime]]] = {}
        self._found = Verdict()
        self._changed: dict[int, Mapping[int, datetime]] = {}

    async def verdict(self) -> Verdict:
        told = {one.repository.id: one for one in await self._totals.repositories()}
        counts = {store.sink: await self._counts(store, "pull_requests") for store in self._stores}
        remarks_stored: Mapping[str, Mapping[int, tuple[int, int]]] = {}
        if self._deep:  # a question for all repositories: BigQuery has a least price for each
            begun = {key: self._streams.get(f"review_comments/{key}", Coverage()).start for key in told}
            remarks_stored = {store.sink: await self._counts(store, "review_comments", begun) for store in self._stores}
            self._pulls = {store.sink: await self._stored(store, told) for store in self._stores}
        with bar("github verify", len(told), unit="repositories") as shown:
            for done, (key, one) in enumerate(sorted(told.items()), 1):
                shown.update(done, count=done)
                name = f"{one.repository.owner}/{one.repository.name}"
                if one.pull_requests is None:
                    self._found.not_compared.append(f"{name}: GitHub tells no total: its pull requests are off, or refused")
                    continue
                self._found.repositories += 1
                self._found.pull_requests += one.pull_requests
                remarks = await self._remarks(one.repository) if self._deep else None
                for store in self._stores:
                    rows, known = counts[store.sink].get(key, (0, 0))
                    lacking = _lacking(remarks_stored[store.sink].get(key, (0, 0))[0], *remarks) if remarks else 0
                    if rows != one.pull_requests or rows != known or lacking or self._deep:
                        await self._one(store, one.repository, one.pull_requests, rows, rows - known, lacking)
        gone = sorted({key for each in counts.values() for key in each} - told.keys())
        if gone and self._chosen:
            left_out = amount_of(len(gone), "repository", "repositories")
            self._found.not_compared.append(f"{left_out} stored that HARVESTER_GITHUB_REPOS does not name")
        elif gone:
            ids = ", ".join(map(str, gone[:_SHOWN]))
            self._found.not_compared.append(
                f"{amount_of(len(gone), 'repository', 'repositories')} stored that GitHub does not list: {ids}"
            )
        self._found.not_compared.append("issue_comments: GitHub's list holds those of issues, too")
        self._found.not_compared.append("commits and reviews: GitHub tells no totals of a repository")
        if not self._deep:
            self._found.not_compared.append("states and review_comments: --deep compares them")
        return self._found

    async def _one(self, store: Store, repository: "Repository", told: int, rows: int, doubled: int, lacking: int) -> None:
        """Which pull requests make the difference. What changed before reading began, or after it ended, makes none."""
        coverage = self._streams.get(f"pulls/{repository.id}", Coverage())
        since, edge = coverage.start, coverage.live_edge
        changed = self._changed.get(repository.id)
        if changed is None:
            changed = self._changed[repository.id] = await self._totals.changed(repository, since)
            self._found.before += max(0, told - len(changed))
        pulls = self._pulls[store.sink] if self._deep else await self._stored(store, [repository.id])
        stored = pulls.get(repository.id, {})
        due = {number: at for number, at in changed.items() if edge is None or at < edge}
        drift = Drift(
            sink=store.sink,
            repository=f"{repository.owner}/{repository.name}",
            told=told,
            stored=rows,
            missing=sorted(due.keys() - stored.keys()),
            too_many=sorted(number for number, at in stored.items() if number not in changed and (since is None or at >= since)),
            stale=sorted(number for number, at in due.items() if number in stored and stored[number] < at) if self._deep else (),
            doubled=doubled,
            review_comments=lacking,
        )
        if drift.missing or drift.too_many or drift.stale or drift.doubled or drift.review_comments:
            self._found.drift.append(drift)

    async def _remarks(self, repository: "Repository") -> tuple[int, int] | None:
        """How many remarks on lines there are of the time that is read, and how many changed since; None: that is refused."""
        coverage = self._streams.get(f"review_comments/{repository.id}", Coverage())
        there = await self._totals.review_comments(repository, coverage.start)
        fresh = await self._totals.review_comments(repository, coverage.live_edge) if there and coverage.live_edge else 0
        return None if there is None or fresh is None else (there, fresh)

    async def _counts(
        self, store: Store, table: str, begun: Mapping[int, datetime | None] | None = None
    ) -> Mapping[int, tuple[int, int]]:
        """Repository → rows, and how many things they are of; of the repositories in `begun` those that changed since then."""
        integer, where = store.dialect.integer, self._where(begun)
        if begun and any(begun.values()):
            cases = " ".join(f"WHEN {key:d} THEN {int(since.timestamp())}" for key, since in begun.items() if since)
            where += f" AND {store.dialect.seconds.format('updated_at')} >= CASE repository_id {cases} ELSE 0 END"
        rows = await store.ask(
            f"SELECT repository_id, CAST(COUNT(*) AS {integer}) AS amount, CAST(COUNT(DISTINCT subject) AS {integer}) AS things "  # noqa: S608 - names of ours
            f"FROM {store.name(table)} WHERE {where} GROUP BY repository_id"
        )
        return {int(row["repository_id"]): (int(row["amount"]), int(row["things"])) for row in rows}

    async def _stored(self, store: Store, repositories: Iterable[int]) -> Mapping[int, Mapping[int, datetime]]:
        """Repository → number of each pull request → when it changed."""
        rows: list[dict[str, Any]] = await store.ask(
            f"SELECT repository_id, pr_number, {store.dialect.seconds.format('updated_at')} AS changed "  # noqa: S608 - names of ours
            f"FROM {store.name('pull_requests')} WHERE {self._where(repositories)}"
        )
        found: dict[int, dict[int, datetime]] = {}
        for row in rows:
            at = datetime.fromtimestamp(int(row["changed"] or 0), UTC)
            found.setdefault(int(row["repository_id"]), {})[int(row["pr_number"])] = at
        return found

    def _where(self, repositories: Iterable[int] | None) -> str:
        host = self._source.host.replace("'", "''")
        ids = ", ".join(map(str, repositories or ()))
        return f"host = '{host}'" + (f" AND repository_id IN ({ids})" if ids else "")


def _lacking(stored: int, there: int, fresh: int) -> int:
    """How many remarks are missing; negative: too many. What changed since reading ended may be stored, or be new."""
    return max(0, there - fresh - stored) or min(0, there - stored)


def _tell(found: Verdict, stores: Sequence[Store], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
    for drift in found.drift if not as_json else ():
        said = [
            f"{amount_of(len(numbers), what, what)}: {', '.join(f'#{number}' for number in numbers[:_SHOWN])}"
            + (", …" if len(numbers) > _SHOWN else "")
            for numbers, what in ((drift.missing, "missing"), (drift.too_many, "too many"), (drift.stale, "stale"))
            if numbers
        ]
        said += [f"{drift.doubled} doubled"] if drift.doubled else []
        if drift.review_comments:
            more = "missing" if drift.review_comments > 0 else "too many"
            said.append(f"{amount_of(abs(drift.review_comments), 'review comment')} {more}")
        click.echo(f"{drift.sink}: {drift.repository}: GitHub has {drift.told:,}, stored {drift.stored:,}: {'; '.join(said)}")
    if found.before:
        click.echo(f"not stored: {amount_of(found.before, 'pull request')} that changed last before reading began", err=True)
    for line in found.not_compared:
        click.echo(f"not compared: {line}", err=True)
    verdict = f"{amount_of(len(found.drift), 'drift')}" if found.drift else "no drift"
    click.echo(
        f"{amount_of(found.repositories, 'repository', 'repositories')} with {amount_of(found.pull_requests, 'pull request')} "
        f"at GitHub against {', '.join(store.where for store in stores)}: {verdict}",
        err=True,
    )
    if found.drift:
        click.echo(
            "next: harvest github load-gcs, which writes again what is archived; what was never read: harvest github backfill; "
            "what is read: harvest backfill github --stream pulls/NUMBER --start TIME --again",
            err=True,
        )
