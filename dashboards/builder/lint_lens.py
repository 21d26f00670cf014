"""Whether the state of a Lens panel agrees with itself."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_TYPES = {
    "terms": {"string", "boolean", "number", "ip"},
    "filters": {"string"},
    "range": {"string"},
    "date_histogram": {"date"},
}
"""What a bucket of an operation may hold; all others are numbers, but for the last value, a text."""
_ACCESSORS = {
    "lnsMetric": (("metricAccessor",), ()),
    "lnsDatatable": ((), ("columns",)),
    "lnsPie": ((), ("primaryGroups", "metrics")),
    "lnsXY": (("xAccessor", "splitAccessor"), ("accessors",)),
}
"""By kind of picture: where one column is named, and where several are."""


def layers(attributes: Json) -> Json:
    """What is read, by the id of its layer."""
    found: Json = attributes["state"]["datasourceStates"]["formBased"]["layers"]
    return found


def queries(column: Json) -> list[str]:
    """The KQL in a column."""
    found = [one["input"]["query"] for one in column.get("params", {}).get("filters", [])]
    return [*found, *([column["filter"]["query"]] if "filter" in column else [])]


def lens(attributes: Json) -> Iterator[str]:
    """Every disagreement."""
    columns: Json = {}
    for id_, layer in layers(attributes).items():
        columns |= layer["columns"]
        if sorted(layer["columnOrder"]) != sorted(layer["columns"]):
            yield f"the order of layer {id_} and its columns differ"
        kinds = [layer["columns"][name]["isBucketed"] for name in layer["columnOrder"] if name in layer["columns"]]
        if kinds != sorted(kinds, reverse=True):
            yield "a measure stands before a bucket"
    for column in columns.values():
        yield from _column(column, columns)
    named = list(_named(attributes))
    yield from (f"the picture shows {name}, which is no column" for name in named if name not in columns)
    yield from (f"the column {columns[name]['label']} is not shown" for name in columns if name not in named)
    shown = attributes["state"]["visualization"]
    for layer in shown.get("layers", [shown]):
        if layer["layerId"] not in layers(attributes):
            yield f"the picture is of {layer['layerId']}, which is no layer"


def _column(column: Json, columns: Json) -> Iterator[str]:
    operation = column["operationType"]
    allowed = _TYPES.get(operation, {"string"} if operation == "last_value" else {"number"})
    if column["dataType"] not in allowed:
        yield f"{operation} gives no {column['dataType']}"
    if column["isBucketed"] != (operation in _TYPES):
        yield f"{operation} is {'no ' if column['isBucketed'] else 'a '}bucket"
    by = column.get("params", {}).get("orderBy", {})
    if operation == "terms":
        if by.get("type") != "column" or by.get("columnId") not in columns:
            yield f"{column['label']} is ordered by a column that is not there"
        elif columns[by["columnId"]]["dataType"] != "number":
            yield f"{column['label']} is ordered by what is no number"
    if operation == "count" and column["sourceField"] != "___records___":
        yield "a count is of records"


def _named(attributes: Json) -> Iterator[str]:
    single, several = _ACCESSORS[attributes["visualizationType"]]
    shown = attributes["state"]["visualization"]
    for layer in shown.get("layers", [shown]):
        yield from (layer[name] for name in single if name in layer)
        for name in several:
            yield from (one["columnId"] if isinstance(one, dict) else one for one in layer[name])
