"""All values of a field in some indexes, however many there are."""

from collections.abc import Sequence
from typing import Any

import msgspec

from consumers.sinks.elasticsearch_cluster import Cluster
from consumers.sinks.elasticsearch_composite import Answer
from consumers.sinks.elasticsearch_find import refreshed, search

_PAGE = 1000


async def distinct(cluster: Cluster, pattern: str, field: str, query: dict[str, Any] | None = None) -> Sequence[str]:
    """Each value once, sorted, of the documents that `query` finds (None: all); [] when no index matches. `field` is a keyword.

    TransientError: no whole answer. PermanentError: login or rights. A pattern is asked for in parts, so that none is left out.
    """
    await refreshed(cluster, pattern)
    values: list[str] = []
    after: dict[str, Any] | None = None
    while True:
        composite: dict[str, Any] = {"size": _PAGE, "sources": [{field: {"terms": {"field": field}}}]}
        if after is not None:
            composite["after"] = after
        body: dict[str, Any] = {"size": 0, "aggs": {"found": {"composite": composite}}}
        asked = msgspec.json.encode(body if query is None else {**body, "query": query})
        page = msgspec.json.decode(await search(cluster, asked, pattern), type=Answer).aggregations.found
        values += [str(bucket["key"][field]) for bucket in page.buckets]
        after = page.after_key
        if after is None:
            return values
