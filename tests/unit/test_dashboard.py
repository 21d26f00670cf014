"""The dashboard: every query is PromQL, and every metric and label in it exists; the files that provision it fit together."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harvester import dashboard, measures
from tests.services import tool

FOLDER = Path("docker/grafana").resolve()
MODEL: Any = json.loads(dashboard.dashboard())
QUERIES = [target["expr"] for panel in MODEL["panels"] for target in panel.get("targets", [])]
VARIABLES = {"$source": "opencast", "$sink": "duckdb", "$__rate_interval": "5m", "$__range": "6h"}


def filled(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def asked(query: str) -> list[tuple[str, set[str]]]:
    """Each metric of ours in a query, by the name that docs/metrics.md has, with the labels it is asked for."""
    found = []
    for name, labels in re.findall(r"\b(harvester_\w+)(?:\{([^}]*)\})?", query):
        base = name if name in KNOWN else re.sub(r"_(bucket|count|sum)$", "", name)
        found.append((base, set(re.findall(r"(\w+)=", labels))))
    return found


KNOWN = {definition.name: definition for definition in measures.DEFINITIONS}


def test_every_metric_and_label_of_a_query_exists() -> None:
    assert QUERIES
    for query in QUERIES:
        for name, labels in asked(query):
            assert name in KNOWN, query
            assert labels <= {*KNOWN[name].labels}, query
        for by in re.findall(r"by \(([^)]*)\)", query):
            labels = {label.strip() for label in by.split(",")} - {"le", "instance"}
            assert labels <= {label for name, _ in asked(query) for label in KNOWN[name].labels}, query


def test_every_metric_is_shown_but_what_only_alerts_and_people_compare() -> None:
    shown = {name for query in QUERIES for name, _ in asked(query)}
    assert KNOWN.keys() - shown == {"harvester_config_info", "harvester_poll_interval_seconds", "harvester_stream_pause_seconds"}


def test_a_wrong_metric_or_label_would_be_noticed() -> None:
    assert asked('rate(harvester_events_seen_total{user="x"}[5m])') == [("harvester_events_seen_total", {"user"})]
    assert "harvester_events_seen_total" not in KNOWN
    assert "user" not in KNOWN["harvester_events_read_total"].labels


def test_every_query_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"x:{number}", "expr": filled(query)} for number, query in enumerate(QUERIES)]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "x", "rules": rules}]}), encoding="utf-8")
    checked = [tool("promtool"), "check", "rules", str(file)]
    done = subprocess.run(checked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [query for query in map(filled, QUERIES) if "$" in query]


def test_it_is_provisioned_with_a_fixed_uid_and_finds_its_datasource() -> None:
    assert MODEL["uid"] == "event-harvester"
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/harvester.yml").read_text(encoding="utf-8"))["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    variables = {variable["name"]: variable for variable in MODEL["templating"]["list"]}
    assert list(variables) == ["datasource", "source", "sink"]
    assert variables["datasource"]["current"]["value"] == source["uid"]
    assert source["type"] == variables["datasource"]["query"]


def test_it_has_the_rows_in_order_and_no_panel_lies_on_another() -> None:
    rows = [panel["title"] for panel in MODEL["panels"] if panel["type"] == "row"]
    assert rows == ["Health", "Sources", "Queue", "Sinks", "Rate limits", "Process"]
    assert len({panel["id"] for panel in MODEL["panels"]}) == len(MODEL["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in MODEL["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize(
    "panel", [panel for panel in MODEL["panels"] if panel["type"] != "row"], ids=lambda panel: panel["title"]
)
def test_a_panel_has_a_title_a_unit_and_no_two_curves_of_one_name(panel: Any) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert len(set(legends)) == len(legends)
