"""What alerts and dashboard ask for is in what a running daemon tells, once its vendor made it wait and it has written."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from harvester import dashboard
from tests.integration.test_cli_daemon import get, listening
from tests.integration.test_cli_run import drained, reached
from tests.site import world

ZOOM = {  # nobody is there: its webhook is set up all the same
    "HARVESTER_SOURCES": "opencast,zoom",
    "HARVESTER_ZOOM_URL": "http://127.0.0.1:9/v2",
    "HARVESTER_ZOOM_OAUTH_URL": "http://127.0.0.1:9/oauth/token",
    "HARVESTER_ZOOM_WEBHOOK_SECRET": "signs",
    "ZOOM_ACCOUNT_ID": "account",
    "ZOOM_CLIENT_ID": "client",
    "ZOOM_CLIENT_SECRET": "secret",
}
OF_GITHUB = {"harvester_budget_left"}
"""Told by a source whose credential several processes may share: of these two none is."""
LABELS = re.compile(r"\b((?:harvester|process)_\w+)(?:\{([^}]*)\})?")


def asked() -> dict[str, set[str]]:
    """Series → the labels it is asked for, in every query of the dashboard and of the alerts."""
    model: Any = json.loads(dashboard.dashboard())
    rules = yaml.safe_load(Path("docker/prometheus/rules.yml").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in model["panels"] for target in panel.get("targets", [])]
    queries += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    found: dict[str, set[str]] = {}
    for query in queries:
        for name, labels in LABELS.findall(query):
            found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def told(scrape: str) -> dict[str, set[str]]:
    """Series → its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def complete(scrape: str) -> str:
    """The scrape, once the vendor told its limit and the daemon has looked around."""
    return scrape if "harvester_ratelimit_limit{" in scrape and "harvester_queue_max_bytes{" in scrape else ""


def test_f16_every_metric_that_alerts_and_dashboard_ask_for_is_in_a_real_scrape(tmp_path: Path) -> None:
    with world(faults={"429-seconds": 0.3, "500": 0.2}) as vendor:
        site = listening(tmp_path, vendor.url, HARVESTER_QUEUE_URL="sqlite:///var/queue.db?max_bytes=1GiB", **ZOOM)
        with site.process("run") as daemon:
            daemon.until(lambda: reached(site) and drained(site))
            scrape = daemon.until(lambda: complete(get(site, "/metrics")[1]))
            assert daemon.stop() == 0
    series = told(scrape)
    wanted = {name: labels for name, labels in asked().items() if name not in OF_GITHUB}
    missing = {name: labels for name, labels in wanted.items() if not labels <= series.get(name, set()) or name not in series}
    assert missing == {}
    waited = re.search(r'^harvester_ratelimit_wait_seconds_total\{source="opencast"\} (\S+)', scrape, re.MULTILINE)
    assert waited
    assert float(waited[1]) > 0
