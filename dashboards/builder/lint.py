"""What Kibana's import does not check: it takes nearly everything, and the fault shows when somebody opens the dashboard.

One function a rule. Each reads the committed lines, never the boards they were made of.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from consumers.records.mapping import record_classes
from consumers.records.record import Record, index_pattern
from dashboards.builder import lint_fields, lint_lens, lint_schema
from dashboards.builder.board import WIDTH
from dashboards.builder.fields import GROUPS
from dashboards.builder.lens import LAYER

Json = dict[str, Any]
_STRINGS = {
    "search": (("kibanaSavedObjectMeta", "searchSourceJSON"),),
    "dashboard": (
        ("panelsJSON",),
        ("optionsJSON",),
        ("kibanaSavedObjectMeta", "searchSourceJSON"),
        ("controlGroupInput", "panelsJSON"),
        ("controlGroupInput", "ignoreParentSettingsJSON"),
    ),
}
"""Attributes that are JSON in a string, by type."""


class Read(NamedTuple):
    """A file, with the strings of its dashboard parsed."""

    objects: list[Json]
    dashboard: Json
    panels: list[Json]
    controls: dict[str, Json]

    def lenses(self) -> list[tuple[str, Json]]:
        """Id and attributes of each panel that asks something."""
        return [(p["panelIndex"], p["embeddableConfig"]["attributes"]) for p in self.panels if p["type"] == "lens"]

    def searches(self) -> list[tuple[str, Json]]:
        """Each search that is in the file, with its source parsed."""
        found = [one for one in self.objects if one["type"] == "search"]
        sources = [json.loads(one["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]) for one in found]
        return [(one["id"], {**one, "source": source}) for one, source in zip(found, sources, strict=True)]

    def records(self) -> dict[str, type[Record] | None]:
        """The record behind each data view, by its id."""
        known = {index_pattern(record): record for record in record_classes()}
        views = [one for one in self.objects if one["type"] == "index-pattern"]
        return {view["id"]: known.get(view["attributes"]["title"]) for view in views}


def faults(text: str) -> list[str]:
    """Every fault of a file, each begins with the name of its rule."""
    unreadable = list(_strings(text))
    if unreadable:
        return [f"strings: {fault}" for fault in unreadable]
    read = _read(text)
    shapeless = list(lint_schema.schema(read.objects, read.dashboard))
    if shapeless:
        return [f"schema: {fault}" for fault in shapeless]
    return [f"{rule.__name__}: {fault}" for rule in RULES for fault in _found(rule, read)]


def _found(rule: "Rule", read: Read) -> list[str]:
    try:
        return list(rule(read))
    except (KeyError, TypeError, AttributeError) as error:
        return [f"something has another shape than Kibana knows ({error!r})"]


def _strings(text: str) -> Iterator[str]:
    """Every line is an object, one of them a dashboard, and what is JSON in a string parses."""
    if not text.endswith("\n"):
        yield "the last line has no end"
    dashboards = 0
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found = json.loads(line)
        except ValueError as error:
            yield f"line {number} is no JSON: {error}"
            continue
        dashboards += found.get("type") == "dashboard"
        for path in _STRINGS.get(found.get("type"), ()):
            value: Any = found.get("attributes", {})
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            try:
                json.loads(value)
            except (TypeError, ValueError):
                yield f"line {number}: {'.'.join(path)} is no JSON in a string"
    if dashboards != 1:
        yield f"{dashboards} dashboards in a file"


def _read(text: str) -> Read:
    objects = [json.loads(line) for line in text.splitlines()]
    dashboard = next(one for one in objects if one["type"] == "dashboard")
    attributes = dashboard["attributes"]
    return Read(
        objects, dashboard, json.loads(attributes["panelsJSON"]), json.loads(attributes["controlGroupInput"]["panelsJSON"])
    )


def references(read: Read) -> Iterator[str]:
    """Both levels agree, none is named twice or leads to what is not in the file."""
    top = read.dashboard["references"]
    twice = [name for name, times in Counter(one["name"] for one in top).items() if times > 1]
    yield from (f"{name} is named twice" for name in twice)
    held = {(one["type"], one["id"]) for one in read.objects}
    yield from (
        f"{one['name']} leads to {one['id']}, which is not in the file" for one in top if (one["type"], one["id"]) not in held
    )
    said = {(one["name"], one["type"], one["id"]) for one in top}
    wanted = {(f"{panel}:{one['name']}", one["type"], one["id"]) for panel, found in read.lenses() for one in found["references"]}
    wanted |= {
        (f"controlGroup_{id_}:optionsListDataView", "index-pattern", control["explicitInput"]["dataViewId"])
        for id_, control in read.controls.items()
    }
    shown = {
        f"{panel['panelIndex']}:{panel['panelRefName']}": panel["panelIndex"] for panel in read.panels if "panelRefName" in panel
    }
    said_of = {(one["name"], "search", one["id"]) for one in top if one["type"] == "search" and one["name"] in shown}
    yield from (f"{shown[name]} shows no search" for name in shown.keys() - {name for name, _, _ in said_of})
    wanted |= said_of
    yield from (f"{name} is missing at the top" for name, _, _ in sorted(wanted - said))
    yield from (f"{name} at the top belongs to nothing" for name, _, _ in sorted(said - wanted))
    for panel, found in read.lenses():
        layers = {f"{LAYER}{layer}" for layer in lint_lens.layers(found)}
        if layers != {one["name"] for one in found["references"]}:
            yield f"{panel}: its layers and its references differ"


def searches(read: Read) -> Iterator[str]:
    """Each reads one data view, that its source names and the file holds."""
    held = {one["id"] for one in read.objects if one["type"] == "index-pattern"}
    for id_, search in read.searches():
        names = [(one["name"], one["id"] in held) for one in search["references"]]
        if names != [(search["source"].get("indexRefName"), True)]:
            yield f"{id_} has no data view that is in the file"


def layout(read: Read) -> Iterator[str]:
    """Within the grid, one above nothing else, in the order in which they are read."""
    grids = [(panel["panelIndex"], panel["gridData"]) for panel in read.panels]
    ids = [id_ for id_, _ in grids]
    yield from (f"{id_} is there twice" for id_, times in Counter(ids).items() if times > 1)
    yield from (f"{id_}: its grid is of {grid['i']}" for id_, grid in grids if grid["i"] != id_)
    for id_, grid in grids:
        if grid["x"] < 0 or grid["y"] < 0 or grid["w"] < 1 or grid["h"] < 1 or grid["x"] + grid["w"] > WIDTH:
            yield f"{id_} is not within the grid"
    for number, (id_, one) in enumerate(grids):
        for other_id, other in grids[number + 1 :]:
            aside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            if not aside and not apart:
                yield f"{id_} overlaps {other_id}"
    places = [(grid["y"], grid["x"]) for _, grid in grids]
    if places != sorted(places):
        yield "panels do not stand in the order of the grid"


def lens(read: Read) -> Iterator[str]:
    """Columns, their order and what the picture shows of them agree."""
    for panel, found in read.lenses():
        yield from (f"{panel} ({found['title']}): {fault}" for fault in lint_lens.lens(found))


def fields(read: Read) -> Iterator[str]:
    """Every field that is read, filtered or offered is in the record of its data view, with a type that it can be asked by."""
    records = read.records()
    yield from (f"the data view {view} is of no record" for view, record in records.items() if record is None)
    known = {view: record for view, record in records.items() if record is not None}
    for panel, found in read.lenses():
        for reference in found["references"]:
            if record := known.get(reference["id"]):
                yield from (f"{panel} ({found['title']}): {fault}" for fault in lint_fields.lens_fields(record, found))
    for id_, search in read.searches():
        if record := known.get(search["references"][0]["id"]):
            yield from (f"{id_}: {fault}" for fault in lint_fields.search_fields(record, search))
    for control in read.controls.values():
        for record in known.values():  # a filter on a field that an index has not empties every panel of that index
            yield from lint_fields.fits(record, control["explicitInput"]["fieldName"], GROUPS, "a control")


Rule = Callable[[Read], Iterator[str]]
RULES: tuple[Rule, ...] = (references, searches, layout, lens, fields)
"""Beside `strings` and `schema`, without which there is nothing to look at."""
