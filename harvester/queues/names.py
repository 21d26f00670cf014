"""What a consumer group may be called, on every queue."""

import re

from harvester.errors import ConfigError

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_group(group: str) -> str:
    """The same. ConfigError for a name that could leave its place."""
    if not _GROUP.fullmatch(group):
        raise ConfigError(f"group {group!r}: a name has letters, digits, dots, dashes and underscores, 64 at most")
    return group
