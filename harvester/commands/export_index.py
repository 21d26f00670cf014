"""Exports from Elasticsearch: composite aggregations over a point in time, page after page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from consumers.records.record import Column, Record
from consumers.sinks.elasticsearch_composite import Answer, Buckets
from harvester.answers import StatusError
from harvester.commands.export_query import Groups, Measure, Newest, Query, Row, Term, column_of
from harvester.errors import ConfigError, HarvesterError, PermanentError
from harvester.retry import ONE_SHOT, retrying

if TYPE_CHECKING:
    from consumers.sinks.elasticsearch_cluster import Cluster
    from consumers.sinks.elasticsearch_settings import ElasticsearchSettings

PAGE = 5000
"""Groups in one answer. A server takes at most 65,536."""
_HITS = 500
"""The same, where each brings a document."""
_KEPT = "2h"
"""How long the server keeps a point in time between two questions: whoever reads our rows may be slow, or stopped for a while."""
_LOAD = "Next: harvest setup load_index_templates, delete that index, and read its day anew: harvest backfill"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Pit(msgspec.Struct, frozen=True):
    id: str


class IndexReader:
    """Opened by `open_index`."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self.where = cluster.where
        self._pits: dict[type[Record], str] = {}

    async def rows(self, query: Query, *more: Term) -> AsyncIterator[Row]:
        """As the contract says."""
        shape = _Shape(query, more)
        after: dict[str, Any] | None = None
        while True:
            page = await self._page(query.record, shape.body(after))
            for bucket in page.buckets:
                yield shape.row(bucket)
            after = page.after_key
            if after is None:
                return

    async def close(self) -> None:
        """Let the server forget the points in time; it does so by itself, later."""
        for pit in self._pits.values():
            try:
                await self._cluster.request("DELETE", "/_pit", msgspec.json.encode({"id": pit}))
            except HarvesterError:  # it ends there by itself
                return

    async def _page(self, record: type[Record], asked: dict[str, Any]) -> Buckets:
        from consumers.sinks.elasticsearch_find import search

        async def ask() -> bytes:
            pit = {"id": await self._pit(record), "keep_alive": _KEPT}
            body = msgspec.json.encode({**asked, "pit": pit})
            return await search(self._cluster, body)

        try:
            answer = msgspec.json.decode(await retrying(ask, ONE_SHOT), type=Answer)
        except StatusError as error:
            if error.status != 400:
                raise
            raise PermanentError(f"{error}. An index that was made without our template is of no use. {_LOAD}") from error
        self._pits[record] = answer.pit_id or self._pits[record]
        return answer.aggregations.found

    async def _pit(self, record: type[Record]) -> str:
        if record not in self._pits:
            from consumers.sinks.elasticsearch_find import IF_ANY, refreshed

            pattern = self._cluster.names.pattern(record)
            await refreshed(self._cluster, pattern)
            answer = await self._cluster.request("POST", f"/{pattern}/_pit", params={**IF_ANY, "keep_alive": _KEPT})
            self._pits[record] = msgspec.json.decode(answer, type=_Pit).id
        return self._pits[record]


