"""Asking Elasticsearch: searches that leave nothing out; and for one thing, in a query whose names are values and never text."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from consumers.protocols import Held
from consumers.records.record import Record, columns
from consumers.sinks.elasticsearch_cluster import Cluster
from harvester.answers import StatusError
from harvester.errors import TransientError

IF_ANY = {"ignore_unavailable": "true", "allow_no_indices": "true"}
_WHOLE = {"allow_partial_search_results": "false"}
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


class _Shards(msgspec.Struct, frozen=True):
    failed: int = 0
    total: int = 0


class _Said(msgspec.Struct, frozen=True, rename={"shards": "_shards"}):
    timed_out: bool = False
    shards: _Shards = _Shards()


_said = msgspec.json.Decoder(_Said)


async def search(cluster: Cluster, asked: bytes, pattern: str = "") -> bytes:
    """The whole answer, of all indexes of `pattern`, or of the point in time that `asked` names.

    TransientError: no answer, or one of some shards, which would be taken for all. PermanentError: login or rights.
    """
    path, params = (f"/{pattern}/_search", {**IF_ANY, **_WHOLE}) if pattern else ("/_search", _WHOLE)
    answer = await cluster.request("POST", path, asked, params=params)
    said = _said.decode(answer)
    # a server refuses to answer in part when it is asked so; what is between us and it need not
    if said.shards.failed or said.timed_out:
        why = "the time was up" if said.timed_out else f"{said.shards.failed} of {said.shards.total} shards failed"
        raise TransientError(f"elasticsearch: {cluster.where} did not answer {path} in full: {why}")
    return answer


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
