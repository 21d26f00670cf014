"""Where the proofs write to: a DuckDB file, or a PostgreSQL server of its own; and what stands there."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import duckdb

from consumers.protocols import Sink
from consumers.sinks import open_sink
from consumers.sinks.postgres import open_postgres
from consumers.sinks.postgres_settings import PostgresSettings
from tests import services

NAMES = ("duckdb", "postgres")
FILE = Path("var", "harvest.duckdb")


class Store(NamedTuple):
    """A sink, and a way to ask what it holds."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[Sink]]
    ask: Callable[[str], Awaitable[Sequence[Any]]]
    """The rows of one statement."""


@asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[Store]:
    """MissingServerError: there is no PostgreSQL here."""
    if name == "duckdb":
        yield in_file(folder / FILE)
        return
    with services.own("postgres") as server:
        settings = PostgresSettings.model_validate({"url": server.url, "user": "postgres"})

        async def ask(statement: str) -> Sequence[Any]:
            connection = await asyncpg.connect(server.url, user="postgres")
            try:
                rows: Sequence[Any] = await connection.fetch(statement)
            finally:
                await connection.close()
            return rows

        yield Store("postgres", lambda: open_postgres(settings), ask)


def in_file(file: Path) -> Store:
    async def ask(statement: str) -> Sequence[Any]:
        with closing(duckdb.connect(str(file))) as connection:
            return connection.execute(statement).fetchall()

    return Store("duckdb", lambda: open_sink(f"duckdb:///{file}"), ask)


async def rows(store: Store, table: str, columns: Iterable[str]) -> list[Mapping[str, Any]]:
    """All rows of a table, its times with their zone; what is there twice twice."""
    names = ["subject", *columns]
    told = await store.ask(f"SELECT {', '.join(names)} FROM {table}")
    return [{name: _plain(name, value) for name, value in zip(names, row, strict=True)} for row in told]


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return json.loads(value) if name == "labels" and isinstance(value, str) else value
