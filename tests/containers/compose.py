"""The compose file as its tool reads it: merged, with every variable at its default."""

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker/compose.yaml"
PRODUCTION = ROOT / "docker/compose.production.yaml"
_VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}|\$\$|\$\{?\w+")


def read(text: str) -> dict[str, Any]:
    """The file's mapping. AssertionError for a variable with neither a default nor a word for whoever forgot it."""

    def put(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        assert found[1], f"{found[0]} has no default"
        return found[3] if found[2] == "-" else "given"

    loaded = yaml.safe_load(_VARIABLE.sub(put, "\n".join(line.partition(" #")[0] for line in text.splitlines())))
    assert isinstance(loaded, dict)
    return loaded


def is_ours(service: Mapping[str, Any]) -> bool:
    """Whether it runs our image."""
    return str(service["image"]).startswith("event-harvester:")


def one_shot(service: Mapping[str, Any]) -> bool:
    """Whether it is to end, and is waited for until then."""
    return service.get("restart") == "no"


def order(services: Mapping[str, Any]) -> list[str]:
    """Names, each after those it depends on. graphlib.CycleError when there is none such."""
    return list(TopologicalSorter({name: service.get("depends_on", {}) for name, service in services.items()}).static_order())
