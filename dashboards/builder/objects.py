"""A board as Kibana's saved objects: one line of JSON each, the data views before the dashboard that reads them.

Attributes are those of the dashboard's schema 10.1, which 8.19 and every 9.x take: what is newer refuses, what is older upgrades.
"""

import json
from typing import Any

from consumers.records.record import Record, index_pattern
from dashboards.builder.board import Board, Placed, Rows, Text, name_of, placed, stable_id
from dashboards.builder.filters import kql
from dashboards.builder.lens import Json, attributes, data_view_id, query

DASHBOARD, DATA_VIEW, SEARCH = "10.1.0", "8.0.0", "8.0.0"
"""What the types were at when the attributes looked like these."""
_CORE = "8.8.0"
_OPTIONS = {"useMargins": True, "syncColors": True, "syncCursor": True, "syncTooltips": True, "hidePanelTitles": False}
_CONTROLS = {"ignoreFilters": False, "ignoreQuery": False, "ignoreTimerange": False, "ignoreValidations": False}


def ndjson(board: Board) -> str:
    """The file of the board: the same bytes at every making. Raises ValueError for a board that cannot be."""
    searches = [_search(one.panel, one.id) for one in placed(board) if isinstance(one.panel, Rows)]
    lines = [*(_data_view(record) for record in board.records()), *searches, _dashboard(board)]
    return "".join(f"{_text(line)}\n" for line in lines)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _object(kind: str, id_: str, version: str, attributes_: Json, references: list[Json]) -> Json:
    return {
        "type": kind,
        "id": id_,
        "attributes": attributes_,
        "references": references,
        "coreMigrationVersion": _CORE,
        "typeMigrationVersion": version,
    }


def _data_view(record: type[Record]) -> Json:
    shown = {
        "title": index_pattern(record),
        "name": f"Harvester: {record.__shape__.table}",
        "timeFieldName": "@timestamp",
        "allowNoIndex": True,  # before the first event there is none
    }
    return _object("index-pattern", data_view_id(record), DATA_VIEW, shown, [])


def _search(panel: Rows, panel_id: str) -> Json:
    """What Discover shows, and the dashboard's panel of it."""
    name = "kibanaSavedObjectMeta.searchSourceJSON.index"
    shown = {
        "title": f"Harvester: {panel.title}",
        "description": panel.about,
        "columns": list(panel.data.fields),
        "sort": [["@timestamp", "desc"]],
        "grid": {},
        "hideChart": True,
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": _text({"query": query(kql(panel.data.where)), "filter": [], "indexRefName": name})
        },
    }
    reference = {"type": "index-pattern", "id": data_view_id(panel.data.record), "name": name}
    return _object("search", search_id(panel_id), SEARCH, shown, [reference])


def search_id(panel_id: str) -> str:
    return stable_id(panel_id, "search")


def _dashboard(board: Board) -> Json:
    panels, references = [], list[Json]()
    for one in placed(board):
        panel, wanted = _panel(one)
        panels.append(panel)
        references += [{**reference, "name": f"{one.id}:{reference['name']}"} for reference in wanted]
    controls, wanted = _controls(board)
    shown = {
        "title": board.title,
        "description": board.about,
        "version": 1,
        "timeRestore": True,
        "timeFrom": board.past,
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 60_000},
        "panelsJSON": _text(panels),
        "optionsJSON": _text(_OPTIONS),
        "controlGroupInput": {
            "controlStyle": "oneLine",
            "chainingSystem": "HIERARCHICAL",
            "panelsJSON": _text(controls),
            "ignoreParentSettingsJSON": _text(_CONTROLS),
        },
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text({"query": query(""), "filter": []})},
    }
    return _object("dashboard", board.id, DASHBOARD, shown, [*references, *wanted])


def _panel(one: Placed) -> tuple[Json, list[Json]]:
    panel = one.panel
    grid = {"x": one.x, "y": one.y, "w": panel.width, "h": panel.height, "i": one.id}
    base = {"panelIndex": one.id, "gridData": grid}
    if isinstance(panel, Text):
        words = {
            "id": "",
            "title": "",
            "description": "",
            "type": "markdown",
            "params": {"fontSize": 12, "openLinksInNewTab": False, "markdown": panel.markdown},
            "uiState": {},
            "data": {"aggs": [], "searchSource": {"query": query(""), "filter": []}},
        }
        config: Json = {"savedVis": words, "enhancements": {}, "hidePanelTitles": True}
        return base | {"type": "visualization", "embeddableConfig": config}, []
    if isinstance(panel, Rows):
        name = f"panel_{one.id}"
        shown = {"type": "search", "title": panel.title, "panelRefName": name, "embeddableConfig": {"enhancements": {}}}
        return base | shown, [{"type": "search", "id": search_id(one.id), "name": name}]
    made = attributes(panel, one.id)
    config = {"attributes": made, "enhancements": {}, "hidePanelTitles": panel.shape == "metric"}
    return base | {"type": "lens", "title": name_of(panel), "embeddableConfig": config}, made["references"]


def _controls(board: Board) -> tuple[Json, list[Json]]:
    shown, references = {}, []
    for number, control in enumerate(board.controls):
        id_ = stable_id(board.name, "control", control.record.__shape__.table, control.field)
        shown[id_] = {
            "type": "optionsListControl",
            "order": number,
            "grow": True,
            "width": "medium",
            "explicitInput": {
                "id": id_,
                "dataViewId": data_view_id(control.record),
                "fieldName": control.field,
                "title": control.title,
                "searchTechnique": "prefix",
                "selectedOptions": [],
                "sort": {"by": "_count", "direction": "desc"},
            },
        }
        name = f"controlGroup_{id_}:optionsListDataView"
        references.append({"type": "index-pattern", "id": data_view_id(control.record), "name": name})
    return shown, references
