"""Sources: one vendor API each. A line here makes one known: its settings class and what opens it."""

SOURCES: dict[str, tuple[str, str]] = {
    "opencast": ("harvester.sources.opencast:OpencastSettings", "harvester.sources.opencast:open_opencast"),
    "zoom": ("harvester.sources.zoom:ZoomSettings", "harvester.sources.zoom:open_zoom"),
}
