"""The crash proof in short, and the proof that it can fail."""

from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.crash.judge import Verdict, judge
from tests.crash.rig import CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Site
from tests.crash.targets import DUCKDB, Elasticsearch, Target
from tests.crash.vendors import ZOOM, Span
from tests.crash.worlds import Sandbox, sandbox
from tests.indexed import put_templates
from tests.services import ElasticsearchServer

SWITCHED = {
    "cover-first": ("harvest.after_cover", "coverage.after_add", "queue.before_publish"),
    "commit-first": ("queue.after_commit", "consume.after_receive", "sink.before_write"),
}
"""Where a kill hurts when the order is wrong."""

DAYS = Span(hours=48, end=datetime(2026, 10, 7, tzinfo=UTC))
"""Monday and Tuesday."""
zoom = partial(sandbox, DAYS, vendor=ZOOM, a_day=22, seed="short")
PATIENCE = 120.0
"""Seconds until a process comes to a point that it must come to: a busy machine is slow, not wrong."""


def _killed(
    folder: Path, world: Sandbox, span: Span, points: Collection[str], target: Target = DUCKDB, **switched: str
) -> tuple[Verdict, int]:
    site = Site(folder, world, span, target, **switched)
    patience = 10 if switched.get("HARVESTER_CRASH_ORDER") else PATIENCE
    for point in HARVESTER_POINTS:
        if point in points:
            site.kill_at(HARVESTER, point, 2, patience=patience)
    site.harvest(span)
    for point in CONSUMER_POINTS:
        if point in points:
            site.kill_at(site.consumer, point, 2, patience=patience)
    site.consume()
    return judge(site, world, span), sum(site.kills.values())


def test_f01_f51_a_kill_at_every_named_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    span = Span(hours=48)
    everywhere = (*HARVESTER_POINTS, *CONSUMER_POINTS)
    with sandbox(span, a_day=2500, seed="short", faults=["records=0.01"]) as world:
        verdict, kills = _killed(tmp_path, world, span, everywhere)
    assert verdict.good, verdict
    assert verdict.broken > 0
    assert kills == len(everywhere)


@pytest.mark.parametrize("order", SWITCHED)
def test_with_the_order_switched_the_same_proof_fails(tmp_path: Path, order: str) -> None:
    span = Span(hours=48)
    with sandbox(span, a_day=2500, seed="short", faults=["records=0.01"]) as world:
        verdict, _ = _killed(tmp_path, world, span, SWITCHED[order], HARVESTER_CRASH_ORDER=order)
    assert verdict.missing > 0, verdict


@pytest.mark.parametrize("order", ["", "commit-first"])
def test_f01_f51_a_consumer_killed_at_every_named_point_loses_and_doubles_nothing_in_elasticsearch_unless_it_commits_first(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer, order: str
) -> None:
    put_templates(elasticsearch_any)
    span, target = Span(hours=24), Elasticsearch(elasticsearch_any)
    points = SWITCHED[order] if order else CONSUMER_POINTS
    with sandbox(span, a_day=2000, seed="short", faults=["records=0.01"]) as world:
        verdict, kills = _killed(tmp_path, world, span, points, target, HARVESTER_CRASH_ORDER=order)
    if order:
        assert verdict.missing > 0, verdict
    else:
        assert verdict.good, verdict
        assert kills == len(points)


ZOOM_POINTS = ("queue.in_publish", "harvest.before_cover", "coverage.in_add", "letters.after_add")
ZOOM_SINK_POINTS = ("consume.after_receive", "sink.in_write", "consume.after_write", "queue.in_commit")


def test_f01_f51_kills_while_zoom_is_read_and_written_to_elasticsearch_lose_and_double_nothing(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer
) -> None:
    put_templates(elasticsearch_any)
    points = (*ZOOM_POINTS, *ZOOM_SINK_POINTS)
    with zoom(faults=["records=0.05", "503=0.02"]) as world:
        verdict, kills = _killed(tmp_path, world, DAYS, points, Elasticsearch(elasticsearch_any))
    assert verdict.good, verdict
    assert verdict.broken > 0
    assert kills == len(points)


@pytest.mark.parametrize("order", SWITCHED)
def test_with_the_order_switched_the_same_proof_of_zoom_fails(tmp_path: Path, order: str) -> None:
    with zoom(faults=["records=0.05"]) as world:
        verdict, _ = _killed(tmp_path, world, DAYS, SWITCHED[order][:1], HARVESTER_CRASH_ORDER=order)
    assert verdict.missing > 0, verdict
