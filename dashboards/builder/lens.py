"""A chart as Kibana's Lens keeps it, by value in its dashboard.

Shapes as in elastic/kibana: x-pack/platform/plugins/shared/lens (formBased), and in the dashboards of elastic/integrations.
"""

from typing import Any

from consumers.records.record import Record
from dashboards.builder.aggregation import Aggregation, Bucket, Cases, Known, Measure, Newest, Ranges, Times, Top, Unit
from dashboards.builder.board import Chart, axis_and_split, stable_id
from dashboards.builder.fields import place
from dashboards.builder.filters import kql

LAYER = "indexpattern-datasource-layer-"
"""How a reference names the layer that reads a data view."""
_OPERATIONS = {"count": "count", "distinct": "unique_count", "total": "sum", "average": "average", "greatest": "max"}
_TYPES = {"keyword": "string", "boolean": "boolean", "long": "number", "double": "number"}
_INTERVALS = {"minute": "m", "hour": "h", "day": "d", "week": "w"}
Json = dict[str, Any]
_RANGE = {"id": "range", "params": {"template": "arrow_right", "replaceInfinity": True}}


def query(words: str) -> Json:
    return {"query": words, "language": "kuery"}


def data_view_id(record: type[Record]) -> str:
    return f"harvester-{record.__shape__.table}"


