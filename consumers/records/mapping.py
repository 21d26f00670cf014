"""What follows from a record class for its readers: the mapping of its index, and its part of the data dictionary."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

import consumers.records
from consumers.records.record import KINDS, Column, Family, FullText, Ip, Kind, Point, Record, columns

# A longer term is not searched, but kept in the document: beyond 32,766 bytes Lucene would refuse the document whole.
_KEYWORD = {"type": "keyword", "ignore_above": 1024}
_TYPES: dict[Kind, dict[str, Any]] = {
    "text": _KEYWORD,
    "integer": {"type": "long"},
    "number": {"type": "double"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "date"},
    "date": {"type": "date"},
}


_MARKED: dict[type, dict[str, Any]] = {
    Ip: {"type": "ip", "ignore_malformed": True},
    Point: {"type": "geo_point"},
    FullText: {"type": "text", "fields": {"keyword": _KEYWORD}},
}


class Field(NamedTuple):
    """A row of the data dictionary."""

    document: str
    """Its name in the document, nested ones with dots; the pattern of an open family."""
    column: str
    index_type: str
    table_type: Kind
    null: str
    """`no`, `yes`, or `left out`: not in the document while unknown, and null in the table."""
    text: str


def mapping(record: type[Record]) -> dict[str, Any]:
    """The `mappings` of the record's composable index template. Raises TypeError for a field of a type that no index has.

    Every field of a document stands in `properties`, but the open families: their names are known by pattern alone, so
    a dynamic template types them. It needs `dynamic` at the root, which without families is off: what no class names is
    then kept, and not searched.
    """
    properties: dict[str, Any] = {}
    templates: list[dict[str, Any]] = []
    for column in columns(record):
        family = _family(column)
        if family:
            rule = {"match": family.pattern, "match_mapping_type": "string", "mapping": _leaf(column)}
            templates.append({column.name: rule})
        else:
            _place(properties, column)
    return {
        "dynamic": bool(templates),
        "date_detection": False,
        **({"dynamic_templates": templates} if templates else {}),
        "properties": properties,
    }


def dictionary(record: type[Record]) -> tuple[Field, ...]:
    """One row a field, in the order of the columns."""
    return tuple(_field(column) for column in columns(record))


def record_classes() -> tuple[type[Record], ...]:
    """Every record class there is, module by module."""
    return tuple(_classes())


def _classes() -> Iterator[type[Record]]:
    for found in iter_modules(consumers.records.__path__, "consumers.records."):
        for value in vars(import_module(found.name)).values():
            own = isinstance(value, type) and issubclass(value, Record) and value.__module__ == found.name
            if own and hasattr(value, "__shape__"):
                yield value


def _place(properties: dict[str, Any], column: Column) -> None:
    for name in column.path[:-1]:
        properties = properties.setdefault(name, {"dynamic": False, "properties": {}})["properties"]
    properties[column.path[-1]] = _leaf(column)


def _leaf(column: Column) -> dict[str, Any]:
    for mark in column.marks:
        if type(mark) in _MARKED:
            return dict(_MARKED[type(mark)])
    if column.kind != "json":
        return dict(_TYPES[column.kind])
    if _family(column):
        return dict(_KEYWORD)
    # A list has no type of its own in an index: a field holds one value or many.
    type_ = get_args(column.type)[0] if get_origin(column.type) is list else column.type
    if type_ in KINDS:
        return dict(_TYPES[KINDS[type_]])
    if get_origin(type_) is dict or (isinstance(type_, type) and issubclass(type_, dict | msgspec.Struct)):
        return {"type": "flattened", "ignore_above": _KEYWORD["ignore_above"]}
    raise TypeError(f"no index has a type for {'.'.join(column.path)}: {column.type}")


def _field(column: Column) -> Field:
    family = _family(column)
    return Field(
        document=family.pattern if family else ".".join(column.path),
        column=column.name,
        index_type=_leaf(column)["type"],
        table_type=column.kind,
        null="left out" if column.left_out or family else "yes" if column.null else "no",
        text=column.text,
    )


def _family(column: Column) -> Family | None:
    """Its mark, at the top of the record alone: what is nested stays a dict in the document."""
    marks = column.marks if len(column.path) == 1 else ()
    return next((mark for mark in marks if isinstance(mark, Family)), None)