class _Shape:
    """A query as Elasticsearch reads it, and its answer as rows."""

    def __init__(self, query: Query, more: Sequence[Term]) -> None:
        self._query = query
        self._keys = [column_of(query.record, name) for name in query.keys]
        self._filter = _filter(query.record, (*query.where, *more))
        self._below = _measures(query) if isinstance(query, Groups) else _newest(query)

    def body(self, after: dict[str, Any] | None) -> dict[str, Any]:
        composite: dict[str, Any] = {
            "size": PAGE if isinstance(self._query, Groups) else min(PAGE, _HITS),
            "sources": [{column.name: {"terms": _key(column, nth)}} for nth, column in enumerate(self._keys)],
        }
        if after is not None:
            composite["after"] = after
        found = {"composite": composite, "aggs": self._below} if self._below else {"composite": composite}
        return {"size": 0, "track_total_hits": False, "query": self._filter, "aggs": {"found": found}}

    def row(self, bucket: dict[str, Any]) -> Row:
        keys = [_value(column, bucket["key"][column.name]) for column in self._keys]
        if isinstance(self._query, Newest):
            source = bucket["newest"]["hits"]["hits"][0]["_source"]
            return (*keys, *(_held(column_of(self._query.record, name), source) for name in self._query.columns))
        return (*keys, *(self._measured(measure, nth, bucket) for nth, measure in enumerate(self._query.measures)))

    def _measured(self, measure: Measure, nth: int, bucket: dict[str, Any]) -> Any:
        inside = bucket.get(str(nth), bucket)
        if measure.how == "count":
            return inside["doc_count"]
        found = inside["it"]["value"] if measure.where else inside["value"]
        return _value(column_of(self._query.record, measure.column), found)


def _key(column: Column, nth: int) -> dict[str, Any]:
    """Without source or thing a document is none of ours."""
    known = {"field": _field(column)}
    return known if nth < 2 else {**known, "missing_bucket": True, "missing_order": "first"}


def _measures(query: Groups) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for nth, measure in enumerate(query.measures):
        body = None if measure.how == "count" else {measure.how: {"field": _field(column_of(query.record, measure.column))}}
        if measure.where:
            found[str(nth)] = {"filter": _filter(query.record, measure.where), **({"aggs": {"it": body}} if body else {})}
        elif body:
            found[str(nth)] = body
    return found


def _newest(query: Newest) -> dict[str, Any]:
    fields = [_field(column_of(query.record, name)) for name in query.columns]
    return {"newest": {"top_hits": {"size": 1, "_source": fields, "sort": [{"@timestamp": "desc"}, {"event.id": "desc"}]}}}


def _filter(record: type[Record], terms: Sequence[Term]) -> dict[str, Any]:
    """Names and values are data here, never parts of a query's text."""
    holds = [_condition(_field(column_of(record, term.column)), term) for term in terms if term.how != "is not"]
    holds_not = [{"term": {_field(column_of(record, term.column)): term.value}} for term in terms if term.how == "is not"]
    return {"bool": {"filter": holds, "must_not": holds_not}}


def _condition(field: str, term: Term) -> dict[str, Any]:
    match term.how:
        case "one of":
            return {"terms": {field: term.value}}
        case "known":
            return {"exists": {"field": field}}
        case "above" | "from" | "before":
            bound = {"above": "gt", "from": "gte", "before": "lt"}[term.how]
            return {"range": {field: {bound: term.value.isoformat() if isinstance(term.value, datetime) else term.value}}}
        case _:
            return {"term": {field: term.value}}


def _field(column: Column) -> str:
    return ".".join(column.path)


def _value(column: Column, value: Any) -> Any:
    """Of a key or a measure: times come as ms, numbers as floats."""
    if value is None:
        return None
    if column.kind == "timestamp":
        return _EPOCH + timedelta(milliseconds=int(value))
    return int(value) if column.kind == "integer" else value


def _held(column: Column, source: dict[str, Any]) -> Any:
    """Of a document."""
    value: Any = source
    for name in column.path:
        value = value.get(name) if isinstance(value, dict) else None
    if column.kind == "timestamp" and value is not None:
        moment = msgspec.convert(value, datetime).astimezone(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return value


@asynccontextmanager
async def open_index(settings: "ElasticsearchSettings") -> AsyncIterator[IndexReader]:
    """Asks no server before the first question. ConfigError: an address or login that cannot serve, or a missing extra."""
    try:
        from consumers.sinks.elasticsearch_cluster import open_cluster
    except ModuleNotFoundError as error:
        raise ConfigError(f"--from elasticsearch needs {error.name}: install event-harvester[elasticsearch]") from error
    async with open_cluster(settings) as cluster:
        reader = IndexReader(cluster)
        try:
            yield reader
        finally:
            await reader.close()
