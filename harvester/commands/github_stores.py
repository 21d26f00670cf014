"""The warehouses that can be asked in SQL: DuckDB, PostgreSQL and BigQuery, each with its own words and the same answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol

from consumers.records.record import Record
from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.sinks.postgres_settings import Place, PostgresSettings, place_of
from consumers.velocity import DUCKDB, POSTGRES, Dialect
from harvester.errors import ConfigError
from harvester.loading import Loaded
from harvester.retry import ONE_SHOT, retrying
from harvester.settings import CoreSettings

Row = dict[str, Any]
STORES = ("duckdb", "postgres", "bigquery")


class Store(Protocol):
    """One warehouse. Errors as its sink has them."""

    sink: str
    """The name of its sink."""
    where: str
    dialect: Dialect

    def name(self, table: str) -> str:
        """What statements call a table."""
        ...

    async def prepare(self, records: Sequence[type[Record]]) -> None:
        """Make what is missing of these tables: a table is made with its first row else."""
        ...

    async def there(self, records: Sequence[type[Record]]) -> set[str]:
        """Which of these tables there are."""
        ...

    async def ask(self, statement: str) -> list[Row]:
        """The rows of a select of texts, integers and booleans; a number may be its text."""
        ...

    def cost(self) -> str:
        """What the questions so far cost, "" where that is nothing."""
        ...


class _DuckDB:
    sink, dialect = "duckdb", DUCKDB

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path

    def name(self, table: str) -> str:
        return f'"{table}"'

    async def prepare(self, records: Sequence[type[Record]]) -> None:
        if self._path.exists():
            await retrying(lambda: asyncio.to_thread(self._prepare, records), ONE_SHOT)

    async def there(self, records: Sequence[type[Record]]) -> set[str]:
        return await _there(self, records)

    async def ask(self, statement: str) -> list[Row]:
        if not self._path.exists():
            return []
        return await retrying(lambda: asyncio.to_thread(self._ask, statement), ONE_SHOT)

    def cost(self) -> str:
        return ""

    def _prepare(self, records: Sequence[type[Record]]) -> None:
        import duckdb

        from consumers.sinks.duckdb_errors import named
        from consumers.sinks.duckdb_sql import ready_table

        try:
            with closing(duckdb.connect(self._path, config=_QUIET)) as connection:
                for record in records:
                    ready_table(connection, record, self._path)
        except duckdb.Error as error:
            raise named(error, self._path) from error

    def _ask(self, statement: str) -> list[Row]:
        import duckdb

        from consumers.sinks.duckdb_errors import named

        try:
            with closing(duckdb.connect(self._path, read_only=True, config=_QUIET)) as connection:
                found = connection.execute(statement)
                names = [column[0] for column in found.description]
                return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            raise named(error, self._path) from error


async def _there(store: Store, records: Sequence[type[Record]], where: str = "true") -> set[str]:
    found = await store.ask(f"SELECT table_name FROM information_schema.tables WHERE {where}")  # noqa: S608 - a setting
    return {row["table_name"] for row in found} & {record.__shape__.table for record in records}


_QUIET: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}


class _Postgres:
    sink, dialect = "postgres", POSTGRES

    def __init__(self, connection: Any, place: Place, schema: str) -> None:
        from consumers.sinks.postgres_sql import quoted

        self.where = f"postgres {place}"
        self._connection = connection
        self._place = place
        self._schema = schema
        self._quoted = quoted

    def name(self, table: str) -> str:
        return f"{self._quoted(self._schema)}.{self._quoted(table)}"

    async def prepare(self, records: Sequence[type[Record]]) -> None:
        from consumers.sinks.postgres import ready_table

        try:
            for record in records:
                await ready_table(self._connection, record, self._place, self._schema)
        except _raised() as error:
            raise self._named(error) from error

    async def there(self, records: Sequence[type[Record]]) -> set[str]:
        return await _there(self, records, f"table_schema = '{self._schema.replace(chr(39), chr(39) * 2)}'")

    async def ask(self, statement: str) -> list[Row]:
        try:
            return [dict(row) for row in await self._connection.fetch(statement)]
        except _raised() as error:
            raise self._named(error) from error

    def cost(self) -> str:
        return ""

    def _named(self, error: Exception) -> Exception:
        from consumers.sinks.postgres_errors import named

        return named(error, self._place)


def _raised() -> tuple[type[Exception], ...]:
    from consumers.sinks.postgres_errors import RAISED

    return RAISED


@asynccontextmanager
async def _postgres(settings: PostgresSettings) -> AsyncIterator[Store]:
    import asyncpg

    from consumers.sinks.postgres import connection_options
    from consumers.sinks.postgres_errors import RAISED, named

    place = place_of(settings)
    try:
        connection = await asyncpg.connect(**connection_options(settings, place))
    except RAISED as error:
        raise named(error, place) from error
    try:
        yield _Postgres(connection, place, settings.schema_)
    finally:
        await connection.close()


@asynccontextmanager
async def _bigquery(settings: BigQuerySettings, core: CoreSettings) -> AsyncIterator[Store]:
    from yarl import URL

    from consumers.sinks.bigquery import SCOPE
    from harvester.commands.github_bigquery import BigQuery
    from harvester.google import open_google

    if not settings.project_id:
        raise ConfigError(
            "HARVESTER_BIGQUERY_PROJECT_ID is not set: name the project that holds the dataset and pays for its jobs"
        )
    endpoint = URL(settings.url) if settings.url else None
    async with open_google(core, "bigquery", scope=SCOPE, endpoint=endpoint) as google:
        yield BigQuery(google, settings)


@asynccontextmanager
async def _duckdb(core: CoreSettings) -> AsyncIterator[Store]:
    yield _DuckDB(Path(core.duckdb_path))


def stores_of(sinks: Iterable[str]) -> tuple[str, ...]:
    """Those of the configured sinks that can be asked."""
    named = {name.partition(":")[0] for name in sinks}
    return tuple(name for name in STORES if name in named)


def open_store(sink: str, loaded: Loaded) -> AbstractAsyncContextManager[Store]:
    """The warehouse that this sink writes. Its settings have to be loaded."""
    if sink == "postgres":
        return _postgres(loaded.get(PostgresSettings))
    core = loaded.get(CoreSettings)
    return _bigquery(loaded.get(BigQuerySettings), core) if sink == "bigquery" else _duckdb(core)
