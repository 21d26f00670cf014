"""What documents say of another thing, brought up to date in Elasticsearch: each rewritten under the version that it has.

Not by `_update_by_query`: that raises the version, and the next newer state of the document would be refused as an older one.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from consumers.amending import Amendment
from consumers.records.record import columns
from consumers.sinks.elasticsearch_answers import FILTER, refused_items
from consumers.sinks.elasticsearch_cluster import NDJSON, Cluster
from consumers.sinks.elasticsearch_find import refreshed, search
from harvester.errors import HarvesterError

_PAGE = 500
_KEEP = "2m"
_COMPLETE = msgspec.Raw(b'"complete"')
_encode = msgspec.json.Encoder().encode


class _Hit(msgspec.Struct, frozen=True, rename={n: f"_{n}" for n in ("index", "id", "version", "source")}):
    index: str
    id: str
    version: int
    source: dict[str, msgspec.Raw]
    sort: list[Any]


class _Hits(msgspec.Struct, frozen=True):
    hits: list[_Hit] = []


class _Page(msgspec.Struct, frozen=True):
    hits: _Hits = _Hits()
    pit_id: str = ""


class _Pit(msgspec.Struct, frozen=True):
    id: str


_page = msgspec.json.Decoder(_Page)


async def amend(cluster: Cluster, change: Amendment) -> int:
    """How many documents were rewritten. TransientError: some may have been; PermanentError: login or rights."""
    pattern = cluster.names.pattern(change.record)
    await refreshed(cluster, pattern)
    done = 0
    async for hits in _snapshot(cluster, pattern, _query(change)):
        lines = [line for hit in hits if (line := _rewritten(hit, change))]
        if lines:
            done += await _write(cluster, lines)
    return done


def _query(change: Amendment) -> dict[str, Any]:
    """The documents that were written before it was looked up, but for those that say the same already."""
    part = change.part
    same: list[dict[str, Any]] = [{"term": {"event.enrichment": "complete"}}]
    for column in columns(change.record):
        if column.path[0] == part:
            name, value = ".".join(column.path), getattr(change.content, column.path[-1])
            unknown = {"bool": {"must_not": {"exists": {"field": name}}}}
            same.append(unknown if value is None else {"term": {name: value}})
    wanted = [
        {"term": {change.field: change.value}},
        {"term": {"event.module": change.source}},
        {"range": {"event.ingested": {"lt": change.read_at}}},
    ]
    return {"bool": {"filter": wanted, "must_not": {"bool": {"filter": same}}}}


async def _snapshot(cluster: Cluster, pattern: str, query: dict[str, Any]) -> AsyncIterator[Sequence[_Hit]]:
    """All that it finds now, page by page, whatever is written meanwhile."""
    answer = await cluster.request("POST", f"/{pattern}/_pit", params={"keep_alive": _KEEP, "ignore_unavailable": "true"})
    pit = msgspec.json.decode(answer, type=_Pit).id
    after: dict[str, Any] = {}
    try:
        while True:
            asked = {"size": _PAGE, "query": query, "version": True, "track_total_hits": False, "sort": ["_shard_doc"], **after}
            page = _page.decode(await search(cluster, _encode({**asked, "pit": {"id": pit, "keep_alive": _KEEP}})))
            pit, hits = page.pit_id or pit, page.hits.hits
            yield hits
            if len(hits) < _PAGE:
                return
            after = {"search_after": hits[-1].sort}
    finally:
        with suppress(HarvesterError):  # it ends by itself soon
            await cluster.request("DELETE", "/_pit", _encode({"id": pit}))


def _rewritten(hit: _Hit, change: Amendment) -> bytes:
    """Two lines of a bulk, nothing when the document says so already. Everything else in it keeps its bytes."""
    said, content = hit.source.get(change.part), _encode(change.content)
    event = msgspec.json.decode(hit.source["event"], type=dict[str, msgspec.Raw])
    if event.get("enrichment") == _COMPLETE and said is not None and _value(said) == _value(content):
        return b""
    event |= {"ingested": msgspec.Raw(_encode(change.read_at)), "enrichment": _COMPLETE}
    # One that was pending, and was completed meanwhile, was looked up later than this change: that one stays.
    how = "external_gte" if hit.version & 1 else "external"
    target = {"_index": hit.index, "_id": hit.id, "version": hit.version | 1, "version_type": how}
    source = hit.source | {change.part: msgspec.Raw(content), "event": msgspec.Raw(_encode(event))}
    return _encode({"index": target}) + b"\n" + _encode(source) + b"\n"


def _value(raw: bytes | msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


async def _write(cluster: Cluster, lines: Sequence[bytes]) -> int:
    """How many were written: where a newer state came meanwhile, that one has looked up by itself."""
    answer = await cluster.request("POST", "/_bulk", b"".join(lines), kind=NDJSON, params={"filter_path": FILTER})
    for _, error in refused_items(answer, len(lines)):
        raise error
    return len(lines) - answer.count(b'"status":409')
