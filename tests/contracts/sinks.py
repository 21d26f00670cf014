"""The sinks of the contract: how each is opened, and how what it holds is read."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import duckdb
import msgspec

from consumers.protocols import Sink
from consumers.records import records_of
from consumers.sinks import open_sink
from consumers.sinks.archive import open_archive
from consumers.sinks.archive_settings import ArchiveSettings
from consumers.sinks.bigquery import open_bigquery
from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.sinks.postgres import open_postgres
from consumers.sinks.postgres_settings import PostgresSettings
from consumers.sinks.stdout import open_stdout
from harvester.event import Event
from tests import services
from tests.archiving import newest
from tests.contracts import stores
from tests.indexed import documents, index_sink, put_templates
from tests.servers.bigquery import DATASET, PROJECT, BigQueryServer
from tests.servers.fixtures import Servers, emptied
from tests.services import ElasticsearchServer, Server

POSTGRES_ROWS = """
SELECT event_module AS source, action_id AS id, action_outpoint AS outpoint, action_type AS type, episode_title AS title
FROM useractions ORDER BY action_id, event_module
"""
BIGQUERY_ROWS = POSTGRES_ROWS.replace("FROM ", f"FROM {DATASET}.")
BIGQUERY_ZOOM = {
    "meetings": f"SELECT uuid, participant_sessions, topic, event_module, NULL, NULL FROM {DATASET}.meetings",
    "sessions": "SELECT session_id, duration, user_name, event_module, geoip_city_name, TO_JSON_STRING(geoip_location) "
    f"FROM {DATASET}.sessions",
}
POSTGRES_ZOOM = """
SELECT uuid, participant_sessions, topic, event_module, NULL::text, NULL::jsonb FROM meetings UNION ALL
SELECT session_id, duration, user_name, event_module, geoip_city_name, geoip_location FROM sessions
"""


class Zoom(NamedTuple):
    """A meeting with how often somebody entered, or a session with how long it was and where. `text`: topic, or who it was."""

    key: str
    number: int | None
    text: str | None
    source: str = "zoom"
    city: str | None = None
    location: Any = None


class Driver(NamedTuple):
    open: Callable[[Path], AbstractAsyncContextManager[Sink]]
    rows: Callable[[Path], list[dict[str, Any]]]
    """All it holds of user actions: source, id, outpoint, type and title."""
    zoom: Callable[[Path], list[Zoom]]
    """All it holds of meetings and sessions."""


@asynccontextmanager
async def duckdb_sink(path: Path) -> AsyncIterator[Sink]:
    async with open_sink(f"duckdb:///{path}/events.duckdb") as sink:
        yield sink


def duckdb_rows(path: Path) -> list[dict[str, Any]]:
    with closing(duckdb.connect(path / "events.duckdb", read_only=True)) as connection:
        found = connection.execute(
            "SELECT event_module, action_id, action_outpoint, action_type, episode_title "
            "FROM useractions ORDER BY action_id, event_module"
        ).fetchall()
    return [dict(zip(("source", "id", "outpoint", "type", "title"), row, strict=True)) for row in found]


def duckdb_zoom(path: Path) -> list[Zoom]:
    with closing(duckdb.connect(path / "events.duckdb", read_only=True)) as connection:
        found = connection.execute(
            "SELECT uuid, participant_sessions, topic, event_module, NULL, NULL FROM meetings UNION ALL "
            "SELECT session_id, duration, user_name, event_module, geoip_city_name, geoip_location FROM sessions"
        ).fetchall()
    return in_order(Zoom(*row)._replace(location=row[5] and msgspec.json.decode(row[5])) for row in found)


def in_order(found: Iterable[Zoom]) -> list[Zoom]:
    return sorted(found, key=lambda one: (one.key, one.source))


@asynccontextmanager
async def stdout_sink(path: Path) -> AsyncIterator[Sink]:
    fd = os.open(path / "out.ndjson", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        async with open_stdout(fd=fd) as sink:
            yield sink
    finally:
        os.close(fd)


def stdout_rows(path: Path) -> list[dict[str, Any]]:
    printed = [msgspec.json.decode(line) for line in (path / "out.ndjson").read_bytes().splitlines()]
    return [document_row(found) for found in printed]


def stdout_zoom(path: Path) -> list[Zoom]:
    return in_order(document_zoom(msgspec.json.decode(line)) for line in (path / "out.ndjson").read_bytes().splitlines())


def document_zoom(found: Mapping[str, Any]) -> Zoom:
    source = found["event"]["module"]
    if "session_id" not in found:
        return Zoom(found["uuid"], found["participant_sessions"], found["topic"], source)
    place = found.get("geoip") or {}
    where = (place.get("city_name"), place.get("location"))
    return Zoom(found["session_id"], found["duration"], found["user_name"], source, *where)


def document_row(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": found["event"]["module"],
        "id": found["action_id"],
        "outpoint": found["action"]["outpoint"],
        "type": found["action"]["type"],
        "title": found["episode"].get("title"),
    }


def elasticsearch_driver(server: ElasticsearchServer) -> Driver:
    """Of a server that is empty but for our templates."""
    put_templates(server)

    def rows(_: Path) -> list[dict[str, Any]]:
        found = [document_row(one.source) for _, one in documents(server)]
        return sorted(found, key=lambda row: (row["id"], row["source"]))

    def zoom(_: Path) -> list[Zoom]:
        return in_order(document_zoom(one.source) for _, one in documents(server, "meetings-*,sessions-*"))

    return Driver(lambda _: index_sink(server.url), rows, zoom)


def postgres_driver(server: Server) -> Driver:
    """Of a server that is empty."""

    async def asked(query: str) -> list[Any]:
        connection = await asyncpg.connect(server.url, user="postgres")
        try:
            return await connection.fetch(query)  # type: ignore[no-any-return]
        finally:
            await connection.close()

    def selected(query: str) -> list[Any]:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(asked(query))).result()

    def rows(_: Path) -> list[dict[str, Any]]:
        return [dict(row) for row in selected(POSTGRES_ROWS)]

    def zoom(_: Path) -> list[Zoom]:
        found = [Zoom(*row.values()) for row in selected(POSTGRES_ZOOM)]
        return in_order(one._replace(location=one.location and msgspec.json.decode(one.location)) for one in found)

    return Driver(lambda _: open_postgres(PostgresSettings(url=server.url, user="postgres")), rows, zoom)


def archive_driver(store: stores.Driver, servers: Servers) -> Driver:
    """In that store; its rows are those that a replay would make."""

    @asynccontextmanager
    async def opened(path: Path) -> AsyncIterator[Sink]:
        async with open_archive(ArchiveSettings(url=await stores.prepared(store, path, servers)), stores.KEYS) as sink:
            yield sink

    def rows(path: Path) -> list[dict[str, Any]]:
        url = store.url(path, servers.get(store.server).url if store.server else "")
        with ThreadPoolExecutor(1) as thread:
            events = thread.submit(lambda: asyncio.run(newest(url))).result()
        found = [archive_row(event, record) for event in events for record in records_of(event)]
        return sorted(found, key=lambda row: (row["id"], row["source"]))

    return Driver(opened, rows, lambda _: [])


def archive_row(event: Event, record: Any) -> dict[str, Any]:
    values = (event.source, record.action_id, record.action.outpoint, record.action.type, record.episode.title)
    return dict(zip(("source", "id", "outpoint", "type", "title"), values, strict=True))


def bigquery_driver(server: BigQueryServer) -> Driver:
    """Of a server that is empty."""

    def rows(_: Path) -> list[dict[str, Any]]:
        found = server.rows(BIGQUERY_ROWS)
        names = ("source", "id", "outpoint", "type", "title")
        return [dict(zip(names, (source, int(id_), int(out), *more), strict=True)) for source, id_, out, *more in found]

    def zoom(_: Path) -> list[Zoom]:
        tables = server.rows(f"SELECT table_name FROM {DATASET}.INFORMATION_SCHEMA.TABLES")
        parts = [query for table, query in BIGQUERY_ZOOM.items() if [table] in tables]
        found = [row for part in parts for row in server.rows(part)]
        return in_order(
            Zoom(key, None if number is None else int(number), text, source, city, place and msgspec.json.decode(place))
            for key, number, text, source, city, place in found
        )

    settings = BigQuerySettings(project_id=PROJECT, dataset_id=DATASET, url=server.url)
    return Driver(lambda _: open_bigquery(settings), rows, zoom)


DRIVERS = {
    "duckdb": Driver(duckdb_sink, duckdb_rows, duckdb_zoom),
    "stdout": Driver(stdout_sink, stdout_rows, stdout_zoom),
}
"""Those that need nothing; each line of Elasticsearch is one more."""
IDEMPOTENT = ("duckdb", "bigquery", "postgres", *services.ELASTICSEARCH)
"""All but streams, which cannot take back what they printed."""
ARCHIVES = {f"archive in {store}": store for store in stores.DRIVERS["objects"]}
"""They keep every state as it came, also what no record can be made of: nothing is refused, nor passed over."""


def driver_named(name: str, servers: Servers) -> Driver:
    if name in DRIVERS:
        return DRIVERS[name]
    if name in ARCHIVES:
        return archive_driver(ARCHIVES[name], servers)
    server = servers.get(name)
    if name == "postgres":
        server.empty()
        return postgres_driver(server)
    if isinstance(server, BigQueryServer):
        server.empty()
        return bigquery_driver(server)
    return elasticsearch_driver(emptied(server))
