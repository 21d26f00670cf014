"""What Kibana's import does not check: it takes nearly everything, and the fault shows when somebody opens the dashboard.

One function a rule. Each reads the committed lines, never the boards they were made of.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from consumers.records.mapping import record_classes
from consumers.records.record import Record, index_pattern
from dashboards.builder import lint_lens, lint_schema
from dashboards.builder.board import WIDTH
from dashboards.builder.fields import DISTINCT, GROUPS, NUMBERS, place
from dashboards.builder.kql import asked
from dashboards.builder.lens import LAYER

Json = dict[str, Any]
_STRINGS = (
    ("panelsJSON",),
    ("optionsJSON",),
    ("kibanaSavedObjectMeta", "searchSourceJSON"),
    ("controlGroupInput", "panelsJSON"),
    ("controlGroupInput", "ignoreParentSettingsJSON"),
)
"""Attributes of a dashboard that are JSON in a string."""
_OPERATIONS = {
    "unique_count": DISTINCT,
    "sum": NUMBERS,
    "average": NUMBERS,
    "max": NUMBERS,
    "range": NUMBERS,
    "terms": GROUPS,
    "date_histogram": frozenset({"date"}),
}
"""The types of a field that an operation can be asked of."""


class Read(NamedTuple):
    """A file, with the strings of its dashboard parsed."""

    objects: list[Json]
    dashboard: Json
    panels: list[Json]
    controls: dict[str, Json]

    def lenses(self) -> list[tuple[str, Json]]:
        """Id and attributes of each panel that asks something."""
        return [(p["panelIndex"], p["embeddableConfig"]["attributes"]) for p in self.panels if p["type"] == "lens"]

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
        if found.get("type") != "dashboard":
            continue
        dashboards += 1
        for path in _STRINGS:
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
    yield from (f"{name} is missing at the top" for name, _, _ in sorted(wanted - said))
    yield from (f"{name} at the top belongs to nothing" for name, _, _ in sorted(said - wanted))
    for panel, found in read.lenses():
        layers = {f"{LAYER}{layer}" for layer in lint_lens.layers(found)}
        if layers != {one["name"] for one in found["references"]}:
            yield f"{panel}: its layers and its references differ"


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
    for view, record in records.items():
        if record is None:
            yield f"the data view {view} is of no record"
    for panel, found in read.lenses():
        for reference in found["references"]:
            record = records.get(reference["id"])
            if record is not None:
                yield from (f"{panel} ({found['title']}): {fault}" for fault in _fields(record, found))
    for control in read.controls.values():
        for record in records.values():  # a filter on a field that an index has not empties every panel of that index
            if record is not None:
                yield from _fits(record, control["explicitInput"]["fieldName"], GROUPS, "a control")


def _fields(record: type[Record], found: Json) -> Iterator[str]:
    queries = [found["state"]["query"]["query"]]
    for layer in lint_lens.layers(found).values():
        for column in layer["columns"].values():
            queries += lint_lens.queries(column)
            operation = column["operationType"]
            if operation in _OPERATIONS:
                yield from _fits(record, column["sourceField"], _OPERATIONS[operation], operation)
    for words in queries:
        try:
            terms = asked(words)
        except ValueError as error:
            yield f"no KQL: {error}"
            continue
        for term in terms:
            yield from _asked(record, term.field, term.sign, term.values)


def _asked(record: type[Record], field: str, sign: str, values: tuple[str, ...]) -> Iterator[str]:
    if sign != ":":
        yield from _fits(record, field, NUMBERS | {"date"}, sign)
        return
    for value in values:
        if value == "*":
            yield from _fits(record, field, None, "any value")
        elif value in ("true", "false"):
            yield from _fits(record, field, frozenset({"boolean", "keyword"}), value)
        else:
            kinds = frozenset({"keyword", "ip", *(NUMBERS if value.lstrip("-").isdigit() else ())})
            yield from _fits(record, field, kinds, f"the value {value!r}")


def _fits(record: type[Record], field: str, types: frozenset[str] | None, what: str) -> Iterator[str]:
    try:
        found = place(record, field)
    except ValueError as error:
        yield str(error)
        return
    if types is not None and found.index_type not in types:
        yield f"{what} does not fit {field}, a {found.index_type}"


Rule = Callable[[Read], Iterator[str]]
RULES: tuple[Rule, ...] = (references, layout, lens, fields)
"""Beside `strings` and `schema`, without which there is nothing to look at."""
