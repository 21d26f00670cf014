"""B59, B60: the shipped queries give the same right answers in every store, and remove nothing but doubles."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import duckdb
import msgspec
import pytest
import sqlglot

from consumers.protocols import Sink
from consumers.sinks import open_sink
from consumers.sinks.bigquery import open_bigquery
from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.sinks.postgres import open_postgres
from consumers.sinks.postgres_settings import PostgresSettings
from harvester.event import Event
from tests.github_records import (
    ALL_GITHUB,
    ANN,
    commit_event,
    commit_node,
    pair_event,
    pull_request_event,
    pull_request_node,
    review_event,
    review_node,
)
from tests.servers.bigquery import DATASET, PROJECT, BigQueryServer
from tests.servers.fixtures import Servers
from tests.services import Server

FOLDER = Path(__file__).parents[2] / "docs/queries"
STORES = ("duckdb", "postgres", "bigquery")
BOB = {"__typename": "User", "login": "bob", "databaseId": 12}
BOT = {"__typename": "Bot", "login": "renovate", "databaseId": 13}
NOW = datetime.now(UTC).replace(microsecond=0)


class Store(NamedTuple):
    open: Callable[[], AbstractAsyncContextManager[Sink]]
    ask: Callable[[str], Any]
    """The rows of one statement, in a coroutine."""
    table: str
    """What stands before a table's name."""


def duckdb_store(path: Path) -> Store:
    file = path / "events.duckdb"

    async def ask(statement: str) -> Sequence[Any]:
        with closing(duckdb.connect(file)) as connection:
            return connection.execute(statement).fetchall()

    return Store(lambda: open_sink(f"duckdb:///{file}"), ask, "")


def postgres_store(server: Server) -> Store:
    server.empty()

    async def ask(statement: str) -> Sequence[Any]:
        connection = await asyncpg.connect(server.url, user="postgres")
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return Store(lambda: open_postgres(PostgresSettings(url=server.url, user="postgres")), ask, "")


def bigquery_store(server: BigQueryServer) -> Store:
    server.empty()
    settings = BigQuerySettings(project_id=PROJECT, dataset_id=DATASET, url=server.url)

    async def ask(statement: str) -> Sequence[Any]:
        return server.rows(statement)

    return Store(lambda: open_bigquery(settings), ask, f"{DATASET}.")


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def store(name: str, servers: Servers, tmp_path: Path) -> Store:
    if name == "duckdb":
        return duckdb_store(tmp_path)
    server = servers.get(name)
    return bigquery_store(server) if isinstance(server, BigQueryServer) else postgres_store(server)


def ago(days: float, hours: float = 0) -> str:
    return (NOW - timedelta(days=days) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def elsewhere(event: Event) -> Event:
    """The same in another repository."""
    data = bytes(event.data).replace(b'"id":123,"name":"widgets"', b'"id":456,"name":"gadgets"')
    return msgspec.structs.replace(event, data=msgspec.Raw(data), subject=event.subject.replace("123/", "456/"))


def on_another_host(event: Event) -> Event:
    """The same on a server of one's own, whose numbers are its own, too."""
    data = bytes(event.data).replace(b'"host":"github.com"', b'"host":"github.example.org"')
    assert data != bytes(event.data)
    return msgspec.structs.replace(event, source="github/own", data=msgspec.Raw(data))


def pull(number: int, author: Any, days: float, hours: float | None, size: str, lines: tuple[int, int], reviews: int) -> Event:
    """Opened some days ago; merged so many hours later, or open."""
    node = pull_request_node(number, author=author, createdAt=ago(days), labels=[{"name": size}])
    node |= {"additions": lines[0], "deletions": lines[1], "reviews": {"totalCount": reviews}}
    end = None if hours is None else ago(days, hours)
    return pull_request_event(node | {"merged": end is not None, "mergedAt": end, "closedAt": end})


def commit(sha: str, author: str, days: float, number: int) -> Event:
    who = {"name": author.title(), "email": f"{author}@example.org", "user": {"login": author, "databaseId": 1}}
    return commit_event(commit_node(sha * 40, author=who, committedDate=ago(days)), number=number)


def review(number: int, who: Any, days: float, pr_number: int) -> Event:
    return review_event(review_node(number, author=who, submittedAt=ago(days)), number=pr_number)


def events() -> Iterator[Event]:
    yield pull(1, ANN, 5, 10, "size/M", (30, 4), 1)
    yield elsewhere(pull(1, ANN, 3, None, "size/S", (10, 0), 0))
    yield pull(3, BOB, 10, 20.5, "size/M", (5, 1), 3)
    yield pull(4, BOT, 2, 1, "size/S", (1, 1), 0)
    yield pull(5, ANN, 40, 2, "size/XL", (900, 0), 9)
    yield from (review(1, ANN, 4, 1), review(2, ANN, 3, 1), elsewhere(review(3, ANN, 2, 1)))
    yield from (review(4, BOB, 80, 1), review(5, BOB, 100, 3), review(6, BOT, 1, 1))
    yield from (on_another_host(review(7, BOB, 5, 1)), on_another_host(commit("f", "bob", 5, 3)))
    yield on_another_host(pair_event("f" * 40, number=3))
    yield from (commit("a", "ann", 6, 1), commit("b", "ann", 5, 1), elsewhere(commit("c", "ann", 4, 1)))
    yield from (commit("d", "bob", 11, 3), commit("e", "bob", 61, 3))
    yield from (pair_event("a" * 40, number=1), pair_event("a" * 40, number=3), pair_event("b" * 40, number=1))
    yield from (elsewhere(pair_event("c" * 40, number=1)), pair_event("d" * 40, number=3), pair_event("e" * 40, number=3))


ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "velocity_by_author": [("ann", 2, 1, 40, 4, 0.5), ("bob", 1, 1, 5, 1, 3.0)],
    "size_distribution": [("size/M", 2, 15.25), ("size/S", 1, 1.0), ("size/XL", 1, 2.0)],
    "review_activity": [("ann", 3, 2, 2), ("bob", 2, 2, 2)],
    "commit_attribution": [("ann", 3, 2, 2), ("bob", 2, 2, 2)],
    "commit_attribution_every_pair": [("ann", 3, 3, 2), ("bob", 2, 2, 2)],
}


