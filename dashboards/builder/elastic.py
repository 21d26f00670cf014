"""An aggregation as Elasticsearch is asked it, and the rows of its answer."""

from collections.abc import Iterator, Mapping
from typing import Any

from consumers.records.record import index_pattern
from dashboards.builder.aggregation import Aggregation, Bucket, Cases, Known, Measure, Newest, Ranges, Row, Span, Times, Top
from dashboards.builder.filters import dsl

_METRICS = {"distinct": "cardinality", "total": "sum", "average": "avg", "greatest": "max"}
_ACCURATE = 1000
"""Values that a shard hands on at least, as Lens asks for with its accuracy mode: the top ones of several indexes are exact."""


def request(aggregation: Aggregation, span: Span) -> tuple[str, dict[str, Any]]:
    """The path of the search and its body."""
    times = {"gte": span.start.isoformat(), "lt": span.end.isoformat(), "format": "strict_date_optional_time"}
    where = [{"range": {"@timestamp": times}}, *dsl(aggregation.where)]
    body = {"size": 0, "query": {"bool": {"filter": where}}, "aggs": _level(aggregation, 0)}
    return f"/{index_pattern(aggregation.record)}/_search", body


def rows(aggregation: Aggregation, answer: Mapping[str, Any]) -> list[Row]:
    """In the order of the answer, without the buckets that hold no document."""
    return list(_rows(aggregation, 0, answer["aggregations"], ()))


def _level(aggregation: Aggregation, depth: int) -> dict[str, Any]:
    measures = {f"m{number}": _measure(measure) for number, measure in enumerate(aggregation.measures)}
    if depth == len(aggregation.buckets):
        return measures | {f"n{number}": _newest(name) for number, name in enumerate(aggregation.names)}
    bucket, first = aggregation.buckets[depth], aggregation.measures[0]
    inner = _level(aggregation, depth + 1)
    if isinstance(bucket, Top):
        inner["m0"] = measures["m0"]
    return {f"b{depth}": {**_bucket(bucket, first), "aggs": inner}}


def _measure(measure: Measure) -> dict[str, Any]:
    where = {"bool": {"filter": dsl(measure.where)}}
    if measure.operation == "count":
        return {"filter": where}
    metric: dict[str, Any] = {_METRICS[measure.operation]: {"field": measure.field}}
    return {"filter": where, "aggs": {"value": metric}} if measure.where else metric


def _newest(name: Newest) -> dict[str, Any]:
    """What Lens asks for a last value; as `top_hits`, since its own `top_metrics` is not in every build of Elasticsearch."""
    hit = {"size": 1, "_source": False, "fields": [name.field], "sort": [{"@timestamp": "desc"}]}
    return {"filter": {"bool": {"filter": dsl((Known(name.field),))}}, "aggs": {"value": {"top_hits": hit}}}


def _bucket(bucket: Bucket, first: Measure) -> dict[str, Any]:
    match bucket:
        case Times(every, _):
            return {"date_histogram": {"field": "@timestamp", "calendar_interval": every, "min_doc_count": 1}}
        case Top(field, _, size):
            order = {"_count" if first.operation == "count" else "m0": "desc"}
            return {"terms": {"field": field, "size": size, "shard_size": _ACCURATE, "order": [order, {"_key": "asc"}]}}
        case Ranges(field, _, edges, _):
            ends = [{"to": edge} for edge in edges[1:]] + [{}]
            ranges = [{"key": name, "from": edge, **end} for name, edge, end in zip(bucket.names, edges, ends, strict=True)]
            return {"range": {"field": field, "ranges": ranges}}
        case Cases(_, cases):
            return {"filters": {"filters": {name: {"bool": {"filter": dsl(where)}} for name, where in cases.items()}}}


def _rows(aggregation: Aggregation, depth: int, found: Mapping[str, Any], keys: tuple[int | str, ...]) -> Iterator[Row]:
    if depth == len(aggregation.buckets):
        values = [_value(measure, found[f"m{number}"]) for number, measure in enumerate(aggregation.measures)]
        names = [_name(name, found[f"n{number}"]) for number, name in enumerate(aggregation.names)]
        yield Row(keys, tuple(values), tuple(names))
        return
    buckets = found[f"b{depth}"]["buckets"]
    named = buckets.items() if isinstance(buckets, dict) else ((_key(one), one) for one in buckets)
    for key, inner in named:
        if inner["doc_count"]:
            yield from _rows(aggregation, depth + 1, inner, (*keys, key))


def _key(bucket: Mapping[str, Any]) -> int | str:
    """A moment stays a number; a boolean is 1 or 0 and has its name beside it."""
    key = bucket["key"]
    if isinstance(key, str):
        return key
    named = bucket.get("key_as_string", str(key))
    return int(key) if "T" in named else str(named)


def _value(measure: Measure, found: Mapping[str, Any]) -> int | float | None:
    if measure.operation == "count":
        return int(found["doc_count"])
    value: int | float | None = (found["value"] if measure.where else found)["value"]
    return value


def _name(name: Newest, found: Mapping[str, Any]) -> str | None:
    hits = found["value"]["hits"]["hits"]
    value: str | None = hits[0]["fields"][name.field][0] if hits else None
    return value
