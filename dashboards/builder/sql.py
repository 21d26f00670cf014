"""An aggregation as DuckDB is asked it, over the tables of the sink."""

from collections.abc import Iterator, Sequence
from typing import Any

from consumers.sinks.duckdb_sql import quoted
from dashboards.builder.aggregation import Aggregation, Bucket, Cases, Measure, Newest, Ranges, Row, Span, Times, Top
from dashboards.builder.fields import place
from dashboards.builder.filters import sql, text

_FUNCTIONS = {"distinct": "count(DISTINCT {})", "total": "coalesce(sum({}), 0)", "average": "avg({})", "greatest": "max({})"}


def query(aggregation: Aggregation, span: Span) -> tuple[str, list[object]]:
    """The select and its parameters: a column for each bucket, then one for each measure, then one for each name."""
    keys = [f"k{number}" for number in range(len(aggregation.buckets))]
    tables = [f"base AS ({_base(aggregation)})", *_tops(aggregation)]
    chosen = _chosen(aggregation, len(keys))
    measures = [_measure(aggregation, measure) for measure in aggregation.measures]
    names = [_newest(aggregation, name) for name in aggregation.names]
    group = f" WHERE {_known(len(keys))} GROUP BY {', '.join(keys)}" if keys else ""
    order = f" ORDER BY {', '.join(keys)}" if keys else ""
    select = f"SELECT {', '.join([*keys, *measures, *names])} FROM base{chosen}{group}{order}"  # noqa: S608 - names of ours
    parameters: list[object] = [moment.replace(tzinfo=None) for moment in span]
    return f"WITH {', '.join(tables)} {select}", parameters


def rows(aggregation: Aggregation, found: Sequence[Sequence[Any]]) -> list[Row]:
    """What DuckDB's rows say."""
    first = len(aggregation.buckets)
    last = first + len(aggregation.measures)
    return [Row(tuple(row[:first]), tuple(row[first:last]), tuple(row[last:])) for row in found]


def _base(aggregation: Aggregation) -> str:
    """Every document that counts, with the key of each bucket."""
    keys = [f"{_key(aggregation, bucket)} AS k{number}" for number, bucket in enumerate(aggregation.buckets)]
    select = f"SELECT {', '.join(['*', *keys])} FROM {quoted(aggregation.record.__shape__.table)}"  # noqa: S608 - quoted
    where = f"event_time >= $1 AND event_time < $2 AND {sql(aggregation.record, aggregation.where)}"
    return f"{select} WHERE {where}"


def _known(depth: int) -> str:
    """An index has no bucket for what is missing. It may have one above, which takes a place among the first all the same."""
    return " AND ".join(f"k{number} IS NOT NULL" for number in range(depth))


def _key(aggregation: Aggregation, bucket: Bucket) -> str:
    record = aggregation.record
    match bucket:
        case Times(every, _):
            return f"epoch_ms(date_trunc('{every}', event_time))"
        case Top(field, _, _):
            return f"CAST({quoted(place(record, field).column)} AS VARCHAR)"
        case Ranges(field, _, edges, _):
            column = quoted(place(record, field).column)
            steps = reversed(list(zip(edges, bucket.names, strict=True)))
            return f"CASE {' '.join(f'WHEN {column} >= {edge} THEN {text(name)}' for edge, name in steps)} END"
        case Cases(_, cases):
            found = (f"CASE WHEN {sql(record, where)} THEN {text(name)} END" for name, where in cases.items())
            return f"unnest([{', '.join(found)}])"


def _tops(aggregation: Aggregation) -> Iterator[str]:
    """One table for each Top: the keys down to it that are among the first of their parent."""
    first = _measure(aggregation, aggregation.measures[0])
    for depth, bucket in enumerate(aggregation.buckets):
        if isinstance(bucket, Top):
            keys = ", ".join(f"k{number}" for number in range(depth + 1))
            parent = f"PARTITION BY {', '.join(f'k{number}' for number in range(depth))} " if depth else ""
            # Equals are taken by the order of the values: a number's own, not that of its text.
            own = quoted(place(aggregation.record, bucket.field).column)
            rank = f"row_number() OVER ({parent}ORDER BY {first} DESC, min({own})) AS rank"
            counted = f"SELECT {keys}, {rank} FROM base{_chosen(aggregation, depth)} WHERE {_known(depth + 1)} GROUP BY {keys}"  # noqa: S608 - names of ours
            yield f"top{depth} AS (SELECT {keys} FROM ({counted}) WHERE rank <= {bucket.size})"  # noqa: S608 - the same


def _chosen(aggregation: Aggregation, depth: int) -> str:
    """Keeps of `base` what is under the tops above this depth."""
    return "".join(
        f" SEMI JOIN top{number} USING ({', '.join(f'k{above}' for above in range(number + 1))})"
        for number, bucket in enumerate(aggregation.buckets[:depth])
        if isinstance(bucket, Top)
    )


def _measure(aggregation: Aggregation, measure: Measure) -> str:
    record = aggregation.record
    function = "count(*)" if measure.operation == "count" else _FUNCTIONS[measure.operation]
    if measure.where and measure.operation == "total":
        function = "coalesce(sum({}) FILTER (WHERE @), 0)"
    elif measure.where:
        function += " FILTER (WHERE @)"
    column = quoted(place(record, measure.field).column) if measure.field else ""
    return function.replace("{}", column).replace("@", sql(record, measure.where))


def _newest(aggregation: Aggregation, name: Newest) -> str:
    column = quoted(place(aggregation.record, name.field).column)
    return f"arg_max({column}, event_time) FILTER (WHERE {column} IS NOT NULL)"