def statements(store: str, name: str) -> list[str]:
    lines = (FOLDER / store / f"{name}.sql").read_text().splitlines()
    return [one for one in "\n".join(line for line in lines if not line.startswith("--")).split(";") if one.strip()]


def plain(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Whatever a store says a number is."""
    return [(row[0], *map(float, row[1:])) for row in rows]


async def test_b59_every_store_gives_the_same_right_answers(name: str, store: Store) -> None:
    async with store.open() as sink:
        assert list(await sink.write(list(events()))) == []
    for query, expected in ANSWERS.items():
        (statement,) = statements(name, query)
        assert plain(await store.ask(statement)) == plain(expected), query


async def test_b60_doubles_are_removed_but_the_newest_and_nothing_from_clean_tables(name: str, store: Store) -> None:
    async with store.open() as sink:
        assert list(await sink.write(ALL_GITHUB)) == []
    tables = sorted(("commits", "issue_comments", "pr_commits", "pull_requests", "repositories", "review_comments", "reviews"))
    count = " UNION ALL ".join(f"SELECT '{table}', COUNT(*) FROM {store.table}{table}" for table in tables)
    clean = sorted(plain(await store.ask(count)))
    assert clean == [(table, 1.0) for table in tables]
    await cleaned(name, store)
    assert sorted(plain(await store.ask(count))) == clean
    if name == "postgres":
        await store.ask("ALTER TABLE pull_requests DROP CONSTRAINT pull_requests_pkey")
    later = "ingestion_timestamp + INTERVAL {} DAY AS ingestion_timestamp, 'later' AS title"
    if name == "postgres":
        await store.ask("CREATE TABLE copy AS SELECT * FROM pull_requests")
        await store.ask("UPDATE copy SET title = 'later', ingestion_timestamp = ingestion_timestamp + INTERVAL '1 day'")
        await store.ask("INSERT INTO pull_requests SELECT * FROM copy")
    else:
        replaced = f"SELECT * REPLACE ({later.format(1)}) FROM {store.table}pull_requests"
        await store.ask(f"INSERT INTO {store.table}pull_requests {replaced}")
    assert sorted(plain(await store.ask(count))) != clean
    await cleaned(name, store)
    assert sorted(plain(await store.ask(count))) == clean
    assert [tuple(row) for row in await store.ask(f"SELECT title FROM {store.table}pull_requests")] == [("later",)]


async def cleaned(name: str, store: Store) -> None:
    for statement in statements(name, "deduplicate"):
        await store.ask(statement)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.sql")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_b59_every_file_is_of_its_stores_language_and_there_in_each(path: Path) -> None:
    assert all(sqlglot.parse(path.read_text(), dialect=path.parent.name))
    assert {one.parent.name for one in FOLDER.glob(f"*/{path.name}")} == set(STORES)
