"""A real Elasticsearch for the proofs, found as tests find one, and what it holds."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from consumers.sinks.elasticsearch_cluster import open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from consumers.sinks.elasticsearch_templates import all_pieces, load
from tests.servers.rest import call
from tests.services import ELASTICSEARCH, MissingServerError, find

PATTERN = "useractions-*"


@contextmanager
def running() -> Iterator[str]:
    """The URL of the newest line that is to be had here; ends the program with what would provide one when none is."""
    missing: MissingServerError | None = None
    for name in sorted(ELASTICSEARCH, reverse=True):
        try:
            with find(name) as server:
                yield server.url
                return
        except MissingServerError as error:
            missing = error
    raise SystemExit(str(missing))


async def begin(url: str, **mappings: Any) -> None:
    """Our templates, and no document. `mappings`: an index by its day, made by somebody with mappings of their own."""
    held = await ask(url, "GET", f"/_cat/indices/{PATTERN}?format=json&h=index")
    if held:
        await ask(url, "DELETE", "/" + ",".join(one["index"] for one in held))
    async with open_cluster(ElasticsearchSettings(url=url)) as cluster:
        for piece in all_pieces():
            await load(cluster, piece)
    for day, properties in mappings.items():
        await ask(url, "PUT", f"/useractions-{day}", {"mappings": {"properties": properties}})


async def count(url: str, enrichment: str = "") -> int:
    """Documents; with `enrichment` those that say so of theirs."""
    await ask(url, "POST", f"/{PATTERN}/_refresh")
    query = {"term": {"event.enrichment": enrichment}} if enrichment else {"match_all": {}}
    return int((await ask(url, "POST", f"/{PATTERN}/_count", {"query": query}))["count"])


async def ask(url: str, method: str, path: str, body: object = None) -> Any:
    """One request beside what is measured; RefusedError for any status but 2xx."""
    return await asyncio.to_thread(call, url, method, path, body)
