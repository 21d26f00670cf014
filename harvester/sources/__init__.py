"""Sources: one vendor API each. A line here makes one known: its settings class and what opens it."""

PRIVACY: dict[str, str] = {
    "opencast": "harvester.sources.opencast_privacy:fields",
    "zoom": "harvester.sources.zoom_privacy:fields",
    "github": "harvester.sources.github_privacy:fields",
}
"""Which fields of a source's records are about people; without a line a source is refused where anything is hidden."""

SPENT: dict[str, str] = {"zoom": "harvester.sources.zoom_notes:spent"}
"""What reads the calls of a day out of a stream's notes, for sources whose vendors count them."""

CHANGING: dict[str, float] = {"github": 3600.0}
"""Sources whose streams come and go: after how many seconds a daemon asks again which there are."""

BUDGETED = frozenset({"github"})
"""Sources whose credentials have a budget that processes share: they take `budget` and `backfill` when they are opened."""

SOURCES: dict[str, tuple[str, str]] = {
    "opencast": ("harvester.sources.opencast:OpencastSettings", "harvester.sources.opencast:open_opencast"),
    "zoom": ("harvester.sources.zoom:ZoomSettings", "harvester.sources.zoom:open_zoom"),
    "github": ("harvester.sources.github:GithubSettings", "harvester.sources.github:open_github"),
}
