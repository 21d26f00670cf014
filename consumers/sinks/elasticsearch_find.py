"""Asking Elasticsearch for one thing: the query, in which names are values and never text, and what its hits say."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from consumers.protocols import Held
from consumers.records.record import Record, columns
from consumers.sinks.elasticsearch_cluster import Cluster
from harvester.answers import StatusError

IF_ANY = {"ignore_unavailable": "true", "allow_no_indices": "true"}
_MOST = 100
_LONG = range(-(2**63), 2**63)


class _Header(msgspec.Struct, frozen=True):
    id: str = ""
    module: str = ""
    ingested: datetime | None = None
    enrichment: str = ""


class _Source(msgspec.Struct, frozen=True, rename={"time": "@timestamp"}):
    time: datetime
    event: _Header


class _Hit(msgspec.Struct, frozen=True, rename={"index": "_index", "version": "_version", "source": "_source"}):
    index: str
    version: int
    source: msgspec.Raw


class _Hits(msgspec.Struct, frozen=True):
    hits: list[_Hit] = []


class _Found(msgspec.Struct, frozen=True):
    hits: _Hits = _Hits()


async def refreshed(cluster: Cluster, pattern: str) -> None:
    """What was written last is found, too; who may only read finds it within ten seconds."""
    try:
        await cluster.request("POST", f"/{pattern}/_refresh", params=IF_ANY)
    except StatusError as error:
        if error.status not in (401, 403):
            raise


def query(record: type[Record], name: str, source: str) -> bytes:
    """The body of a search for the thing of that key, or of that event id; `source` "" is any."""
    asked: list[dict[str, Any]] = [{"term": {"event.id": name}}]
    key = record.__shape__.key
    if next(column.kind for column in columns(record) if column.name == key) != "integer":
        asked.append({"term": {key: name}})
    elif (number := _whole(name)) is not None:
        asked.append({"term": {key: number}})
    filters = [{"term": {"event.module": source}}] if source else []
    wanted = {"bool": {"should": asked, "minimum_should_match": 1, "filter": filters}}
    return msgspec.json.encode(
        {"size": _MOST, "version": True, "query": wanted, "_source": [key, "@timestamp", "event"], "sort": ["_doc"]}
    )


def held(record: type[Record], answer: bytes) -> Iterator[Held]:
    """What the hits of `query` hold. Documents that are not ours are passed over."""
    for hit in msgspec.json.decode(answer, type=_Found).hits.hits:
        try:
            found = msgspec.json.decode(hit.source, type=_Source)
        except msgspec.ValidationError:
            continue
        subject = msgspec.json.decode(hit.source).get(record.__shape__.key)
        if subject is None:
            continue
        header = found.event
        yield Held(
            source=header.module,
            subject=str(subject),
            event_id=header.id,
            version=hit.version // 2,
            time=found.time,
            ingested=header.ingested or found.time,
            enrichment=header.enrichment,
            place=f"index {hit.index}",
        )


def _whole(name: str) -> int | None:
    """The number that is written exactly so, None when the text is none or fits no index."""
    try:
        number = int(name)
    except ValueError:
        return None
    return number if str(number) == name and number in _LONG else None
