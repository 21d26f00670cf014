"""docs/dashboards.md: a paragraph for each panel, with the fields that it reads."""

from collections.abc import Sequence

from consumers.records.record import index_pattern
from dashboards.builder.aggregation import Aggregation, Cases, Condition, Not, Ranges, Times, Top
from dashboards.builder.board import Board, Chart, Rows

_HEAD = """# Dashboards

What Kibana shows of the records, over Elasticsearch 8.19 or 9.x. Import or renew them with

```sh
harvest setup dashboards
```

into the Kibana of `HARVESTER_KIBANA_URL` (`http://localhost:5601` where it is not set); it may be repeated. With `--print` it
gives the file for *Stack Management › Saved Objects › Import*. An import brings our dashboards back as they were: save one under
another name to keep changes of your own. Their data views, named `Harvester: …`, are renewed too.

Times are shown in the zone of the reader's browser, so a day there may begin elsewhere than in the pictures here, which are in
UTC. A list of the most frequent values is exact. Different values (viewers, sessions) are counted exactly up to about 3,000, and
with an error of a few per cent above: that is how Elasticsearch does it.

**The pictures are ours, not Kibana's**: the same questions, asked of DuckDB over a week of the simulated university and drawn by
`python -m tests.dashboards`. What *Harvester* shows there is invented (`tests/ownweek.py`): an outage of a vendor, and one of a
sink; *Pull requests* shows a simulated organisation on GitHub. A test asks all of them of a real Elasticsearch too, and the
answers are the same.
"""


def page(boards: Sequence[Board]) -> str:
    """The page of all boards."""
    return _HEAD + "".join(map(_board, boards))


def fields(data: Aggregation) -> list[str]:
    """Every field that is read, in the order in which it is met."""
    found: list[str] = []
    for bucket in data.buckets:
        match bucket:
            case Times():
                found.append("@timestamp")
            case Top(field, _, _) | Ranges(field, _, _, _):
                found.append(field)
            case Cases(_, cases):
                found += [_field(condition) for where in cases.values() for condition in where]
    found += [name.field for name in data.names]
    for measure in data.measures:
        found += [measure.field, *map(_field, measure.where)]
    return [name for name in dict.fromkeys([*found, *map(_field, data.where)]) if name]


def _field(condition: Condition) -> str:
    return _field(condition.condition) if isinstance(condition, Not) else condition.field


def _board(board: Board) -> str:
    controls = ", ".join(f"{control.title} (`{control.field}`)" for control in board.controls)
    narrowed = f" It can be narrowed by {controls}." if controls else ""
    return (
        f"\n## {board.title}\n\n{board.about}{narrowed} File: `dashboards/{board.name}.ndjson`.\n\n"
        f"![{board.title}: our own drawing, not Kibana's](dashboards/{board.name}.svg)\n\n"
        + "\n".join(_chart(panel) if isinstance(panel, Chart) else _rows(panel) for panel in board.asking())
    )


def _chart(chart: Chart) -> str:
    read = ", ".join(f"`{name}`" for name in fields(chart.data))
    of = f"`{index_pattern(chart.data.record)}`"
    return f"**{chart.title}** ({_SHAPES[chart.shape]}): {chart.about} Of {of}{': ' if read else ''}{read}.\n"


def _rows(panel: Rows) -> str:
    read = ", ".join(f"`{name}`" for name in ("@timestamp", *panel.data.fields, *map(_field, panel.data.where)))
    return f"**{panel.title}** (documents, newest first): {panel.about} Of `{index_pattern(panel.data.record)}`: {read}.\n"


_SHAPES = {
    "metric": "a number",
    "bar": "columns",
    "bar_stacked": "stacked columns",
    "bar_horizontal": "bars",
    "line": "lines",
    "area_stacked": "stacked areas",
    "pie": "a pie",
    "donut": "a ring",
    "table": "a table",
}