def attributes(chart: Chart, panel_id: str) -> Json:
    """What stands under `embeddableConfig.attributes` of its panel."""
    layer = stable_id(panel_id, "layer")
    buckets = [stable_id(panel_id, "bucket", number) for number in range(len(chart.data.buckets))]
    names = [stable_id(panel_id, "name", number) for number in range(len(chart.data.names))]
    measures = [stable_id(panel_id, "measure", number) for number in range(len(chart.data.measures))]
    columns = {
        **{id_: _bucket(chart.data, bucket, measures[0]) for id_, bucket in zip(buckets, chart.data.buckets, strict=True)},
        **{id_: _newest(name) for id_, name in zip(names, chart.data.names, strict=True)},
        **{id_: _measure(measure) for id_, measure in zip(measures, chart.data.measures, strict=True)},
    }
    shown = {"columns": columns, "columnOrder": [*buckets, *names, *measures], "incompleteColumns": {}, "sampling": 1}
    kind, visualization = _visualization(chart, layer, buckets, [*names, *measures])
    return {
        "title": chart.title,
        "description": chart.about,
        "type": "lens",
        "visualizationType": kind,
        "references": [
            {"type": "index-pattern", "id": data_view_id(chart.data.record), "name": f"{LAYER}{layer}"},
        ],
        "state": {
            "datasourceStates": {"formBased": {"layers": {layer: shown}}},
            "visualization": visualization,
            "query": query(kql(chart.data.where)),
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def _bucket(data: Aggregation, bucket: Bucket, first: str) -> Json:
    column: Json = {"label": bucket.label, "customLabel": True, "isBucketed": True}
    match bucket:
        case Times(every, _):
            params: Json = {"interval": _INTERVALS[every], "includeEmptyRows": True, "dropPartials": False}
            return column | {
                "dataType": "date",
                "operationType": "date_histogram",
                "scale": "interval",
                "sourceField": "@timestamp",
                "params": params,
            }
        case Top(field, _, size):
            params = {
                "size": size,
                "orderBy": {"type": "column", "columnId": first},
                "orderDirection": "desc",
                "otherBucket": False,
                "missingBucket": False,
                "accuracyMode": True,
                "parentFormat": {"id": "terms"},
                "include": [],
                "exclude": [],
                "includeIsRegex": False,
                "excludeIsRegex": False,
            }
            return column | {
                "dataType": _TYPES[place(data.record, field).index_type],
                "operationType": "terms",
                "scale": "ordinal",
                "sourceField": field,
                "params": params,
            }
        case Ranges(field, _, edges, _):
            ends = [*edges[1:], None]
            ranges = [
                {"from": start, "to": end, "label": name} for name, start, end in zip(bucket.names, edges, ends, strict=True)
            ]
            return column | {
                "dataType": "string",
                "operationType": "range",
                "scale": "ordinal",
                "sourceField": field,
                "params": {"type": "range", "ranges": ranges, "maxBars": 499.5, "parentFormat": _RANGE},
            }
        case Cases(_, cases):
            filters = [{"label": name, "input": query(kql(where))} for name, where in cases.items()]
            return column | {
                "dataType": "string",
                "operationType": "filters",
                "scale": "ordinal",
                "params": {"filters": filters},
            }


def _newest(name: Newest) -> Json:
    """Lens calls it the last value. Its condition is Lens' own: without it the newest document would count, named or not."""
    return {
        "label": name.label,
        "customLabel": True,
        "dataType": "string",
        "isBucketed": False,
        "operationType": "last_value",
        "scale": "ordinal",
        "sourceField": name.field,
        "filter": query(kql((Known(name.field),))),
        "params": {"sortField": "@timestamp", "showArrayValues": False},
    }


def _measure(measure: Measure) -> Json:
    column: Json = {
        "label": measure.label,
        "customLabel": True,
        "dataType": "number",
        "isBucketed": False,
        "operationType": _OPERATIONS[measure.operation],
        "scale": "ratio",
        "sourceField": measure.field or "___records___",
        "params": {"format": _format(measure.unit, decimals=int(measure.operation == "average"))},
    }
    if measure.operation not in ("average", "greatest"):
        column["params"]["emptyAsNull"] = False
    return column | ({"filter": query(kql(measure.where))} if measure.where else {})


def _format(unit: Unit, decimals: int) -> Json:
    match unit:
        case "minutes" | "hours":
            to = f"as{unit.capitalize()}"
            return {"id": "duration", "params": {"decimals": 1, "fromUnit": "seconds", "toUnit": to, "compact": True}}
        case "hours of minutes":
            return {"id": "duration", "params": {"decimals": 1, "fromUnit": "minutes", "toUnit": "asHours", "compact": True}}
        case "bytes":
            return {"id": "bytes", "params": {"decimals": 1}}
        case "seconds":
            return {"id": "number", "params": {"decimals": 1, "suffix": " s"}}
        case "":
            return {"id": "number", "params": {"decimals": decimals}}


def _visualization(chart: Chart, layer: str, buckets: list[str], measures: list[str]) -> tuple[str, Json]:
    base = {"layerId": layer, "layerType": "data"}
    match chart.shape:
        case "metric":
            return "lnsMetric", base | {"metricAccessor": measures[0]}
        case "pie" | "donut":
            shown = base | {
                "primaryGroups": buckets,
                "metrics": measures,
                "numberDisplay": "percent",
                "categoryDisplay": "default",
                "legendDisplay": "default",
                "nestedLegend": False,
            }
            return "lnsPie", {"shape": chart.shape, "layers": [shown]}
        case "table":
            columns = [{"columnId": id_, "isTransposed": False, "isMetric": id_ in measures} for id_ in [*buckets, *measures]]
            return "lnsDatatable", base | {"columns": columns, "paging": {"size": 10, "enabled": True}}
        case _:
            return "lnsXY", _xy(chart, base, buckets, measures)


def _xy(chart: Chart, base: Json, buckets: list[str], measures: list[str]) -> Json:
    along, split = axis_and_split(chart.data)
    shown = base | {
        "seriesType": chart.shape,
        "xAccessor": buckets[along],
        "accessors": measures,
        "position": "top",
        "showGridlines": False,
    }
    return {
        "preferredSeriesType": chart.shape,
        "legend": {"isVisible": split is not None or len(measures) > 1, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "Zero" if chart.shape in ("line", "area_stacked") else "None",
        "layers": [shown | ({} if split is None else {"splitAccessor": buckets[split]})],
    }
