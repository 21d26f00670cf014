"""The crash proof in short, and the proof that it can fail."""

from collections.abc import Collection
from pathlib import Path

import pytest

from tests.crash.judge import Verdict, judge
from tests.crash.rig import CONSUMER_POINTS, HARVESTER, HARVESTER_POINTS, Sandbox, Site, Span, sandbox
from tests.crash.targets import DUCKDB, Elasticsearch, Target
from tests.indexed import put_templates
from tests.services import ElasticsearchServer

SWITCHED = {
    "cover-first": ("harvest.after_cover", "coverage.after_add", "queue.before_publish"),
    "commit-first": ("queue.after_commit", "consume.after_receive", "sink.before_write"),
}
"""Where a kill hurts when the order is wrong."""


def _killed(
    folder: Path, world: Sandbox, span: Span, points: Collection[str], target: Target = DUCKDB, **switched: str
) -> tuple[Verdict, int]:
    site = Site(folder, world.url, span, target, **switched)
    for point in HARVESTER_POINTS:
        if point in points:
            site.kill_at(HARVESTER, point, 2, patience=10)
    site.harvest(span)
    for point in CONSUMER_POINTS:
        if point in points:
            site.kill_at(site.consumer, point, 2, patience=10)
    site.consume()
    return judge(site, world, span), sum(site.kills.values())


def test_f01_f51_a_kill_at_every_named_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    span = Span(hours=48)
    everywhere = (*HARVESTER_POINTS, *CONSUMER_POINTS)
    with sandbox(span, actions_per_day=2500, seed="short", faults=["records=0.01"]) as world:
        verdict, kills = _killed(tmp_path, world, span, everywhere)
    assert verdict.good, verdict
    assert verdict.broken > 0
    assert kills == len(everywhere)


@pytest.mark.parametrize("order", SWITCHED)
def test_with_the_order_switched_the_same_proof_fails(tmp_path: Path, order: str) -> None:
    span = Span(hours=48)
    with sandbox(span, actions_per_day=2500, seed="short", faults=["records=0.01"]) as world:
        verdict, _ = _killed(tmp_path, world, span, SWITCHED[order], HARVESTER_CRASH_ORDER=order)
    assert verdict.missing > 0, verdict


@pytest.mark.parametrize("order", ["", "commit-first"])
def test_f01_f51_a_consumer_killed_at_every_named_point_loses_and_doubles_nothing_in_elasticsearch_unless_it_commits_first(
    tmp_path: Path, elasticsearch_any: ElasticsearchServer, order: str
) -> None:
    put_templates(elasticsearch_any)
    span, target = Span(hours=24), Elasticsearch(elasticsearch_any)
    points = SWITCHED[order] if order else CONSUMER_POINTS
    with sandbox(span, actions_per_day=2000, seed="short", faults=["records=0.01"]) as world:
        verdict, kills = _killed(tmp_path, world, span, points, target, HARVESTER_CRASH_ORDER=order)
    if order:
        assert verdict.missing > 0, verdict
    else:
        assert verdict.good, verdict
        assert kills == len(points)
