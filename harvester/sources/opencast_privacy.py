"""Which fields of Opencast's records are about people."""

from collections.abc import Collection

from harvester.privacy import Fields, Kind

_VIEWER: Fields = {"userId": Kind.USER, "userIp": Kind.ADDRESS, "userAgent": Kind.TEXT}
_ACTION: Fields = {
    **_VIEWER,
    **dict.fromkeys(("id", "mediapackageId", "inpoint", "outpoint", "length", "type", "isPlaying", "created"), Kind.KEEP),
    "sessionId": {"": Kind.SESSION, "sessionId": Kind.SESSION, **_VIEWER},
}


_DUBLIN_CORE = ("title", "created", "isPartOf", "type", "description")
_FILE: Fields = dict.fromkeys(("id", "type", "ref", "url", "mimetype", "live"), Kind.KEEP)
_OPERATION: Fields = dict.fromkeys(("id", "operation", "state", "started", "completed"), Kind.KEEP)
_EPISODE: Fields = {
    "search": {
        **dict.fromkeys(("id", "modified", *(f"dc{name[0].upper()}{name[1:]}" for name in _DUBLIN_CORE)), Kind.KEEP),
        "dc": dict.fromkeys(_DUBLIN_CORE, Kind.KEEP),
        "mediapackage": {
            **dict.fromkeys(("id", "duration", "start", "title", "series", "seriestitle"), Kind.KEEP),
            "attachments": {"": Kind.KEEP, "attachment": _FILE},
            "media": {"": Kind.KEEP, "track": _FILE},
        },
    },
    "workflow": {
        **dict.fromkeys(("id", "state", "template"), Kind.KEEP),
        "operations": {"": Kind.KEEP, **_OPERATION, "operation": {"": Kind.KEEP, **_OPERATION}},
    },
    "deleted": dict.fromkeys(("id", "kind", "updated"), Kind.KEEP),
}
"""Creators, contributors and whoever started a workflow are left out: no record has them."""


def fields(names: Collection[str]) -> Fields:
    """Those of a recording, or of a user action in both shapes of its session."""
    return _EPISODE if {"search", "deleted"} & set(names) else _ACTION
