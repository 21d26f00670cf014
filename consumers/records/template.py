"""The index template of a record class: what `index_templates/` holds and `harvest setup` loads.

Our part is a component template, and the index template puts it together with one of the user's: whatever `…@custom` says
wins over ours, and we never write there.
"""

from typing import Any

from consumers.records.mapping import mapping
from consumers.records.record import Record, index_pattern

_VERSIONS = {
    "commits": 1,
    "episodes": 2,
    "harvester_consumers": 1,
    "harvester_windows": 1,
    "issue_comments": 1,
    "meetings": 1,
    "metrics": 1,
    "pr_commits": 1,
    "pr_metrics": 1,
    "pull_requests": 1,
    "repositories": 1,
    "review_comments": 1,
    "reviews": 1,
    "sessions": 1,
    "useractions": 2,
}
"""By table. Whoever changes what a template holds raises its number: servers are only ever upgraded, and a test notices."""
_PRIORITY = 300
"""Above the templates that Elasticsearch brings along (100 to 200)."""
_SETTINGS = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",
    "codec": "best_compression",
    "refresh_interval": "10s",
    "sort": {"field": "@timestamp", "order": "desc"},
    "mapping": {"total_fields": {"limit": 2000, "ignore_dynamic_beyond_limit": True}},
}


def template_name(record: type[Record]) -> str:
    """What the server knows the record's index template by."""
    return f"harvester-{record.__shape__.table}"


def template(record: type[Record]) -> dict[str, Any]:
    """The bodies of both templates of the record, as the file of its table holds them."""
    name, table = template_name(record), record.__shape__.table
    version = _VERSIONS[table]
    made_by = {"managed_by": "event-harvester", "version": version}
    fields = mapping(record)
    fields["_meta"] = made_by
    parts = [f"{name}@package", f"{name}@custom"]
    return {
        "component_template": {
            "version": version,
            "_meta": made_by,
            "template": {"settings": {"index": _SETTINGS}, "mappings": fields},
        },
        "index_template": {
            "index_patterns": [index_pattern(record)],
            "priority": _PRIORITY,
            "composed_of": parts,
            "ignore_missing_component_templates": parts[1:],
            "version": version,
            "_meta": {**made_by, "description": (record.__doc__ or "").splitlines()[0]},
        },
    }
