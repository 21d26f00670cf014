"""The linter of Kibana's dashboards: what is committed passes, and every fault is seen by the rule that is for it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.builder.lens import LAYER
from dashboards.builder.lint import faults

FILES = {path.stem: path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "dashboards").glob("*.ndjson")}
Json = dict[str, Any]


@pytest.mark.parametrize("name", FILES)
def test_f19_a_committed_dashboard_has_no_fault(name: str) -> None:
    assert faults(FILES[name]) == []


def objects_of(text: str) -> list[Json]:
    return [json.loads(line) for line in text.splitlines()]


def dashboard_of(objects: list[Json]) -> Json:
    return next(one for one in objects if one["type"] == "dashboard")


def panels_of(dashboard: Json) -> list[Json]:
    found: list[Json] = json.loads(dashboard["attributes"]["panelsJSON"])
    return found


def lens_of(panels: list[Json], kind: str) -> Json:
    """The attributes of the first panel of that kind."""
    found: Json = next(
        p["embeddableConfig"]["attributes"]
        for p in panels
        if p["type"] == "lens" and p["embeddableConfig"]["attributes"]["visualizationType"] == kind
    )
    return found


def layer_of(lens: Json) -> Json:
    found: Json
    (found,) = lens["state"]["datasourceStates"]["formBased"]["layers"].values()
    return found


def col(lens: Json, operation: str) -> Json:
    return next(one for one in layer_of(lens)["columns"].values() if one["operationType"] == operation)


def spoiled_objects(change: Callable[[list[Json]], object]) -> Callable[[str], str]:
    def spoil(text: str) -> str:
        objects = objects_of(text)
        change(objects)
        return "".join(f"{json.dumps(one)}\n" for one in objects)

    return spoil


def spoiled(change: Callable[[Json], object]) -> Callable[[str], str]:
    return spoiled_objects(lambda objects: change(dashboard_of(objects)))


def spoiled_search(change: Callable[[Json], object]) -> Callable[[str], str]:
    return spoiled_objects(lambda objects: change(next(one for one in objects if one["type"] == "search")))


def spoiled_panels(change: Callable[[list[Json]], object]) -> Callable[[str], str]:
    def spoil(dashboard: Json) -> None:
        panels = panels_of(dashboard)
        change(panels)
        dashboard["attributes"]["panelsJSON"] = json.dumps(panels)

    return spoiled(spoil)


def spoiled_lens(kind: str, change: Callable[[Json], object]) -> Callable[[str], str]:
    return spoiled_panels(lambda panels: change(lens_of(panels, kind)))


def spoiled_controls(change: Callable[[Json], object]) -> Callable[[str], str]:
    def spoil(dashboard: Json) -> None:
        group = dashboard["attributes"]["controlGroupInput"]
        controls = json.loads(group["panelsJSON"])
        change(next(iter(controls.values()))["explicitInput"])
        group["panelsJSON"] = json.dumps(controls)

    return spoiled(spoil)


def renamed_layer(lens: Json) -> None:
    lens["references"][0]["name"] = f"{LAYER}other"


def ordered_by_a_name(lens: Json) -> None:
    columns = layer_of(lens)["columns"]
    name = next(id_ for id_, one in columns.items() if one["operationType"] == "last_value")
    col(lens, "terms")["params"]["orderBy"]["columnId"] = name


def swapped(panels: list[Json]) -> None:
    panels[0], panels[1] = panels[1], panels[0]


SPOILS: dict[str, tuple[str, str, Callable[[str], str]]] = {
    # what is done to the file of lectures: the rule that has to see it, a word of what it says, and the deed
    "no JSON": ("strings", "line 1 is no JSON", lambda text: "{" + text),
    "cut off": ("strings", "no end", lambda text: text.rstrip("\n")),
    "no dashboard": ("strings", "0 dashboards", spoiled_objects(lambda objects: objects.pop())),
    "panels decoded": (
        "strings",
        "panelsJSON",
        spoiled(lambda it: it["attributes"].update(panelsJSON=json.loads(it["attributes"]["panelsJSON"]))),
    ),
    "options torn": ("strings", "optionsJSON", spoiled(lambda it: it["attributes"].update(optionsJSON="{"))),
    "controls decoded": (
        "strings",
        "controlGroupInput",
        spoiled(lambda it: it["attributes"]["controlGroupInput"].pop("panelsJSON")),
    ),
    "unknown attribute": ("schema", "sections is unknown", spoiled(lambda it: it["attributes"].update(sections=[]))),
    "untitled": ("schema", "title is missing", spoiled(lambda it: it["attributes"].pop("title"))),
    "wrong type": ("schema", "timeRestore is no bool", spoiled(lambda it: it["attributes"].update(timeRestore="true"))),
    "too new": ("schema", "older servers refuse", spoiled(lambda it: it.update(typeMigrationVersion="10.3.0"))),
    "foreign object": ("schema", "a type that", spoiled_objects(lambda it: it[0].update(type="visualization"))),
    "data view without time": (
        "schema",
        "timeFieldName is missing",
        spoiled_objects(lambda it: it[0]["attributes"].pop("timeFieldName")),
    ),
    "object twice": ("schema", "there twice", spoiled_objects(lambda it: it.insert(0, it[0]))),
    "controls too new": (
        "schema",
        "showApplySelections is unknown",
        spoiled(lambda it: it["attributes"]["controlGroupInput"].update(showApplySelections=False)),
    ),
    "dangling": ("references", "not in the file", spoiled_objects(lambda it: it.pop(0))),
    "named twice": ("references", "named twice", spoiled(lambda it: it["references"].append(it["references"][0]))),
    "missing at the top": ("references", "missing at the top", spoiled(lambda it: it["references"].pop(0))),
    "missing in the panel": ("references", "belongs to nothing", spoiled_lens("lnsPie", lambda it: it["references"].clear())),
    "levels differ": ("references", "differ", spoiled_lens("lnsPie", renamed_layer)),
    "overlap": ("layout", "overlaps", spoiled_panels(lambda it: it[1]["gridData"].update(w=13))),
    "beyond the edge": ("layout", "not within the grid", spoiled_panels(lambda it: it[0]["gridData"].update(w=49))),
    "another grid": ("layout", "its grid is of", spoiled_panels(lambda it: it[0]["gridData"].update(i="x"))),
    "panel twice": ("layout", "there twice", spoiled_panels(lambda it: it.append(copy.deepcopy(it[0])))),
    "out of order": ("layout", "order of the grid", spoiled_panels(swapped)),
    "no order": ("lens", "another shape", spoiled_lens("lnsPie", lambda it: layer_of(it).pop("columnOrder"))),
    "column not in the order": ("lens", "order of layer", spoiled_lens("lnsPie", lambda it: layer_of(it)["columnOrder"].pop())),
    "measure first": ("lens", "before a bucket", spoiled_lens("lnsPie", lambda it: layer_of(it)["columnOrder"].reverse())),
    "accessor of nothing": (
        "lens",
        "which is no column",
        spoiled_lens("lnsMetric", lambda it: it["state"]["visualization"].update(metricAccessor="x")),
    ),
    "split by nothing": (
        "lens",
        "which is no column",
        spoiled_lens("lnsXY", lambda it: it["state"]["visualization"]["layers"][0].update(splitAccessor="x")),
    ),
    "column not shown": (
        "lens",
        "is not shown",
        spoiled_lens("lnsDatatable", lambda it: it["state"]["visualization"]["columns"].pop()),
    ),
    "picture of another layer": (
        "lens",
        "which is no layer",
        spoiled_lens("lnsMetric", lambda it: it["state"]["visualization"].update(layerId="x")),
    ),
    "ordered by nothing": (
        "lens",
        "ordered by",
        spoiled_lens("lnsDatatable", lambda it: col(it, "terms")["params"]["orderBy"].update(columnId="x")),
    ),
    "ordered by a name": ("lens", "ordered by what is no number", spoiled_lens("lnsDatatable", ordered_by_a_name)),
    "name that is a number": (
        "lens",
        "last_value gives no number",
        spoiled_lens("lnsDatatable", lambda it: col(it, "last_value").update(dataType="number")),
    ),
    "last value of a number": (
        "fields",
        "last_value does not fit action.length",
        spoiled_lens("lnsDatatable", lambda it: col(it, "last_value").update(sourceField="action.length")),
    ),
    "last value by no time": (
        "fields",
        "the order of a last value does not fit mpid",
        spoiled_lens("lnsDatatable", lambda it: col(it, "last_value")["params"].update(sortField="mpid")),
    ),
    "wrong data type": (
        "lens",
        "gives no",
        spoiled_lens("lnsXY", lambda it: col(it, "date_histogram").update(dataType="string")),
    ),
    "bucket that is none": (
        "lens",
        "bucket",
        spoiled_lens("lnsMetric", lambda it: col(it, "unique_count").update(isBucketed=True)),
    ),
    "count of a field": ("lens", "of records", spoiled_lens("lnsPie", lambda it: col(it, "count").update(sourceField="mpid"))),
    "search decoded": (
        "strings",
        "searchSourceJSON",
        spoiled_search(lambda it: it["attributes"]["kibanaSavedObjectMeta"].update(searchSourceJSON={})),
    ),
    "search without a data view": ("searches", "no data view", spoiled_search(lambda it: it["references"][0].update(id="x"))),
    "search with another name": ("searches", "no data view", spoiled_search(lambda it: it["references"][0].update(name="x"))),
    "search that is not there": ("references", "not in the file", spoiled_objects(lambda it: it.pop(-2))),
    "panel of no search": (
        "references",
        "shows no search",
        spoiled_panels(lambda it: next(p for p in it if p["type"] == "search").update(panelRefName="x")),
    ),
    "column of nothing": ("fields", "has no field 'mpdi'", spoiled_search(lambda it: it["attributes"]["columns"].append("mpdi"))),
    "unknown field": (
        "fields",
        "has no field 'sesion_id'",
        spoiled_lens("lnsMetric", lambda it: col(it, "unique_count").update(sourceField="sesion_id")),
    ),
    "sum of words": (
        "fields",
        "sum does not fit mpid",
        spoiled_lens("lnsDatatable", lambda it: col(it, "sum").update(sourceField="mpid")),
    ),
    "terms of an address": (
        "fields",
        "terms does not fit ip",
        spoiled_lens("lnsDatatable", lambda it: col(it, "terms").update(sourceField="ip")),
    ),
    "filter on an unknown field": (
        "fields",
        "has no field 'acton.type'",
        spoiled_lens("lnsDatatable", lambda it: col(it, "count")["filter"].update(query="acton.type: PLAY")),
    ),
    "text where a flag is": (
        "fields",
        "the value 'yes' does not fit is_live",
        spoiled_lens("lnsPie", lambda it: col(it, "filters")["params"]["filters"][0]["input"].update(query='is_live: "yes"')),
    ),
    "comparison of words": (
        "fields",
        ">= does not fit mpid",
        spoiled_lens("lnsPie", lambda it: it["state"]["query"].update(query="mpid >= 3")),
    ),
    "no KQL": ("fields", "no KQL", spoiled_lens("lnsPie", lambda it: it["state"]["query"].update(query="action.type: (PLAY"))),
    "control on an unknown field": ("fields", "has no field 'cours'", spoiled_controls(lambda it: it.update(fieldName="cours"))),
    "data view of nothing": (
        "fields",
        "of no record",
        spoiled_objects(lambda it: it[0]["attributes"].update(title="userations-*")),
    ),
}


@pytest.mark.parametrize("name", SPOILS)
def test_f19_a_spoiled_file_is_noticed_by_the_rule_that_is_for_it(name: str) -> None:
    rule, words, spoil = SPOILS[name]
    wrong = spoil(FILES["lectures"])
    assert wrong != FILES["lectures"]
    found = faults(wrong)
    assert any(fault.startswith(f"{rule}: ") and words in fault for fault in found), found


def test_a_control_is_on_a_field_that_every_index_of_its_board_has() -> None:
    def spoil(control: Json) -> None:
        control.update(fieldName="topic")  # of meetings alone

    assert any("Session has no field 'topic'" in fault for fault in faults(spoiled_controls(spoil)(FILES["meetings"])))
