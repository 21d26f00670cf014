"""The three warehouses as a test has them: settings for the product, and a way to ask them."""

from pathlib import Path
from typing import Any

from consumers.sinks.bigquery_settings import BigQuerySettings
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.postgres_settings import PostgresSettings
from harvester.commands import parts
from harvester.commands.github_stores import open_store
from harvester.event import Event
from harvester.loading import Loaded
from harvester.settings import CoreSettings, load
from tests.servers.bigquery import DATASET, PROJECT, BigQueryServer
from tests.servers.fixtures import Servers
from tests.services import Server

STORES = ("duckdb", "postgres", "bigquery")


def settings_of(name: str, servers: Servers, folder: Path, **more: str) -> dict[str, str]:
    """The variables of a set-up whose one sink is an emptied warehouse."""
    given = {"HARVESTER_SINKS": name, "HARVESTER_DUCKDB_PATH": str(folder / "events.duckdb")}
    if name != "duckdb":
        server: Any = servers.get(name)
        server.empty()
        given |= postgres_of(server) if name == "postgres" else bigquery_of(server)
    return given | more


def postgres_of(server: Server) -> dict[str, str]:
    return {"HARVESTER_POSTGRES_URL": server.url, "HARVESTER_POSTGRES_USER": "postgres"}


def bigquery_of(server: BigQueryServer) -> dict[str, str]:
    return {
        "HARVESTER_BIGQUERY_URL": server.url,
        "HARVESTER_BIGQUERY_PROJECT_ID": PROJECT,
        "HARVESTER_BIGQUERY_DATASET_ID": DATASET,
    }


def loaded(given: dict[str, str], folder: Path) -> Loaded:
    models = (CoreSettings, PostgresSettings, BigQuerySettings, ElasticsearchSettings)
    return load(*models, environ=given, cwd=folder)


async def write(settings: Loaded, *events: Event) -> None:
    for name in settings.get(CoreSettings).sinks:
        async with parts.sink_named(name, settings) as sink:
            assert list(await sink.write(events)) == []


async def ask(settings: Loaded, statement: str) -> list[dict[str, Any]]:
    """The rows of the first sink; `{table}` is what it calls a table."""
    async with open_store(settings.get(CoreSettings).sinks[0], settings) as store:
        names = ("metrics", "pr_metrics", "pull_requests", "reviews")
        return await store.ask(statement.format(**{name: store.name(name) for name in names}))
