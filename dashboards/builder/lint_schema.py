"""Attributes as Kibana's schemas have them. That of dashboards refuses what it does not know.

From elastic/kibana: src/platform/plugins/shared/dashboard/server/dashboard_saved_object/schema/v1.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dashboards.builder.objects import DASHBOARD, DATA_VIEW, SEARCH

Json = dict[str, Any]


class Schema(NamedTuple):
    needed: Mapping[str, type]
    allowed: Mapping[str, type] = {}


_ENVELOPE = Schema(
    {"type": str, "id": str, "attributes": dict, "references": list, "coreMigrationVersion": str, "typeMigrationVersion": str}
)
_ATTRIBUTES = {
    "dashboard": Schema(
        {"title": str, "panelsJSON": str},
        {
            "description": str,
            "kibanaSavedObjectMeta": dict,
            "timeRestore": bool,
            "timeFrom": str,
            "timeTo": str,
            "refreshInterval": dict,
            "controlGroupInput": dict,
            "optionsJSON": str,
            "hits": int,
            "version": int,
        },
    ),
    "search": Schema(
        {"title": str, "columns": list, "sort": list, "kibanaSavedObjectMeta": dict},
        {"description": str, "grid": dict, "hideChart": bool},
    ),
    "index-pattern": Schema({"title": str, "timeFieldName": str}, {"name": str, "allowNoIndex": bool, "runtimeFieldMap": str}),
}
_VERSIONS = {"dashboard": DASHBOARD, "index-pattern": DATA_VIEW, "search": SEARCH}
_PARTS = {
    "refreshInterval": Schema({"pause": bool, "value": int}),
    "kibanaSavedObjectMeta": Schema({"searchSourceJSON": str}),
    "controlGroupInput": Schema({"panelsJSON": str, "controlStyle": str, "chainingSystem": str, "ignoreParentSettingsJSON": str}),
}


def schema(objects: list[Json], dashboard: Json) -> Iterator[str]:
    """Every attribute that is missing, unknown, or of another type; a type or a version that a server may not take."""
    for one in objects:
        name = f"{one.get('type')} {one.get('id')}"
        yield from (f"{name}: {fault}" for fault in _against(one, _ENVELOPE))
        known = _ATTRIBUTES.get(str(one.get("type")))
        if known is None:
            yield f"{name}: a type that no dashboard of ours needs"
            continue
        if one.get("typeMigrationVersion") != _VERSIONS[one["type"]]:
            yield f"{name}: version {one.get('typeMigrationVersion')}, older servers refuse all above {_VERSIONS[one['type']]}"
        yield from (f"{name}: {fault}" for fault in _against(one.get("attributes") or {}, known))
        for reference in one.get("references") or []:
            yield from (
                f"{name}: a reference: {fault}" for fault in _against(reference, Schema({"name": str, "type": str, "id": str}))
            )
    for part, known in _PARTS.items():
        yield from (f"{part}: {fault}" for fault in _against(dashboard["attributes"].get(part) or {}, known))
    ids = [(one.get("type"), one.get("id")) for one in objects]
    if len(set(ids)) < len(ids):
        yield "an object is there twice"


def _against(found: Json, known: Schema) -> Iterator[str]:
    yield from (f"{name} is missing" for name in known.needed if name not in found)
    for name, value in found.items():
        type_ = known.needed.get(name) or known.allowed.get(name)
        if type_ is None:
            yield f"{name} is unknown"
        elif type(value) is not type_:
            yield f"{name} is no {type_.__name__}"
