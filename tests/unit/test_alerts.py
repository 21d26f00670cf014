"""The alerts: each fires when it should, keeps still when all is well (promtool judges), and leads into the runbook."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from harvester import measures
from tests.services import tool
from tests.unit.test_documents import anchors
from tests.unit.test_house import text_of

RULES = Path("docker/prometheus/rules.yml").resolve()
ALERTS: dict[str, Any] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
}
STREAM = 'source="opencast",stream="useractions"'
SWEEP, REPOSITORIES, ZOOM = (
    'source="github",stream="sweep/1"',
    'source="github",stream="repositories"',
    'source="zoom",stream="past_meetings"',
)
PAUSED = ('harvester_source_state{source="opencast",state="paused"}', "1x120")
LIVE = "0+60x120"
"""A time that is now, minute by minute."""


class Case(NamedTuple):
    """Series as of 120 minutes; those with which the alert fires then, and others with which it must not."""

    fires: Sequence[tuple[str, str]]
    quiet: Sequence[Sequence[tuple[str, str]]]
    minutes: int = 100


def polled(seconds: int, stream: str = STREAM) -> tuple[str, str]:
    """So many seconds pass between two polls of a stream."""
    return f"harvester_stream_pause_seconds{{{stream}}}", f"{seconds}x2000"


def read(values: str, stream: str = STREAM) -> tuple[str, str]:
    return f"harvester_last_success_timestamp_seconds{{{stream}}}", values


def mark(values: str, pause: int = 120, expected: int = 1800, stream: str = STREAM) -> Sequence[tuple[str, str]]:
    age = (f"harvester_watermark_expected_age_seconds{{{stream}}}", f"{expected}x120")
    return polled(pause, stream), age, (f"harvester_watermark_timestamp_seconds{{{stream}}}", values)


OFTEN = [polled(120), read("0+60x2000")]
"""A stream beside that is well and polled often."""


def of(name: str, labels: str, values: str) -> tuple[str, str]:
    return f"harvester_{name}{{{labels}}}", values


def latency(bucket: str) -> Sequence[tuple[str, str]]:
    """Ten events a minute, all in one bucket and those above it."""
    bounds = ["60.0", "900.0", "3600.0", "10800.0", "+Inf"]
    return [
        of(
            "end_to_end_latency_seconds_bucket",
            f'sink="duckdb",le="{bound}"',
            "0+10x120" if i >= bounds.index(bucket) else "0x120",
        )
        for i, bound in enumerate(bounds)
    ]


REFUSED = of("http_request_duration_seconds_count", 'source="opencast",endpoint="a",code_class="4xx"', "0+1x120")
STOPPED = of("source_state", 'source="opencast",state="stopped"', "1x120")
LAG = 'sink="duckdb"'
CASES = {
    "HarvesterAbsent": Case([], [[of("build_info", 'version="1",python="3"', "1x120")]]),
    "HarvesterReadsNothing": Case(
        [polled(120), read("0+60x60 3600x60")],
        [
            [polled(120), read(LIVE)],
            [polled(120), read("0+60x60 3600x60"), PAUSED],
            [polled(3600), read("3600x120")],
            [*OFTEN, polled(3600, REPOSITORIES), read("1x120", REPOSITORIES)],
            [*OFTEN, polled(86400, SWEEP), read("1x120", SWEEP)],
        ],
    ),
    "HarvesterWatermarkOld": Case(
        mark("1+60x50 3000x70"),
        [
            mark(LIVE),
            mark("0x120"),
            [*mark("1+60x50 3000x70"), PAUSED],
            [*mark(LIVE), *mark("1x120", pause=86400, expected=0, stream=SWEEP)],
        ],
    ),
    "HarvesterGap": Case([of("gaps", STREAM, "2x120")], [[of("gaps", STREAM, "0x120")], [of("gaps", STREAM, "0x80 1x40")]]),
    "HarvesterSourceRefused": Case([REFUSED, STOPPED], [[REFUSED], [STOPPED]]),
    "HarvesterPartStopped": Case(
        [of("sink_state", 'sink="duckdb",state="stopped"', "1x120")],
        [[of("sink_state", 'sink="duckdb",state="stopped"', "0x120")]],
    ),
    "HarvesterRateLimitLow": Case(
        [of("ratelimit_limit", 'source="x"', "5000x120"), of("ratelimit_remaining", 'source="x"', "100x120")],
        [[of("ratelimit_limit", 'source="x"', "5000x120"), of("ratelimit_remaining", 'source="x"', "300x120")]],
    ),
    "HarvesterClockWrong": Case(
        [of("source_clock_skew_seconds", 'source="x"', "-45x120")], [[of("source_clock_skew_seconds", 'source="x"', "2x120")]]
    ),
    "HarvesterEventsLost": Case(
        [of("events_dropped_total", f'{LAG},reason="lost",intentional="false"', "0x95 7x25")],
        [[of("events_dropped_total", f'{LAG},reason="unwanted",intentional="true"', "0+9x120")]],
    ),
    "HarvesterDeadLetters": Case(
        [of("events_dead_lettered_total", f'source="",stream="",{LAG}', "3x95 4x25")],
        [[of("events_dead_lettered_total", f'source="",stream="",{LAG}', "4x120")]],
    ),
    "HarvesterBreakerOpen": Case(
        [of("circuit_state", f'{LAG},state="open"', "1x120")],
        [[of("circuit_state", f'{LAG},state="open"', "0x120"), of("circuit_state", f'{LAG},state="closed"', "1x120")]],
    ),
    "HarvesterConsumerLags": Case(
        [of("consumer_lag", LAG, "0+100x120")], [[of("consumer_lag", LAG, "90000-100x120")], [of("consumer_lag", LAG, "0+1x120")]]
    ),
    "HarvesterQueueFull": Case(
        [of("queue_bytes", 'queue="sqlite"', "90x120"), of("queue_max_bytes", 'queue="sqlite"', "100x120")],
        [
            [of("queue_bytes", 'queue="sqlite"', "70x120"), of("queue_max_bytes", 'queue="sqlite"', "100x120")],
            [of("queue_bytes", 'queue="sqlite"', "90x120")],
        ],
    ),
    "HarvesterDiskFull": Case(
        [of("disk_free_bytes", 'volume="queue"', "5x120"), of("disk_size_bytes", 'volume="queue"', "100x120")],
        [[of("disk_free_bytes", 'volume="queue"', "20x120"), of("disk_size_bytes", 'volume="queue"', "100x120")]],
    ),
    "HarvesterLoopStands": Case(
        [of("loop_lag_seconds", "", "12x120")],
        [[of("loop_lag_seconds", "", "0.2x120")], [of("loop_lag_seconds", "", "0x99 5x20")]],
    ),
    "HarvesterDataLate": Case(
        latency("10800.0"), [latency("900.0"), [*latency("10800.0"), of("catchup_remaining_seconds", STREAM, "90000x120")]]
    ),
}


def test_every_alert_is_tested_to_fire_and_to_keep_still() -> None:
    assert set(CASES) == set(ALERTS)
    assert all(case.quiet for case in CASES.values())


@pytest.fixture(scope="module")
def promtool() -> str:
    return tool("promtool")


def test_the_rules_and_the_configuration_are_valid(promtool: str) -> None:
    for command in (["check", "rules", str(RULES)], ["check", "config", str(RULES.with_name("prometheus.yml"))]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_and_keeps_still(promtool: str, tmp_path: Path) -> None:
    tests = []
    for name, case in CASES.items():
        for fires, series in [(True, case.fires), *((False, quiet) for quiet in case.quiet)]:
            query = {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                "eval_time": f"{case.minutes}m",
            }
            tests.append(
                {
                    "interval": "1m",
                    "input_series": [{"series": one, "values": values} for one, values in series],
                    "promql_expr_test": [{**query, "exp_samples": [{"labels": "{}", "value": int(fires)}]}],
                    "name": f"{name} {'fires' if fires else 'is quiet'}",
                }
            )
    file = tmp_path / "test.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("stream", "pause", "minutes", "fires"),
    [(STREAM, 120, 20, True), (ZOOM, 120, 20, True), (ZOOM, 900, 50, True), (REPOSITORIES, 3600, 190, True),
     (REPOSITORIES, 3600, 170, False), (SWEEP, 86400, 1500, False)],
)  # fmt: skip
def test_a_stream_that_reads_nothing_pages_by_its_own_pause_whatever_the_others_do(
    promtool: str, tmp_path: Path, stream: str, pause: int, minutes: int, *, fires: bool
) -> None:
    others = [polled(86400, 'source="github",stream="sweep/9"'), read("0+60x2000", 'source="github",stream="sweep/9"')]
    tests = []
    for stands, values in [(True, "1x2000"), (False, "0+60x2000")]:
        alerts = f'count(ALERTS{{alertname="HarvesterReadsNothing",alertstate="firing",{stream}}}) or vector(0)'
        expected = {"expr": alerts, "eval_time": f"{minutes}m", "exp_samples": [{"labels": "{}", "value": int(stands and fires)}]}
        series = [*others, polled(pause, stream), read(values, stream)]
        told = [{"series": one, "values": numbers} for one, numbers in series]
        tests.append({"interval": "1m", "input_series": told, "promql_expr_test": [expected]})
    file = tmp_path / "test.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_and_where_the_way_out_stands(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(page)


def test_an_alert_asks_for_metrics_and_labels_that_there_are() -> None:
    known = {definition.name: definition for definition in measures.DEFINITIONS}
    for name, rule in ALERTS.items():
        asked = re.findall(r"\b(harvester_\w+)(?:\{(\w+)=)?", rule["expr"])
        assert asked, name
        for metric, label in asked:
            found = known.get(metric) or known.get(re.sub(r"_(bucket|count|sum)$", "", metric))
            assert found, f"{name}: {metric}"
            assert not label or label in found.labels, f"{name}: {label}"


def test_f16_somebody_is_told_when_nobody_measures() -> None:
    assert ALERTS["HarvesterAbsent"]["expr"] == "absent(harvester_build_info)"
    assert "docs/runbook.md" in text_of("docker/prometheus/rules.yml")
